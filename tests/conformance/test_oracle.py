"""The host API answers as a real API server does with the same kinds as custom resources."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec
import pytest

from tests.conformance import cases, edges, found, namespaced
from tests.conformance.cases import Case, Step
from tests.conformance.sides import AGENT, Answer, Side, comparable

pytestmark = [pytest.mark.kube, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

CASES = (*cases.CASES, *edges.CASES, *found.CASES, *namespaced.CASES)


async def played(side: Side, case: Case, name: str) -> list[Answer]:
    """The answers of a side to all steps."""
    last: dict[str, Any] = {}
    answers = []
    for step in case.steps:
        target, watch = step.target.replace("NAME", name), "watch=" in step.target
        answer = await side.ask(step.method, target, _body(step, last, name), _headers(step), watch=watch)
        if isinstance(answer.body, dict) and answer.body.get("kind") not in ("Status", None):
            last = answer.body
        answers.append(answer)
    return answers


def _body(step: Step, last: dict[str, Any], name: str) -> bytes | None:
    body = step.body(last) if callable(step.body) else step.body
    if body is None:
        return None
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return data.replace(b"NAME", name.encode())


def _headers(step: Step) -> dict[str, str]:
    found = {"user-agent": AGENT, "accept": step.accept}
    return found if step.body is None else found | {"content-type": step.media}


def _said(answer: Answer) -> dict[str, Any]:
    said = {"status": answer.status, "warnings": answer.warnings, "media": answer.media}
    return {**said, "body": comparable(answer.body)}


def _difference(theirs: Answer, ours: Answer) -> str:
    return different(_said(theirs), _said(ours))


def different(theirs: Any, ours: Any) -> str:
    """Lines that differ: - from the API server, + from the host API."""
    first, second = (
        msgspec.json.format(msgspec.json.encode(said, order="sorted")).decode().splitlines() for said in (theirs, ours)
    )
    return "\n".join(line for line in difflib.ndiff(first, second) if line[0] in "+-")


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name.replace(" ", "-") for case in CASES])
async def test_both_sides_say_the_same(apiserver: Side, host: Side, index: int) -> None:
    case, name = CASES[index], f"c{index}"
    expected = await played(apiserver, case, name)
    found = await played(host, case, name)
    for number, (step, theirs, ours) in enumerate(zip(case.steps, expected, found, strict=True)):
        where = f"step {number}: {step.method} {step.target}"
        if step.differs:
            assert ours.status == (step.instead or theirs.status), where
            assert _said(ours) != _said(theirs), f"{where}: no longer differs ({step.differs})"
        else:
            assert not _difference(theirs, ours), f"{where}\n{_difference(theirs, ours)}"
