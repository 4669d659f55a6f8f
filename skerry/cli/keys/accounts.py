"""`signing`, `host` and `sys`: the keys by which the bus believes accounts, services and whoever asks its servers.

| key | signs | is believed because |
|---|---|---|
| signing | every account | the operator's JWT in each server's configuration names it, signed by the root seed |
| host | the services' users; what members and tokens import of HOST | account HOST names it |
| sys | users that ask the servers; what HOST imports of SYS | account SYS names it |

What has moved is told by the servers: each account is looked up as they hold it. Accounts of members and of join tokens are
made anew by the registry, which knows them (services/registry/accounts.py); the host's own, and tombstones, here.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skerry import bus
from skerry.checks.hostbus import VARZ, ask_all
from skerry.cli import bootstrap
from skerry.cli.failure import Failure
from skerry.cli.keys.held import HeldAccount, held, signers
from skerry.cli.keys.rotation import KeyStanding, Root, Show, state_of
from skerry.cli.term import program
from skerry.errors import StatusError
from skerry.identity import creds
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.resolver import Resolver

LIFE_S = 600
AT_ONCE = 32
"""Accounts that are looked up side by side."""
STARTED_S = 60.0
"""What a server may take to start anew."""
SETTLE_S = 20.0
"""Longer than a front door takes to see a new credential (10 s) and to use it for new requests."""
PAUSE_S = 0.2


@dataclass(frozen=True, kw_only=True)
class HostBus:
    """The bus of a host, as its keys are replaced on it."""

    host: Path
    """The directory of the host."""
    files: KeyFiles
    authority: Authority
    settings: bus.Settings
    configure: Callable[[], Awaitable[str]]
    """Has the servers' configuration as the keys are, and started anew who must be; what is left to do by people."""
    settle_s: float = SETTLE_S
    started_s: float = STARTED_S

    @asynccontextmanager
    async def system(self) -> AsyncIterator[bus.Connection]:
        """A connection by the key that is in use now."""
        connection = await bus.connect(self.settings, self.authority.system_credentials(LIFE_S))
        try:
            yield connection
        finally:
            connection.abort("done")

    async def accounts(self) -> list[HeldAccount]:
        """All that the servers hold and that have not ended."""
        async with self.system() as connection:
            resolver, slots = Resolver(connection), asyncio.Semaphore(AT_ONCE)

            async def look(public: str) -> HeldAccount | None:
                async with slots:
                    return held(public, await resolver.claims(public), time.time())

            claims = await asyncio.gather(*(look(public) for public in await resolver.accounts()))
        return [each for each in claims if each is not None]

    async def push(self, *texts: str) -> None:
        """Give the servers accounts. ServiceUnavailable if one is refused."""
        async with self.system() as connection:
            resolver = Resolver(connection)
            for text in texts:
                await resolver.push(text)

    async def trusted(self) -> dict[str, frozenset[str]]:
        """The keys that sign accounts, as each server knows them. StatusError."""
        async with self.system() as connection:
            answers = await ask_all(connection, VARZ)
        return {
            name: frozenset(
                key for each in data.get("trusted_operators_claim") or [] for key in each["nats"]["signing_keys"]
            )
            for name, data in answers
        }


