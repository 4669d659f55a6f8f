"""A whole federation of real processes, for breaking: a bus, a controller-manager, several towers, several agents.

Only the member's API server lives in the test's process (tests/member/apiserver.py), because what reached it, and what
was let go of there, is what the tests ask. Processes are killed, stopped and restarted by their own pid. `Strait` is a
TCP relay between an agent and the bus that can fall silent: a half-open connection without a firewall.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from skerry.api.v1alpha1 import API_VERSION
from skerry.errors import StatusError
from skerry.http import Client, Exchange, Response
from skerry.httpwire.head import Headers, RequestHead, ResponseHead
from skerry.identity import jointoken
from skerry.identity.keyfiles import SECRETS_KEY
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer

DEADLINE_S = 30.0
HOST_UID = "11111111-0000-0000-0000-000000000001"
MEMBER = "m1"
JSON = [(b"content-type", b"application/json")]
WATCH = b"/clusters/m1/api/v1/watch/pods"
PODS = b"/clusters/m1/api/v1/namespaces/d/pods"
EXEC = b"/clusters/m1/api/v1/namespaces/d/pods/p/exec?command=cat&stdin=true"


async def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of `condition`; fails with `what` at the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            while not (found := condition()):
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s} s: {what}") from None


class Process:
    """One process of Skerry, its log, and the signals that a test sends to it."""

    def __init__(self, module: str, log: Path, environment: dict[str, str], *arguments: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SKERRY_")}
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=kept | {"SKERRY_LOG_FORMAT": "json"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    async def logged(self, message: str) -> dict[str, Any]:
        """The first log line with this message."""

        def look() -> dict[str, Any] | None:
            if not self.alive:
                raise AssertionError(f"the process ended:\n{self.log.read_text(errors='replace')}")
            return next((line for line in self.lines() if line.get("message") == message), None)

        found: dict[str, Any] = await until(look, f"{message!r} in {self.log}")
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """kill -9, and wait."""
        self.process.kill()
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        if self.alive:
            self.process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.to_thread(self.process.wait, DEADLINE_S)

    def end(self) -> None:
        """Gone, whatever it does."""
        if self.alive:
            self.process.kill()
        self.process.wait(DEADLINE_S)

    def memory_mib(self, field: str = "VmHWM") -> float:
        """Peak (VmHWM) or present (VmRSS) resident memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


class Tower(Process):
    """A tower, and requests to it."""

    client: Client
    token = b""
    settings: dict[str, str]
    """What it was given besides those that all have."""

    async def connect(self, context: ssl.SSLContext) -> None:
        """Wait until it is ready, then make a client."""
        address = (await self.logged("listening"))["addresses"][0]
        await self.logged("ready")
        self.port = int(address[1])
        self.client = Client("127.0.0.1", self.port, context)
        self.held: list[Response] = []
        """Responses that a test keeps open."""

    async def metric(self, name: str) -> float:
        """One series without labels."""
        text = (await self.ask(b"/metrics")).body.decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))

    def head(self, target: bytes, method: bytes = b"GET", **more: Any) -> RequestHead:
        """A head of the administrator."""
        headers = [(b"authorization", b"Bearer " + self.token), *more.pop("headers", [])]
        return RequestHead(method=method, target=target, headers=headers, **more)

    async def open(self, target: bytes, method: bytes = b"GET", body: bytes | None = None, **more: Any) -> Response:
        """A response whose body is read by the test."""
        return await self.client.request(self.head(target, method, **more), body)

    async def ask_again(self, target: bytes) -> Answer:
        """One GET, its whole answer: asked again for as long as the answer says so, as every client of Kubernetes does. An agent that
        a test stopped takes nothing in its first tenth of a second, and on a busy machine one may be late."""
        async with asyncio.timeout(DEADLINE_S):
            while (answer := await self.ask(target)).status in (429, 503) and answer.says_retry:
                await asyncio.sleep(0.02)
        return answer

    async def ask(self, target: bytes, method: bytes = b"GET", body: bytes | None = None) -> Answer:
        """One request, its whole answer."""
        response = await self.open(target, method, body)
        try:
            return Answer(status=response.status, headers=list(response.headers), body=await response.body(1 << 24))
        finally:
            response.abort()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes

    @property
    def says_retry(self) -> bool:
        """Whether nothing was executed, and it may be asked again."""
        return any(name == b"retry-after" for name, _ in self.headers)

    @property
    def text(self) -> str:
        """The message of a Status, else the body."""
        with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
            return str(msgspec.json.decode(self.body)["message"])
        return self.body.decode("utf-8", "replace")


