"""A front door as people have it, alone: a bus, a proxy process, and members whose API servers are a page of JSON, in a process of
their own (`python -m bench.doors FILE`). No other service runs, so that what a request takes is what the door makes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.workloads import Workloads, workloads
from services.agent.handlers import StreamResponder
from services.agent.model import HostClock
from services.tenancy.model import name_of
from skerry import subjects
from skerry.api.kinds import CLUSTER, CREDENTIAL
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.api.v1alpha1 import Ceiling
from skerry.bus import Bus, Settings, connect
from skerry.http import Client, Exchange, Server
from skerry.httpwire.head import RequestHead, ResponseHead
from skerry.identity.assertion import Verifier
from skerry.identity.creds import Credentials
from skerry.identity.trust import pinned
from skerry.link import Acceptor
from skerry.member.credentials import ClientCredential, Fixed
from skerry.member.kubeconfig import Target
from skerry.member.upstream import Upstream
from skerry.storage import Store, make_all
from tests.faults.fleet import Tower
from tests.proxy.conftest import certify

JSON = [(b"content-type", b"application/json")]
POD = msgspec.json.encode(
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "labels": {"a": "b" * 600}}}
)
SMALL, WATCH = "/clusters/m0/api/v1/namespaces/shop/pods/p", "/clusters/{}/api/v1/namespaces/shop/pods?watch=true"
AT_ONCE = 64
STREAMS = 6_000
"""Live requests that the door takes of one user and to one member: more than anybody is let have by default."""


class _Plan(msgspec.Struct, frozen=True):
    """The members of a process."""

    server: str
    ca_pem: str
    trust_root: str
    agents: dict[str, tuple[str, str]]
    """By name of the member: JWT and seed."""


class Door:
    """A running door. `store` is the bucket of all kinds, which nobody else writes."""

    def __init__(self, bench: Workloads, bus: Bus, towers: list[Tower]) -> None:
        self.bench, self.bus, self.towers, self.tower = bench, bus, towers, towers[0]
        self.tls = ssl.create_default_context(cafile=str(bench.host.directory / "ca.crt"))

    async def store(self, kind: Any, documents: Iterable[Document]) -> None:
        """Make all of these, several at a time."""
        store, left = Store(await self.bus.bucket(subjects.RESOURCES), kind), iter(documents)

        async def some() -> None:
            for document in left:
                await store.create(document)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())

    async def person(self, user: str, *groups: str) -> str:
        """Their token, which the door knows."""
        token = "skerry_" + f"{user:x<43}"[:43]
        spec = {"user": user, "groups": list(groups), "ttl": "1h"}
        ends = {"expires": rfc3339(time.time() + 3600)}
        await self.store(CREDENTIAL, [{"metadata": {"name": name_of(token)}, "spec": spec, "status": ends}])
        return token

    async def get(self, client: Client, token: str, target: str) -> int:
        """The status of a small request, read to its end."""
        headers = [(b"authorization", b"Bearer " + token.encode())]
        response = await client.request(RequestHead(method=b"GET", target=target.encode(), headers=headers))
        await response.body(1 << 20)
        await response.release()
        return response.status

    async def reached(self, token: str, target: str) -> None:
        """Wait until a request is answered as it should, by each process."""
        async with asyncio.timeout(120):
            for tower in self.towers:
                while await self.get(tower.client, token, target) != 200:
                    await asyncio.sleep(0.05)

    def client(self) -> Client:
        """One connection to the first process."""
        return Client("127.0.0.1", self.tower.port, self.tls)


@contextlib.asynccontextmanager
async def door(*members: str, processes: int = 1) -> AsyncIterator[Door]:
    """One, of so many processes, with Clusters of these names and their agents."""
    with workloads() as bench:
        host = bench.host
        async with host.open_bus("bench") as bus, host.bus("registry") as registry:
            await bus.ready()
            await make_all(bus)
            registry.serve("registry", "0.1.0", {subjects.CERTIFY: lambda message: certify(host, message)})
            await registry.ready()
            limits = {f"SKERRY_STREAMS_PER_{each}": str(STREAMS) for each in ("USER", "MEMBER")}
            async with contextlib.AsyncExitStack() as stack:
                towers = [
                    await stack.enter_async_context(bench.tower(module="services.proxy", **limits))
                    for _ in range(processes)
                ]
                await stack.enter_async_context(_members(bench, members))
                made = Door(bench, bus, towers)
                spec = {"role": "member", "connection": {"mode": "agent"}}
                await made.store(CLUSTER, [{"metadata": {"name": name}, "spec": spec} for name in members])
                yield made


@contextlib.asynccontextmanager
async def _members(bench: Workloads, names: Iterable[str]) -> AsyncIterator[None]:
    host = bench.host
    agents = {name: (await host.member(name))[1] for name in names}
    told = {name: (each.jwt, each.seed.decode()) for name, each in agents.items()}
    plan = _Plan(host.servers[0], host.ca_pem, host.trust_root, told)
    file = host.directory / "members.json"
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(plan))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.doors", str(file), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise RuntimeError("the members ended")
        yield
    finally:
        process.kill()
        await process.wait()


# The process of the members


async def _answer(exchange: Exchange) -> None:
    if b"watch=true" not in exchange.head.target:
        await exchange.respond(200, JSON, POD)
        return
    await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
    await exchange.write(b'{"type":"BOOKMARK"}\n')
    await exchange.gone.wait()


async def _serve(plan: _Plan) -> None:
    server = Server(_answer)
    await server.start("127.0.0.1", 0)
    host, port = server.addresses[0]
    clock = HostClock(time.time() - time.monotonic())
    async with asyncio.TaskGroup() as tasks:
        for name, (jwt, seed) in plan.agents.items():
            upstream = Upstream(
                Target(scheme="http", host=host, port=port),
                Fixed(ClientCredential(authorization=b"Bearer x")),
                connections=STREAMS,
            )
            settings, credentials = (
                Settings(servers=(plan.server,), ca_pem=plan.ca_pem, name=name),
                Credentials(jwt, seed.encode()),
            )
            relay = StreamResponder(upstream, Verifier(pinned(plan.trust_root), name), Ceiling(), clock)
            pair = [await connect(settings, credentials) for _ in range(2)]
            acceptor = Acceptor(pair[0], pair[1], name, relay.handle)
            await acceptor.start()
            tasks.create_task(acceptor.run())
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        raise SystemExit(0)


if __name__ == "__main__":
    uvloop.run(_serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=_Plan)))
