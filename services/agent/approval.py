"""Waiting until somebody on the host lets the member in.

The agent asks by itself, ever more seldom, on the one subject that it may use, and at once when it is called or has a new
connection. Nothing is written on the member before. A restart goes on waiting; a farewell ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from functools import partial

import msgspec

from services.agent import membership as members
from services.agent.membership import Removed
from services.agent.store import AgentStore, Membership
from skerry import bus, subjects
from skerry.api.messages import ApprovalRequest, JoinAnswer
from skerry.backoff import Backoff
from skerry.errors import Gone, SkerryError, StatusError
from skerry.identity.creds import Credentials
from skerry.identity.trust import is_signed
from skerry.runtime import Runtime, logs_for_people

log = logging.getLogger("skerry.agent")

FIRST_S, LONGEST_S = 1.0, 30.0
"""Between two questions."""


async def approved(runtime: Runtime, store: AgentStore, membership: Membership) -> Membership | None:
    """The membership once it is approved, stored; None if the agent was stopped before. Raises Removed when it was denied."""
    waiting = _Waiting(runtime, store, membership)
    settings = members.bus_settings(membership.servers, membership.ca, f"{store.key().public}/approval/0")
    connections = bus.connections(
        settings, store.user, stop=runtime.stop, failed=lambda error: waiting.fails(error.message)
    )
    async with contextlib.aclosing(connections):
        async for connection in connections:
            answer = await waiting.asked(connection)
            if answer is not None:
                return await _kept(store, membership, answer)
    return None


async def _kept(store: AgentStore, membership: Membership, answer: JoinAnswer) -> Membership:
    key = store.key()
    stored = store.membership() or membership
    whole = msgspec.structs.replace(stored, host=answer.host, assertion_root=answer.assertion_root, pending=False)
    await store.joined(whole, Credentials(answer.user_jwt, key.seed), Credentials(answer.renewal_jwt, key.seed))
    log.info("approved", extra={"cluster": whole.member, "host": whole.host})
    return msgspec.structs.replace(whole, servers=membership.servers, ca=membership.ca)


class _Waiting:
    """One agent's questions, over one connection after another."""

    def __init__(self, runtime: Runtime, store: AgentStore, membership: Membership) -> None:
        self._runtime, self._store, self._membership = runtime, store, membership
        self._request = msgspec.json.encode(ApprovalRequest(nkey=store.key().public))
        self._text = f"waiting for approval on host {membership.host}: skerry cluster approve {membership.member}"
        self._is_told = False
        self._farewell = ""

    async def asked(self, connection: bus.Connection) -> JoinAnswer | None:
        """Ask until the answer is not to wait; None when the connection is lost or the agent stopped. Raises Removed."""
        news, backoff = asyncio.Event(), Backoff(FIRST_S, LONGEST_S)
        name = self._membership.member
        connection.subscribe_now(subjects.approved(name), lambda message: news.set())
        connection.subscribe_now(subjects.farewell(name), lambda message: self._told(message, news))
        ends = [asyncio.ensure_future(connection.closed()), asyncio.ensure_future(self._runtime.stop.wait())]
        try:
            while not any(end.done() for end in ends):
                news.clear()
                answer = await self._ask(connection)
                if self._farewell:
                    raise Removed(self._farewell)
                if answer is not None:
                    return answer
                called = asyncio.ensure_future(news.wait())
                await asyncio.wait((*ends, called), timeout=backoff.next(), return_when=asyncio.FIRST_COMPLETED)
                called.cancel()
            if self._farewell:  # the cut that follows it may be read in the same turn
                raise Removed(self._farewell)
            return None
        finally:
            for end in ends:
                end.cancel()

    async def _ask(self, connection: bus.Connection) -> JoinAnswer | None:
        """One question; None if it has to be asked again. Raises Removed."""
        try:
            answer = await members.ask_approval(connection, self._membership, self._request)
        except Gone as error:
            raise Removed(error.message) from error
        except SkerryError as error:
            self.fails(error.message if isinstance(error, StatusError) else str(error))
            return None
        if not answer.pending:
            return answer
        self._tell()
        return None

    def fails(self, why: str) -> None:
        """It could not be asked: it may be at the next time."""
        self._runtime.not_ready(f"{self._text} (it could not be asked just now: {why})")

    def _tell(self) -> None:
        self._runtime.not_ready(self._text)
        if not self._is_told and logs_for_people():
            sys.stderr.write(f"{self._text}\n")
            sys.stderr.flush()
        self._is_told = True

    def _told(self, message: bus.Message, news: asyncio.Event) -> None:
        text = members.farewell(self._store, self._membership, partial(is_signed, self._membership.roots), message.data)
        if text:
            self._farewell = text
            news.set()
