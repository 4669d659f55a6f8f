"""The checks of a host's bus, asked of its servers with the host's own keys: are they there, do they keep what they must, and
does every one of them hold every account.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from skerry import bus
from skerry.api.decode import decoded
from skerry.bus.jetstream import NoStream, api
from skerry.checks.bus import OFF_S
from skerry.checks.report import Outcome
from skerry.checks.run import Checks
from skerry.errors import GatewayTimeout
from skerry.identity.federation import Authority
from skerry.identity.resolver import LIST, check_server
from skerry.identity.services import BUCKETS, CONTROLLER_MANAGER

LIFE_S = 300
"""Of the users that ask."""
QUIET_S = 0.3
"""All servers have answered when none did for so long."""
ANSWER_S = 3.0
LATER = ("registry",)
"""Buckets that no service makes yet."""
VARZ = "$SYS.REQ.SERVER.PING.VARZ"


class HostBusChecks:
    """host.bus, host.store, host.accounts and host.clock. `members` counts those that have an account."""

    def __init__(
        self,
        settings: bus.Settings,
        authority: Authority,
        members: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._authority, self._members, self._clock = settings, authority, members, clock
        self._system: bus.Connection | None = None
        self._where = ", ".join(settings.servers)
        self._servers: list[tuple[str, Any]] = []
        """What each said of itself, and when that was heard, by this machine's clock."""
        self._told = 0.0

    async def run(self, run: Checks) -> None:
        """All of them."""
        try:
            await run.run("host.bus", self._bus, waits_for=self._where)
            await run.run("host.store", self._store, needs=("host.bus",), waits_for="JetStream")
            await run.run("host.accounts", self._accounts, needs=("host.bus",), waits_for=self._where)
            await run.run("host.clock", self._clocks, needs=("host.bus",), waits_for=self._where)
        finally:
            if self._system is not None:
                self._system.abort("the checks are over")

    async def _bus(self) -> Outcome:
        self._system = await bus.connect(self._settings, self._authority.system_credentials(LIFE_S))
        faults = await check_server(self._system)
        if faults:
            return Outcome(f"a server lacks {faults[0].partition(': ')[0]}", "fail", "; ".join(faults))
        self._told = self._clock()
        self._servers = servers = await self._asked(VARZ)
        versions = ", ".join(sorted({f"{name} {data.get('version', '?')}" for name, data in servers}))
        return Outcome(f"{len(servers)} server{'s' * (len(servers) != 1)}: {versions}")

    async def _store(self) -> Outcome:
        """Each bucket, as its stream tells: is it there, has it a leader, are its replicas current."""
        user = self._authority.service_credentials(CONTROLLER_MANAGER, LIFE_S)
        connection = await bus.connect(self._settings, user)
        try:
            names = [each.name for each in BUCKETS if each.name not in LATER]
            streams = {name: await _stream(connection, name) for name in names}
        finally:
            connection.abort("the checks are over")
        if missing := [name for name, info in streams.items() if info is None]:
            return Outcome(
                f"there is no bucket {', '.join(missing)}",
                "fail",
                "skerry logs controller-manager says why it makes none",
            )
        behind = [name for name, info in streams.items() if info is not None and _behind(info)]
        if behind:
            return Outcome(
                f"replicas of bucket {', '.join(behind)} are not current", "warn", "see that every server runs"
            )
        total = sum(int((info or {}).get("state", {}).get("bytes", 0)) for info in streams.values())
        return Outcome(f"{len(streams)} buckets, {total / 1e6:.1f} MB")

    async def _accounts(self) -> Outcome:
        """By what each server lists. Members that were removed keep an account for a while, so there may be more, not fewer."""
        held = {name: frozenset(map(str, data)) for name, data in await self._asked(LIST, list)}
        everywhere: frozenset[str] = frozenset().union(*held.values())
        own = {"SYS": self._authority.public.sys, "HOST": self._authority.public.host}
        again = "the registry gives a server what it lacks, within 10 s; if not, see: skerry logs controller-manager"
        if lost := [name for name, public in own.items() if public not in everywhere]:
            return Outcome(
                f"account {', '.join(lost)} is held by no server",
                "fail",
                "start the host again: skerry down; skerry up",
            )
        if lacking := [
            f"{name} lacks {len(everywhere - each)}" for name, each in sorted(held.items()) if everywhere - each
        ]:
            return Outcome(f"not every server holds every account: {', '.join(lacking)}", "fail", again)
        members, of_members = self._members(), len(everywhere) - len(own)
        if of_members < members:
            return Outcome(
                f"{members} members have agents, and only {of_members} accounts are held for them", "fail", again
            )
        return Outcome(f"{len(everywhere)} accounts on each of {len(held)} server{'s' * (len(held) != 1)}")

    async def _clocks(self) -> Outcome:
        off = {}
        for name, data in self._servers:
            try:
                ahead_s = self._told - datetime.fromisoformat(str(data.get("now", ""))).timestamp()
            except ValueError:
                continue
            if abs(ahead_s) > OFF_S:
                off[name] = ahead_s
        if off:
            texts = (f"{abs(s):.0f} s {'ahead of' if s > 0 else 'behind'} server {name}'s" for name, s in off.items())
            return Outcome(f"this machine's clock is {', '.join(texts)}", "warn", "let both follow a time server")
        return Outcome(f"within {OFF_S:.0f} s of that of every server")

    async def _asked(self, subject: str, kind: type = dict) -> list[tuple[str, Any]]:
        """Every server's answer, by its name. StatusError if there is none."""
        if self._system is None:
            raise AssertionError("host.bus comes first")
        return await ask_all(self._system, subject, kind, servers=len(self._servers))


async def ask_all(
    system: bus.Connection, subject: str, kind: type = dict, *, servers: int = 0
) -> list[tuple[str, Any]]:
    """The answer of every server to a request in SYS, by its name; `servers`: how many there are, 0 if that is not known.
    GatewayTimeout if there is none."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    inbox = system.inbox()
    subscription = await system.subscribe(inbox, lambda message: answers.put_nowait(message.data))
    try:
        await system.publish(subject, b"", reply=inbox)
        try:
            found = [_answer(await asyncio.wait_for(answers.get(), ANSWER_S), kind)]
        except TimeoutError:
            raise GatewayTimeout("no server of the bus answered") from None
        while not servers or len(found) < servers:
            try:
                found.append(_answer(await asyncio.wait_for(answers.get(), QUIET_S), kind))
            except TimeoutError:
                break
        return [each for each in found if each is not None]
    finally:
        subscription.unsubscribe()


def _answer(data: bytes, kind: type) -> tuple[str, Any] | None:
    try:
        document = decoded(data, dict[str, Any])
    except msgspec.DecodeError:
        return None
    server, content = document.get("server") or {}, document.get("data")
    return (str(server.get("name") or server.get("id") or "?"), content) if isinstance(content, kind) else None


async def _stream(connection: bus.Connection, name: str) -> dict[str, Any] | None:
    try:
        return await api(connection, f"STREAM.INFO.KV_{name}")
    except NoStream:
        return None


def _behind(info: dict[str, Any]) -> bool:
    replicas = (info.get("cluster") or {}).get("replicas") or []
    return any(not each.get("current", True) or each.get("offline", False) for each in replicas)