class BusKey(ABC):
    """One of the three; who believes it is told by `_announce`."""

    name: str

    def __init__(self, host_bus: HostBus) -> None:
        self._bus, self._files, self._authority = host_bus, host_bus.files, host_bus.authority

    @property
    def _exporter(self) -> str:
        """The account whose imports it signs; empty: accounts."""
        return ""

    @abstractmethod
    async def _announce(self) -> tuple[str, ...]:
        """Have everybody believe the keys that `Authority.believed` names, and no other. Who does not yet, for people."""

    def _besides(self) -> list[tuple[str, str]]:
        """What else it signs, for people, and by whose signature it is."""
        return []

    async def look(self) -> KeyStanding:
        """By what the servers hold."""
        return self._standing(await self._bus.accounts())

    async def begin(self, root: Root) -> None:
        """A new key beside the old one."""
        self._files.begin(self.name, root, time.time())

    async def move(self, show: Show) -> KeyStanding:
        """Have everybody believe the new one, then sign with it, then make anew what the old one signed."""
        if self._replaced and not self._files.used(self.name):
            show(f"key {self.name}: telling who believes it")
            if lacking := await self._announce():
                standing = self._standing(await self._bus.accounts())
                return KeyStanding(
                    key=self.name, made=standing.made, state="moving", moved=0, total=standing.total, missing=lacking
                )
            self._files.use(self.name)
        if anew := self._ours(await self._bus.accounts()):
            await self._bus.push(*anew)
        return self._standing(await self._bus.accounts())

    async def drop(self, show: Show) -> None:
        """Have nobody believe the old one."""
        self._files.disbelieve(self.name)
        show(f"key {self.name}: telling who believes it")
        if lacking := await self._announce():
            raise Failure(
                f"the old {self.name} key is still believed ({'; '.join(lacking)}): run it again: {program()} keys finish {self.name}"
            )
        await self._bus.configure()
        self._files.end(self.name)

    @property
    def _replaced(self) -> bool:
        return self.name in self._files.public().replacements

    @property
    def _newest(self) -> str:
        replacement = self._files.public().replacements.get(self.name)
        return self._authority.active(self.name) if replacement is None else replacement.new

    def _moved(self, account: HeldAccount) -> bool:
        return signers(account, self._exporter) <= {self._newest}

    def _ours(self, accounts: list[HeldAccount]) -> list[str]:
        """What is to be made anew here."""
        own, anew = self._authority.public, []
        claims = {own.sys: "sys_jwt", own.host: "host_jwt", own.join: "join_jwt"}
        for each in accounts:
            if self._moved(each):
                continue
            if each.public in claims:
                anew.append(str(getattr(self._authority, claims[each.public])))
            elif each.tombstone:
                anew.append(self._authority.anew(each.text))
        return anew

    def _standing(self, accounts: list[HeldAccount]) -> KeyStanding:
        signed = [each for each in accounts if signers(each, self._exporter)]
        besides = self._besides()
        missing = [f"account {each.name}" for each in signed if not self._moved(each)]
        missing += [what for what, by in besides if by != self._newest]
        total = len(signed) + len(besides)
        moved = total - len(missing)
        return KeyStanding(
            key=self.name,
            made=self._files.made(self.name),
            state=state_of(rotating=self._replaced, moved=moved, total=total),
            moved=moved,
            total=total,
            missing=tuple(sorted(missing)),
        )

    async def _held(self, public: str, text: str) -> tuple[str, ...]:
        """Push an account of our own; told if the servers hold another one then."""
        await self._bus.push(text)
        async with self._bus.system() as connection:
            if await Resolver(connection).claims(public) != text:
                return ("a server holds another account than it was given",)
        return ()


class OperatorSigningKey(BusKey):
    """Signs every account. Its believers read the operator's JWT at their start alone, so each is started anew."""

    name = "signing"

    async def _announce(self) -> tuple[str, ...]:
        believed = frozenset(self._authority.believed(self.name))
        left = await self._bus.configure()
        until = time.monotonic() + self._bus.started_s
        while True:
            try:
                servers = await self._bus.trusted()
                lacking = tuple(sorted(name for name, keys in servers.items() if keys != believed))
            except StatusError as error:
                servers, lacking = {}, (error.message,)
            if servers and not lacking:
                return ()
            if left or time.monotonic() >= until:
                hint = f": {left}" if left else ""
                return tuple(f"server {name} has the operator's JWT of before{hint}" for name in lacking)
            await asyncio.sleep(PAUSE_S)


class HostKey(BusKey):
    """Signs the services' users, and what members and join tokens may import."""

    name = "host"

    @property
    def _exporter(self) -> str:
        return self._authority.public.host

    def _besides(self) -> list[tuple[str, str]]:
        return [(f"the credential of {path.stem}", creds.load(path).claims.iss) for path in self._credentials()]

    def _credentials(self) -> list[Path]:
        return [self._bus.host / "creds" / f"{service}.creds" for service in bootstrap.SERVICES]

    async def _announce(self) -> tuple[str, ...]:
        return await self._held(self._authority.public.host, self._authority.host_jwt)

    async def move(self, show: Show) -> KeyStanding:
        """And have the services' credentials made anew."""
        await super().move(show)
        bootstrap.renew_credentials(self._bus.host, self._authority)
        return await self.look()

    async def drop(self, show: Show) -> None:
        """When front doors carry new requests on connections by the new key: those by the old one are cut."""
        since = max(path.stat().st_mtime for path in self._credentials())
        while (left := min(since + self._bus.settle_s - time.time(), self._bus.settle_s)) > 0:
            show(f"key {self.name}: waiting {left:.0f} s until the services use their new credentials")
            await asyncio.sleep(min(left, 1.0))
        await super().drop(show)


class SysKey(BusKey):
    """Signs the users that ask the servers, and what HOST may import of SYS."""

    name = "sys"

    @property
    def _exporter(self) -> str:
        return self._authority.public.sys

    async def _announce(self) -> tuple[str, ...]:
        return await self._held(self._authority.public.sys, self._authority.sys_jwt)
