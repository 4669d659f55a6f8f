"""What is compared of two answers, and how differences are put together so that a person can read them.

Of an error: its code, its reason, and which fields its causes are about and why; the words are for people, and the
stories of `cases.py` compare them. Of a success everything that two servers can have in common.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from tests.conformance.replay import Played
from tests.conformance.requests import Request
from tests.conformance.sides import Answer, comparable

INITIAL_END = "k8s.io/initial-events-end"


class Difference(NamedTuple):
    """A request that the two sides answer differently, each side's answer in a line or a few."""

    request: Request
    theirs: str
    ours: str


def difference(request: Request, theirs: Played, ours: Played) -> Difference | None:
    """None if they are alike."""
    if _is_lame(theirs.answer):
        return None
    first, second = verdict(theirs.answer), verdict(ours.answer)
    if first != second and not _silent(theirs.answer, ours.answer):
        return Difference(request, first, second)
    if theirs.answer.status < 300:
        lines = _lines(_said(theirs.answer), _said(ours.answer))
        if lines:
            return Difference(request, f"{first}: {_taken(lines, '-')}", f"{second}: {_taken(lines, '+')}")
    lines = _lines(comparable(theirs.left), comparable(ours.left))
    if lines and not _is_collected(ours.left):
        return Difference(request, f"{first}; left: {_taken(lines, '-')}", f"{second}; left: {_taken(lines, '+')}")
    return None


def _is_lame(theirs: Answer) -> bool:
    """A watch that the oracle itself could not serve: its cache was not in time, or its etcd is too old to help."""
    events = theirs.body if isinstance(theirs.body, list) else []
    return any(each["type"] == "ERROR" and each["object"].get("code", 0) >= 500 for each in events)


def _is_collected(left: Any) -> bool:
    """Whether the garbage collector has work with what is left; of the two sides one may have one."""
    items = left if isinstance(left, list) else [left]
    held = [name for each in items for name in each["metadata"].get("finalizers", ())]
    return "orphan" in held or "foregroundDeletion" in held


def _silent(theirs: Answer, ours: Answer) -> bool:
    """The same code, and one side has no Status that can be read.

    An API server writes what its router says, and 406, as plain text, and to who asks for it errors as protobuf.
    """
    return theirs.status == ours.status and not (_is_status(theirs.body) and _is_status(ours.body))


def _is_status(body: Any) -> bool:
    return isinstance(body, dict) and body.get("kind") == "Status"


def verdict(answer: Answer) -> str:
    """Code, reason and causes; of a success the code."""
    if not _is_status(answer.body):
        return f"{answer.status}"
    status = answer.body
    causes = sorted({f"{each.get('field', '')} {each.get('reason', '')}" for each in _causes(status)})
    told = f" [{', '.join(causes)}]" if causes else ""
    return f"{answer.status} {status.get('reason', '')}{told}".strip()


def _causes(status: dict[str, Any]) -> list[dict[str, Any]]:
    found = (status.get("details") or {}).get("causes") or []
    assert isinstance(found, list)
    return found


def _said(answer: Answer) -> Any:
    body = answer.body
    if isinstance(body, list):
        body = sorted((_event(each) for each in body if _counts(each)), key=_in_order)
    return {"media": answer.media, "warnings": answer.warnings, "body": comparable(body)}


def _in_order(event: Any) -> bytes:
    return msgspec.json.encode(event, order="sorted")


def _counts(event: dict[str, Any]) -> bool:
    """An ordinary bookmark says what time it is; when one comes is chance."""
    return event["type"] != "BOOKMARK" or INITIAL_END in event["object"]["metadata"].get("annotations", {})


def _event(event: dict[str, Any]) -> Any:
    if event["type"] == "ERROR":
        return {"type": "ERROR", "code": event["object"].get("code"), "reason": event["object"].get("reason")}
    return comparable(event)


def _lines(theirs: Any, ours: Any) -> list[str]:
    if theirs == ours:
        return []
    first, second = (
        msgspec.json.format(msgspec.json.encode(each, order="sorted")).decode().splitlines() for each in (theirs, ours)
    )
    return [line for line in difflib.ndiff(first, second) if line[0] in "+-"]


def _taken(lines: list[str], sign: str) -> str:
    found = [line[1:].strip().rstrip(",") for line in lines if line[0] == sign]
    return " ".join(found)[:300]


def report(found: Iterable[Difference]) -> str:
    """Grouped by what each side said; the plainest requests of each group stand for it."""
    groups: dict[tuple[str, str], list[Request]] = {}
    for each in found:
        groups.setdefault((each.theirs, each.ours), []).append(each.request)
    lines = []
    for (theirs, ours), requests in sorted(groups.items(), key=lambda item: -len(item[1])):
        lines += [f"{len(requests)} x  API server: {theirs}", f"     host API:   {ours}"]
        plain = sorted(requests, key=lambda request: (len(request.odd), len(request.body or b"")))
        lines += [f"       {request}\n         {request.target} {_short(request.body)}" for request in plain[:4]]
    return "\n".join(lines)


def _short(body: bytes | None) -> str:
    return "" if body is None else repr(body[:300])[1:]