class Member:
    """The member's API server: counts what it executed, and sees who leaves."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.events: asyncio.Queue[bytes] = asyncio.Queue()
        self.left = 0
        self.watching = 0
        self.executed: list[bytes] = []
        api.routes |= {
            "/api/v1/watch/pods": self._watch,
            "/api/v1/namespaces/d/pods": self._pods,
            "/api/v1/namespaces/d/pods/p/exec": self._exec,
            "/big": self._big,
        }

    async def left_alone(self) -> None:
        """All that watched it have left, and what it executed is forgotten."""
        await until(lambda: self.left == self.watching, "nobody watches the member")
        self.left = self.watching = 0
        self.executed.clear()

    async def _pods(self, exchange: Exchange) -> None:
        body = await exchange.body(1 << 20)
        self.executed.append(exchange.head.method + b" " + (body or exchange.head.target))
        await exchange.respond(200, JSON, b'{"executed":true}')

    async def _watch(self, exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        self.watching += 1
        await exchange.write(b'{"type":"BOOKMARK"}\n')
        await exchange.gone.wait()
        self.left += 1

    async def _exec(self, exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        while data := await raw.read():
            await raw.write(data)
        await raw.write_eof()

    async def _big(self, exchange: Exchange) -> None:
        block = bytes(100_000)
        await exchange.start(ResponseHead(status=200, headers=[]), length=1000 * len(block))
        for _ in range(1000):
            await exchange.write(block)
        await exchange.finish()


class Strait:
    """A TCP relay to the bus. `freeze` drops everything and closes nothing; `thaw` lets new connections through."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0

    async def __aenter__(self) -> Strait:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """From now on nothing passes, in either direction."""
        self._open.clear()

    def thaw(self) -> None:
        """Let bytes pass again."""
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))
        finally:
            writer.transport.abort()
            there_writer.transport.abort()
            self._writers -= {writer, there_writer}
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Fleet:
    """Processes of one federation in `directory`, on the bus of `nats`."""

    def __init__(self, nats: NatsHost, api: ApiServer) -> None:
        self.nats, self.member = nats, Member(api)
        self.directory = nats.directory / "fleet"
        self.directory.mkdir()
        self.manager: Process | None = None
        self.towers: list[Tower] = []
        self.agents: list[Process] = []
        self.processes: list[Process] = []
        """All that ever ran."""
        self._joined = 0
        self.admin = b"skerry_" + secrets.token_urlsafe(32).encode()
        self._context = ssl.create_default_context(cafile=str(nats.directory / "ca.crt"))

    async def controller(self) -> Process:
        """A controller-manager that is ready."""
        token = self.directory / "admin.token"
        token.touch(mode=0o600)
        token.write_bytes(self.admin)
        process = Process(
            "services.controller_manager",
            self._log("controller-manager"),
            self._bus_settings("controller-manager")
            | {
                "SKERRY_KEYS_DIR": str(self.nats.keys_dir),
                "SKERRY_TRUST_ROOT": self.nats.trust_root,
                "SKERRY_HOST_UID": HOST_UID,
                "SKERRY_BUS_PUBLIC": ",".join(self.nats.servers),
                "SKERRY_ADMIN_TOKEN_FILE": str(token),
                "SKERRY_APP_STORE_SECRETS_KEY_FILE": str(self.nats.keys_dir / SECRETS_KEY),
                "SKERRY_EVENTS_SECRETS_KEY_FILE": str(self.nats.keys_dir / SECRETS_KEY),
            },
        )
        self.processes.append(process)
        self.manager = process
        await process.logged("ready")
        return process

    async def tower(self, **settings: str) -> Tower:
        """One more tower, ready."""
        directory = self.nats.directory
        environment = self._bus_settings("proxy") | {
            "SKERRY_LISTEN": "127.0.0.1:0",
            "SKERRY_TLS_CERT_FILE": str(directory / "tls.crt"),
            "SKERRY_TLS_KEY_FILE": str(directory / "tls.key"),
            "SKERRY_GRACE_S": "5",
        }
        tower = Tower("services.tower", self._log("tower"), environment | settings)
        tower.token, tower.settings = self.admin, settings
        self.processes.append(tower)
        await tower.connect(self._context)
        self.towers.append(tower)
        return tower

    async def agent(self, *, port: int = 0, **settings: str) -> Process:
        """One more agent of the member, serving; `port`: where it dials instead of the bus itself."""
        state = self.directory / f"agent-{self._joined}"
        text = jointoken.decode(await self._token(replica=self._joined > 0))
        if port:
            text = msgspec.structs.replace(text, servers=[f"tls://127.0.0.1:{port}"])
        token = self.directory / f"agent-{self._joined}.token"
        self._joined += 1
        token.touch(mode=0o600)
        token.write_text(jointoken.encode(text))
        environment = {
            "SKERRY_AGENT_STATE": str(state),
            "SKERRY_TOKEN_FILE": str(token),
            "SKERRY_KUBECONFIG": str(self.member.api.kubeconfig()),
            "SKERRY_GRACE_S": "5",
        }
        process = Process("services.agent", self._log("agent"), environment | settings)
        self.processes.append(process)
        self.agents.append(process)
        await process.logged("ready")
        return process

    async def _token(self, *, replica: bool) -> str:
        """As `skerry token create NAME [--replica]` asks for it."""
        spec = {"clusterName": MEMBER, "replica": replica}
        document = {"apiVersion": API_VERSION, "kind": "JoinToken", "metadata": {}, "spec": spec}
        path = f"/apis/{API_VERSION}/jointokens".encode()
        answer = await self.towers[0].ask(path, b"POST", msgspec.json.encode(document))
        assert answer.status == 201, answer.text
        return str(msgspec.json.decode(answer.body)["status"]["token"])

    def _bus_settings(self, service: str) -> dict[str, str]:
        path = self.directory / f"{service}.creds"
        if not path.exists():
            self.nats.service(service).save(path)
        return {
            "SKERRY_BUS_SERVERS": ",".join(self.nats.servers),
            "SKERRY_BUS_CA_FILE": str(self.nats.directory / "ca.crt"),
            "SKERRY_BUS_CREDENTIALS_FILE": str(path),
        }

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}-{len(self.processes)}.log"

    async def working(self, tower: Tower, deadline_s: float = DEADLINE_S) -> None:
        """Until a request through `tower` reaches the member."""
        async with asyncio.timeout(deadline_s):
            while True:
                with contextlib.suppress(StatusError, OSError):
                    if (await tower.ask(b"/clusters/m1/version")).status == 200:
                        return
                await asyncio.sleep(0.02)

    async def warm(self) -> None:
        """Requests until each tower has heard every agent, as it has in use."""
        for tower in self.towers:
            for _ in range(60):
                for target in (b"/clusters/m1/version", PODS):
                    answer = await tower.ask_again(target)
                    assert answer.status == 200, f"{answer.status} {answer.text}"
        self.member.executed.clear()

    async def whole(self, towers: int, agents: int) -> None:
        """So many of each serve, whatever a test before has done: what ended is started anew, what is too many stops."""
        for process in self.processes:
            if process.alive:
                process.signal(signal.SIGCONT)
        if self.manager is None or not self.manager.alive:
            await self.controller()
        await self._towers(towers)
        while len(self.towers) < towers:
            await self.tower()
        self.agents = [agent for agent in self.agents if agent.alive]
        while len(self.agents) > agents:
            await self.agents.pop().stop()
        while len(self.agents) < agents:
            await self.agent()
        for tower in self.towers if agents else ():
            await self.working(tower)
        await self.member.left_alone()
        if agents > 1:
            await self.warm()

    async def _towers(self, wanted: int) -> None:
        """No more than so many, none with settings of its own, and no request of a test before."""
        keep = [tower for tower in self.towers if tower.alive and not tower.settings][:wanted]
        for tower in self.towers:
            tower.client.cut()
            if tower not in keep:
                await tower.stop()
                await tower.client.close()
        self.towers = keep

    @contextlib.asynccontextmanager
    async def running(self, towers: int = 1, agents: int = 1) -> AsyncIterator[Fleet]:
        """Everything started; everything gone at the end, with the logs printed for a failure."""
        try:
            await self.whole(towers, agents)
            yield self
        finally:
            await self._end()

    async def _end(self) -> None:
        for tower in self.towers:
            await tower.client.close()
        for process in self.processes:
            process.end()
            sys.stdout.write(f"--- {process.log.name}\n{process.log.read_text(errors='replace')[-4000:]}\n")
