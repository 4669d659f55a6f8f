"""Typed endpoints: types are in the annotations; what has none is refused when the service is declared."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.api.kinds import SERVED, Action
from skerry.api.messages import Write, WriteAnswer, WriteRequest
from skerry.bus import Message
from skerry.errors import BadRequest, TooManyRequests
from skerry.service.endpoints import Typed, described


class Asked(msgspec.Struct, frozen=True):
    """A question."""

    depth: int = 0


class Answered(msgspec.Struct, frozen=True):
    """An answer."""

    text: str


async def explain(context: str, request: Asked) -> Answered:
    return Answered(f"{context} {request.depth}")


async def join(context: str, request: Asked, member: str, token: str) -> Answered:
    return Answered(f"{member} {token}")


def message(subject: str, data: bytes) -> Any:
    made = Message.__new__(Message)
    made.subject, made.data = subject, data
    return made


def test_a_name_is_a_subject_of_the_service_and_a_subject_is_itself() -> None:
    assert Typed.of("quota", "explain", explain).subject == "quota.explain"
    assert Typed.of("quota", "join.*.by.*", join).subject == "join.*.by.*"


async def test_a_request_is_decoded_and_the_answer_encoded() -> None:
    answer = Typed.of("quota", "explain", explain).bound("of")
    assert await answer(message("quota.explain", b'{"depth":3}')) == b'{"text":"of 3"}'


async def test_wildcards_of_the_subject_are_arguments() -> None:
    answer = Typed.of("quota", "join.*.by.*", join).bound("")
    assert await answer(message("join.m1.by.t7", b"{}")) == b'{"text":"m1 t7"}'


@pytest.mark.parametrize("data", [b"", b"nonsense", b'{"depth":"x"}', b"[" * 100_000, b'{"depth":"\xff"}'])
async def test_what_is_not_a_request_is_refused_by_its_name(data: bytes) -> None:
    answer = Typed.of("quota", "explain", explain).bound("")
    with pytest.raises(BadRequest, match="this is not a Asked"):
        await answer(message("quota.explain", data))


def test_who_may_not_ask_is_told_before_anything_is_read() -> None:
    def admit(context: str, *tokens: str, pending: int) -> None:
        raise TooManyRequests(f"{context}: {' '.join(tokens)} asks too often")

    typed = Typed.of("quota", "join.*.by.*", join, admit)
    with pytest.raises(TooManyRequests, match="quota: m1 t7 asks too often"):
        typed.admits("quota")(message("join.m1.by.t7", b"nonsense"), 0)
    Typed.of("quota", "join.*.by.*", join).admits("quota")(message("join.m1.by.t7", b"nonsense"), 0)


def test_a_missing_type_is_named() -> None:
    async def silent(context, request: Asked):  # type: ignore[no-untyped-def]
        return None

    async def deaf(context, request) -> Answered:  # type: ignore[no-untyped-def]
        return Answered("")

    with pytest.raises(TypeError, match="service quota: the answer of explain has no type"):
        Typed.of("quota", "explain", silent)
    with pytest.raises(TypeError, match="service quota: the request of explain has no type"):
        Typed.of("quota", "explain", deaf)


def test_a_write_is_no_endpoint_of_its_own_because_its_caller_would_be_believed() -> None:
    async def forged(context: str, request: WriteRequest) -> Answered:
        return Answered(request.caller.user)

    with pytest.raises(TypeError, match="service quota: join takes a write, whose caller only rules and actions"):
        Typed.of("quota", "join", forged)


def test_a_wildcard_without_an_argument_is_named() -> None:
    with pytest.raises(TypeError, match=r"service quota: join\.\* takes \(context, request, token\)"):
        Typed.of("quota", "join.*", explain)


def test_every_type_on_the_bus_has_a_schema_also_where_json_is_raw_inside() -> None:
    texts = described("what it is for", Write, WriteAnswer)
    assert "requestId" in texts["request"] or "request_id" in texts["request"]
    assert msgspec.json.decode(texts["answer"])["$ref"].endswith("WriteAnswer")


@pytest.mark.parametrize("action", [each for kind in SERVED for each in kind.actions if each.answer is not None])
def test_every_action_has_a_schema_of_what_it_answers(action: Action) -> None:
    assert action.answer is not None
    shown = msgspec.json.decode(described("", Write, action.answer)["answer"])
    assert shown["$ref"] == f"#/$defs/{action.answer.__name__}"
