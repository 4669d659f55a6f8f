"""Workloads on a real nats-server of their own, and members that are nothing but their entries and heartbeats.

As many members as one likes: what they cost is what the host keeps and does for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.agents import Who
from services.registry import clusters
from services.registry.clock import wall_and_mono
from services.registry.model import BEAT_S, JOINED
from services.registry.secrets import BUCKET, MemberSecret, Secrets
from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Heartbeat, JoinRequest
from skerry.bus import BucketConfig, Bus
from skerry.identity import nkey
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.identity.nkey import KeyType
from skerry.identity.resolver import Resolver
from skerry.storage import Store
from skerry.storage.sealed import Keyring
from tests.faults.fleet import HOST_UID, Process, Tower
from tests.fixtures.nats import NatsHost

ADMIN_TOKEN = "skerry_" + "x" * 43
AT_ONCE = 32
"""Members that are made at once."""


class Workloads:
    """A bus, and processes on it with the settings that the supervisor would give."""

    def __init__(self, host: NatsHost) -> None:
        self.host = host
        self._made = 0

    def _environment(self, user: str) -> dict[str, str]:
        directory = self.host.directory
        credentials = directory / f"{user}.creds"
        if not credentials.exists():
            self.host.service(user).save(credentials)
        token = directory / "admin.token"
        token.touch(mode=0o600)
        token.write_text(ADMIN_TOKEN)
        return {
            "SKERRY_BUS_SERVERS": self.host.servers[0],
            "SKERRY_BUS_CA_FILE": str(directory / "ca.crt"),
            "SKERRY_BUS_CREDENTIALS_FILE": str(credentials),
            "SKERRY_TRUST_ROOT": self.host.trust_root,
            "SKERRY_KEYS_DIR": str(self.host.keys_dir),
            "SKERRY_HOST_UID": HOST_UID,
            "SKERRY_BUS_PUBLIC": ",".join(self.host.servers),
            "SKERRY_ADMIN_TOKEN_FILE": str(token),
            "SKERRY_APP_STORE_SECRETS_KEY_FILE": str(self.host.keys_dir / SECRETS_KEY),
            "SKERRY_EVENTS_SECRETS_KEY_FILE": str(self.host.keys_dir / SECRETS_KEY),
            "SKERRY_LISTEN": "127.0.0.1:0",
            "SKERRY_TLS_CERT_FILE": str(directory / "tls.crt"),
            "SKERRY_TLS_KEY_FILE": str(directory / "tls.key"),
        }

    @contextlib.asynccontextmanager
    async def running(self, user: str, module: str, *arguments: str) -> AsyncIterator[Process]:
        """A process with the rights of `user`, ready; SIGTERM at the end."""
        process = Process(module, self._log(user), self._environment(user), *arguments)
        try:
            await process.logged("ready")
            yield process
            await process.stop()
        finally:
            process.end()

    @contextlib.asynccontextmanager
    async def tower(self, module: str = "services.tower", **settings: str) -> AsyncIterator[Tower]:
        """A tower, or the proxy alone, that can be asked, as the administrator; SIGTERM at the end."""
        tower = Tower(module, self._log("tower"), self._environment("proxy") | settings)
        try:
            tower.token = ADMIN_TOKEN.encode()
            await tower.connect(ssl.create_default_context(cafile=str(self.host.directory / "ca.crt")))
            yield tower
            await tower.client.close()
            await tower.stop()
        finally:
            tower.end()

    def _log(self, name: str) -> Path:
        self._made += 1
        return self.host.directory / f"{name}-{self._made}.log"


@contextlib.contextmanager
def workloads() -> Iterator[Workloads]:
    """On a bus that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as name:
        host = NatsHost(Path(name))
        host.start()
        try:
            yield Workloads(host)
        finally:
            host.stop()


class Members:
    """Members that have joined, each with one agent that beats."""

    def __init__(self, host: NatsHost, count: int) -> None:
        self._host = host
        self._keys = [nkey.create(KeyType.USER) for _ in range(count)]
        self._uids = [str(uuid.uuid4()) for _ in range(count)]
        self.names = [f"member-{number:05}" for number in range(count)]
        self._users = [""] * count

    async def join(self, *, accounts: bool) -> None:
        """Store what joining stores; with `accounts` their secrets too, and the server knows them."""
        async with self._host.bus("registry") as bus, self._host.connection(self._host.system()) as system:
            await bus.ready()
            store = Store(await bus.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
            key = Keyring(self._host.keys_dir / "secrets.key")
            secrets = Secrets(await bus.bucket(BUCKET, create=BucketConfig()), key)

            async def one(number: int) -> None:
                request = JoinRequest(
                    nkey=self._keys[number].public, name=self.names[number], cluster_uid=self._uids[number],
                    kubernetes_version="v1.36.3", agent_version="0.1.0",
                )  # fmt: skip
                cluster = await store.create(clusters.member(request, JOINED, wall_and_mono()))
                if accounts:
                    account = self._host.authority.member_account(request.name)
                    secret = MemberSecret(
                        cluster=cluster.uid, account=account.public, seed=account.seed.decode(),
                        agents={request.nkey: time.time()},
                    )  # fmt: skip
                    await secrets.change(request.name, lambda _: secret)
                    await Resolver(system).push(account.jwt)
                    self._users[number] = self._host.authority.member_user(account, request.nkey)

            await _each(range(len(self.names)), one)

    def agents(self, numbers: Iterable[int]) -> tuple[Who, ...]:
        """Of members that have accounts: what a process needs to be their agents."""
        return tuple(
            Who(self.names[each], self._uids[each], self._users[each], self._keys[each].seed.decode())
            for each in numbers
        )

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[Bus]:
        """All agents beat inside, each at its own time within the ten seconds; a bus to look with."""
        async with self._host.open_bus("members") as bus, asyncio.TaskGroup() as tasks:
            await bus.ready()
            beating = tasks.create_task(self._beat(bus))
            yield bus
            beating.cancel()

    async def _beat(self, bus: Bus) -> None:
        keys = [each.public for each in self._keys]
        beats = [
            (
                subjects.heartbeat(name),
                msgspec.json.encode(
                    Heartbeat(
                        agent=key, epoch="1", version="0.1.0", kubernetes_version="v1.36.3", cluster_uid=uid, nodes=3
                    )
                ),
            )
            for name, key, uid in zip(self.names, keys, self._uids, strict=True)
        ]
        while True:
            started = time.monotonic()
            for number, (subject, beat) in enumerate(beats):
                await bus.publish(subject, beat)
                ahead = started + BEAT_S * number / len(beats) - time.monotonic()
                if ahead > 0.01:
                    await asyncio.sleep(ahead)
            await asyncio.sleep(max(0.0, started + BEAT_S - time.monotonic()))


async def _each(numbers: Sequence[int], work: Callable[[int], Awaitable[None]]) -> None:
    left = iter(numbers)

    async def some() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())


async def quiet(bus: Bus, still_s: float, deadline_s: float) -> int:
    """The revision of the resources once nothing was written for `still_s`. TimeoutError."""
    bucket = await bus.bucket(subjects.RESOURCES)
    revision, since = await bucket.last_revision(), time.monotonic()
    async with asyncio.timeout(deadline_s):
        while time.monotonic() - since < still_s:
            await asyncio.sleep(0.25)
            now = await bucket.last_revision()
            if now != revision:
                revision, since = now, time.monotonic()
    return revision
