"""Sessions through a real front door: what of them is recorded, who is refused, and what a killed one leaves."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.proxy.recording import reading
from services.proxy.recording.reading import SessionFilter
from services.proxy.recording.recorder import RESERVED_BYTES
from services.proxy.recording.store import Recordings
from skerry.api.recordings import RecordedSession, RecordingState
from skerry.audit import event
from skerry.http import Client, Cut, HttpError
from skerry.http.tls import client_context
from tests.fixtures.nats import eventually
from tests.proxy.auditing.audited import records
from tests.proxy.conftest import World
from tests.proxy.recording.frames import lines, marks, shown
from tests.proxy.recording.member import EXEC, PATH, Shell, demand, terminal
from tests.tower.test_process import environment, port_of, tower

pytestmark = pytest.mark.integration
PASSWORD = b"correct-horse-battery"


@pytest.fixture
async def shell(host: World) -> Shell:
    """What runs in the pod."""
    made = Shell()
    host.recorder.routes[PATH] = made.handle
    return made


@pytest.fixture
async def recorded(host: World, shell: Shell) -> None:
    """Sessions are recorded."""
    await demand(host)


@pytest.fixture
async def required(host: World, shell: Shell) -> None:
    """They must be."""
    await demand(host, required=True)


@pytest.fixture
async def store(host: World) -> AsyncIterator[Recordings]:
    """All recordings, as another front door reads them."""
    async with host.nats.bus("proxy") as connected:
        await connected.ready()
        yield Recordings(connected)


async def _sessions(store: Recordings) -> list[RecordedSession]:
    return [each async for each in reading.sessions(store, SessionFilter())]


async def _content(store: Recordings, session: RecordedSession) -> bytes:
    return b"".join([part async for part in reading.recording(store, session.id)])


async def _one(store: Recordings, *states: RecordingState) -> RecordedSession:
    """The one session, as soon as it is in one of these states."""
    async with asyncio.timeout(10):
        while True:
            found = await _sessions(store)
            if found and found[0].state in states:
                return found[0]
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("recorded")
async def test_a_session_is_recorded_and_nothing_that_was_typed(host: World, shell: Shell, store: Recordings) -> None:
    offers = (b"base64.channel.k8s.io", b"v5.channel.k8s.io", b"v4.channel.k8s.io")
    async with terminal(host, b"?command=sh&command=-l&tty=1&container=app", offers=offers) as client:
        assert [value for name, value in client.headers if name == b"warning"] == [
            b'299 skerry "this session is recorded: what its terminal shows, not what you type"'
        ]
        await client.send(b'{"Width":100,"Height":30}', 4)
        await eventually(lambda: bool(shell.sizes))
        await shell.show("Käse\r\n".encode())
        await client.send(PASSWORD)
        await client.until(PASSWORD.upper())
        running = await _one(store, RecordingState.RUNNING)
        await shell.end(b'{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}')
        await client.rest()
    assert shell.offered == [b"v5.channel.k8s.io, v4.channel.k8s.io"]
    session = await _one(store, RecordingState.COMPLETE)
    assert session.id == running.id
    assert (session.user, session.cluster, session.namespace, session.pod) == ("admin", "m1", "shop", "web-1")
    assert (session.command, session.container, session.subresource) == (("sh", "-l"), "app", "exec")
    assert session.exit == "3"
    content = await _content(store, session)
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (session.sha256, session.bytes)
    head, *_ = events = lines(content)
    assert (head["width"], head["height"]) == (100, 30)
    assert shown(events) == "Käse\r\n" + PASSWORD.decode().upper()
    assert PASSWORD not in content
    (record,) = [
        each for each in await records(host, b"resource=pods/exec", count=2) if each["stage"] == "ResponseComplete"
    ]
    assert record["auditID"] == session.audit_id
    assert record["annotations"][event.SESSION] == session.id
    assert record["annotations"][event.RECORDING] == f"complete sha256:{session.sha256}"


@pytest.mark.parametrize("query", [b"?command=sh&stdin=true", b"?command=sh&tty=false", b"?command=sh&tty=0"])
@pytest.mark.usefixtures("recorded")
async def test_a_session_without_a_terminal_is_not_recorded(
    query: bytes, host: World, shell: Shell, store: Recordings
) -> None:
    async with terminal(host, query) as client:
        await shell.begun.wait()
        await shell.end()
        await client.rest()
        assert not [value for name, value in client.headers if name == b"warning"]
    assert await _sessions(store) == []


@pytest.mark.parametrize(
    ("upgrade", "headers", "remedy"),
    [
        (b"SPDY/3.1", [], "kubectl 1.31 or newer"),
        (
            b"websocket",
            [(b"sec-websocket-protocol", b"v4.base64.channel.k8s.io")],
            "v5.channel.k8s.io or v4.channel.k8s.io",
        ),
    ],
)
@pytest.mark.usefixtures("recorded")
async def test_what_could_not_be_read_is_refused_with_the_remedy(
    upgrade: bytes, headers: list[tuple[bytes, bytes]], remedy: str, host: World, shell: Shell, store: Recordings
) -> None:
    response = await host.client.request(
        host.head(b"POST" if upgrade != b"websocket" else b"GET", EXEC + b"?tty=true", headers=headers, upgrade=upgrade)
    )
    answer = json.loads(await response.body(10_000))
    assert (response.status, remedy in answer["message"]) == (403, True)
    assert not host.recorder.heads
    assert await _sessions(store) == []


@pytest.mark.usefixtures("recorded")
async def test_a_member_that_agrees_on_what_was_not_offered_is_a_bad_gateway(
    host: World, shell: Shell, store: Recordings
) -> None:
    shell.agrees = b"base64.channel.k8s.io"
    response = await host.client.request(
        host.head(
            b"GET",
            EXEC + b"?tty=true",
            headers=[
                (b"sec-websocket-version", b"13"),
                (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                (b"sec-websocket-protocol", b"v5.channel.k8s.io"),
            ],
            upgrade=b"websocket",
        )
    )
    assert response.status == 502
    assert await _sessions(store) == []


@pytest.mark.usefixtures("recorded")
async def test_a_session_that_floods_is_recorded_to_the_limit_and_goes_on(
    host: World, shell: Shell, store: Recordings
) -> None:
    host.proxy.recordings.limit = RESERVED_BYTES + (1 << 20)
    piece = os.urandom(16_384).hex().encode()
    async with terminal(host) as client:
        await shell.begun.wait()
        reading_ = asyncio.ensure_future(client.rest())
        for _ in range(64):
            await shell.show(piece)
        await shell.end()
        await reading_
    assert client.seen == piece * 64
    session = await _one(store, RecordingState.FULL)
    assert 3 << 18 < session.bytes < RESERVED_BYTES + (1 << 20)
    assert "the recording ends here" in marks(lines(await _content(store, session)))[-2]


@pytest.mark.usefixtures("recorded")
async def test_a_front_door_that_is_killed_leaves_what_was_shown_until_a_second_before(
    host: World, shell: Shell, store: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tower(environment(host.nats)) as process:
        port = port_of(await process.until("listening"))
        await process.until("ready")
        door = Client("127.0.0.1", port, client_context(ca_data=host.nats.ca_pem))
        try:
            async with terminal(host, client=door) as client:
                await shell.begun.wait()
                await shell.show(b"before ")
                await client.until(b"before ")
                session = await _one(store, RecordingState.RUNNING)
                async with asyncio.timeout(5):
                    while b"before" not in await _content(store, session):
                        await asyncio.sleep(0.05)
                process.process.kill()
                with pytest.raises(HttpError):
                    await client.until(b"never")
        finally:
            await door.close()
    monkeypatch.setattr(reading, "SILENT_S", -1.0)
    (session,) = await _sessions(store)
    assert session.state is RecordingState.CUT
    assert (session.bytes, session.sha256) == (len(await _content(store, session)), msgspec.UNSET)
    assert shown(lines(await _content(store, session))) == "before "


@pytest.mark.usefixtures("recorded")
async def test_the_person_leaves_and_the_recording_has_its_end(host: World, shell: Shell, store: Recordings) -> None:
    async with terminal(host) as client:
        await shell.begun.wait()
        await shell.show(b"$ ")
        await client.until(b"$ ")
    session = await _one(store, RecordingState.COMPLETE)
    assert session.exit == ""
    assert shown(lines(await _content(store, session))) == "$ "


@pytest.mark.usefixtures("required")
async def test_a_required_session_begins_with_its_recording(host: World, shell: Shell, store: Recordings) -> None:
    async with terminal(host) as client:
        await shell.begun.wait()
        assert [each.required for each in await _sessions(store)] == [True]
        await shell.show(b"\xff\xff")
        await shell.end()
        await client.rest()
    await _one(store, RecordingState.COMPLETE)


@pytest.mark.usefixtures("required")
async def test_what_the_member_refuses_is_told_of_a_required_session(
    host: World, shell: Shell, store: Recordings
) -> None:

    async def refuse(exchange: Any) -> None:
        await exchange.respond(403, [], b"{}")

    host.recorder.routes[PATH] = refuse
    response = await host.client.request(
        host.head(
            b"GET", EXEC + b"?tty=1", headers=[(b"sec-websocket-protocol", b"v5.channel.k8s.io")], upgrade=b"websocket"
        )
    )
    assert response.status == 403
    await response.body(100)
    await _one(store, RecordingState.REFUSED)


@pytest.mark.usefixtures("required")
async def test_a_required_session_that_cannot_be_read_is_cut(host: World, shell: Shell, store: Recordings) -> None:
    async with terminal(host) as client:
        await shell.begun.wait()
        assert shell.raw is not None
        await shell.raw.write(b"\xff\xff\xff\xff")
        with pytest.raises(Cut):
            await client.rest()
    session = await _one(store, RecordingState.UNREADABLE)
    assert marks(lines(await _content(store, session)))[0].startswith("the session cannot be read")
