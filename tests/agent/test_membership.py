"""Joining, as the agent asks: what is final, and what is asked again."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from services.agent import membership
from services.agent.membership import PATIENCE, JoinRefused, JoinUnanswered
from skerry import bus
from skerry.api.messages import JoinAnswer, JoinRequest, Token
from skerry.errors import Forbidden, StatusError, TooManyRequests

TOKEN = Token(
    name="m1",
    host="isle",
    host_uid="h",
    servers=["tls://h:4222"],
    ca="pem",
    jwt="j",
    jti="t-u",
    expires=int(time.time()) + 60,
)
REQUEST = JoinRequest(nkey="U", name="m1", cluster_uid="c", kubernetes_version="v1.36.3", agent_version="0.1.0")
ANSWER = JoinAnswer(
    member="m1", host="isle", host_uid="h", user_jwt="u", renewal_jwt="r", assertion_root="A", host_time=1.0
)


class Answers:
    """A connection on which the registry answers these, one after the other."""

    def __init__(self, *answers: StatusError | JoinAnswer) -> None:
        self._answers = list(answers)

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> Any:
        """The next answer."""
        answer = self._answers.pop(0)
        if isinstance(answer, StatusError):
            raise answer
        return SimpleNamespace(data=msgspec.json.encode(answer))


async def join(*answers: StatusError | JoinAnswer) -> JoinAnswer:
    return await membership.join(cast(bus.Connection, Answers(*answers)), TOKEN, REQUEST)


async def test_a_join_that_was_one_too_many_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PAUSE_S", 0.0)
    assert await join(*[TooManyRequests("too often")] * (PATIENCE - 1), ANSWER) == ANSWER
    with pytest.raises(JoinUnanswered, match="too often"):
        await join(*[TooManyRequests("too often")] * PATIENCE)


async def test_a_refusal_is_final() -> None:
    with pytest.raises(JoinRefused, match="used already"):
        await join(Forbidden("used already"), ANSWER)
