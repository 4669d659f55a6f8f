"""A member for the proxy's tests: an HTTP server that records what reaches it, behind the real agent's relay."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

import msgspec

from services.agent.handlers import StreamResponder
from services.agent.model import HostClock
from skerry import bus, http, subjects
from skerry.api.messages import Heartbeat
from skerry.api.v1alpha1 import Ceiling
from skerry.http import ClientGone, Exchange, Server
from skerry.httpwire.head import RequestHead, ResponseHead
from skerry.identity.assertion import Verifier
from skerry.identity.trust import pinned
from skerry.link import Acceptor
from skerry.member.credentials import ClientCredential, Fixed
from skerry.member.kubeconfig import Target
from skerry.member.upstream import Upstream

JSON = [(b"content-type", b"application/json")]
TOKEN = b"the-agents-own-token"


def pattern(size: int) -> bytes:
    """`size` bytes that show where one is missing."""
    block = b"".join(number.to_bytes(4, "big") for number in range(16384))
    return (block * (size // len(block) + 1))[:size]


class Recorder:
    """The member's API server: records heads and answers by path. Tests add their own answers to `routes`."""

    def __init__(self) -> None:
        self.heads: list[RequestHead] = []
        self.whole: list[bytes] = []
        """Targets of the requests without a route of their own whose body came to its end."""
        self.left = asyncio.Event()
        """Set when a client of `/hold` or `/watch` was seen to leave."""
        self.release = asyncio.Event()
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.routes: dict[bytes, Callable[[Exchange], Awaitable[None]]] = {
            b"/api/v1/watch/pods": self._watch,
            b"/big": self._big,
            b"/hash": self._hash,
            b"/hold": self._hold,
            b"/half": self._half,
            b"/early": self._early,
            b"/redirect": self._redirect,
            b"/empty": self._empty,
            b"/unmodified": self._unmodified,
            b"/cookie": self._cookie,
            b"/api/v1/namespaces/d/pods/p/exec": self._exec,
        }
        self.server = Server(self.handle)

    async def handle(self, exchange: Exchange) -> None:
        """Record, then answer by path; by default with what was seen, as JSON."""
        self.heads.append(exchange.head)
        route = self.routes.get(exchange.head.target.partition(b"?")[0])
        if route is not None:
            await route(exchange)
            return
        body = b""
        while data := await exchange.read():
            body += data
        self.whole.append(exchange.head.target)
        seen = {"method": exchange.head.method.decode(), "target": exchange.head.target.decode(), "size": len(body)}
        await exchange.respond(200, JSON, msgspec.json.encode(seen))

    async def _big(self, exchange: Exchange) -> None:
        size = int(exchange.head.target.partition(b"=")[2])
        await exchange.start(ResponseHead(status=200, headers=[]), length=size)
        data = pattern(size)
        for start in range(0, size, 100_000):
            await exchange.write(data[start : start + 100_000])
        await exchange.finish()

    async def _hash(self, exchange: Exchange) -> None:
        digest = hashlib.sha256()
        while data := await exchange.read():
            digest.update(data)
        await exchange.respond(200, [], digest.hexdigest().encode())

    async def _watch(self, exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        await self._until_left(exchange, self._events(exchange))

    async def _events(self, exchange: Exchange) -> None:
        while (event := await self.events.get()) is not None:
            await exchange.write(event)
        await exchange.finish()

    async def _hold(self, exchange: Exchange) -> None:
        async def answer() -> None:
            await self.release.wait()
            await exchange.respond(200, JSON, b"{}")

        await self._until_left(exchange, answer())

    async def _until_left(self, exchange: Exchange, work: Awaitable[None]) -> None:
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(exchange.gone.wait())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[1] in done:
            self.left.set()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        failed = [t for t in tasks if not t.cancelled() and t.exception() is not None]
        if failed and not isinstance(failed[0].exception(), ClientGone):
            raise RuntimeError("the member's answer failed") from failed[0].exception()

    async def _half(self, exchange: Exchange) -> None:
        """Promises more than it sends, then breaks."""
        await exchange.start(ResponseHead(status=200, headers=JSON), length=1_000_000)
        await exchange.write(b"x" * 200_000)
        await self.release.wait()
        exchange.abort()

    async def _early(self, exchange: Exchange) -> None:
        """Refuses before the body was read."""
        await exchange.respond(413, JSON, b"{}")

    async def _redirect(self, exchange: Exchange) -> None:
        await exchange.respond(301, [(b"location", b"/openapi/v3/api?hash=1")])

    async def _empty(self, exchange: Exchange) -> None:
        await exchange.respond(204, [])

    async def _unmodified(self, exchange: Exchange) -> None:
        await exchange.respond(304, [(b"etag", b'"1"')])

    async def _cookie(self, exchange: Exchange) -> None:
        await exchange.respond(
            200, [(b"set-cookie", b"a=b"), (b"warning", b'299 - "one"'), (b"warning", b'299 - "two"')]
        )

    async def _exec(self, exchange: Exchange) -> None:
        """Echoes raw bytes until the client ends its direction, then says how many there were. `leave` ends at once."""
        if exchange.head.upgrade is None:
            await exchange.respond(400, JSON, b'{"message":"upgrade required"}')
            return
        if b"command=refuse" in exchange.head.target:
            await exchange.respond(403, JSON, b'{"message":"no exec today"}')
            return
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        if b"command=leave" in exchange.head.target:
            await raw.write(b"bye")
            await raw.write_eof()
            return
        total = 0
        while data := await raw.read():
            total += len(data)
            await raw.write(data)
        await raw.write(b"total %d" % total)
        await raw.write_eof()


class Agent:
    """The agent's end of the tunnel, with its real relay, in this process."""

    def __init__(self, member: str, root: str, upstream: tuple[str, int]) -> None:
        self.member = member
        target = Target(scheme="http", host=upstream[0], port=upstream[1])
        self.upstream = Upstream(target, Fixed(ClientCredential(authorization=b"Bearer " + TOKEN)))
        clock = HostClock(time.time() - time.monotonic())
        self._relay = StreamResponder(self.upstream, Verifier(pinned(root), member), Ceiling(), clock)
        self._pair: tuple[bus.Connection, bus.Connection] | None = None
        self._task: asyncio.Task[str] | None = None

    async def start(self, settings: bus.Settings, credentials: bus.Credentials) -> None:
        """Connect and take streams."""
        self._pair = (await bus.connect(settings, credentials), await bus.connect(settings, credentials))
        acceptor = Acceptor(*self._pair, self.member, self._relay.handle)
        await acceptor.start()
        self._task = asyncio.create_task(acceptor.run())

    async def beat(self, rtt_ms: float) -> None:
        """One heartbeat."""
        assert self._pair is not None
        beat = Heartbeat(agent="UTEST", epoch="1", version="0.1.0", rtt_ms=rtt_ms)
        await self._pair[0].publish(subjects.heartbeat(self.member), msgspec.json.encode(beat))

    def kill(self) -> None:
        """As kill -9 would: the connections end without a word."""
        for connection in self._pair or ():
            connection.abort("killed by the test")

    async def close(self) -> None:
        """End everything."""
        self.kill()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.upstream.close()


__all__ = ["Agent", "Recorder", "http", "pattern"]
