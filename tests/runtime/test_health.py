"""/livez and /readyz: what a probe is told, and that nobody else keeps it from being answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from skerry.runtime import health
from skerry.runtime.health import CONNECTIONS, HEAD_BYTES, HealthEndpoint
from skerry.settings import SettingsError

DEADLINE_S = 10.0


class Process:
    """Why it is not ready."""

    problem: str | None = None


def asked(path: str, *, method: str = "GET", problem: str | None = None) -> tuple[int, str]:
    """(status, body) of the answer to a request."""
    endpoint = HealthEndpoint(lambda: problem)
    head, _, body = endpoint.answer(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), body.decode()


def test_who_answers_is_alive_whatever_is_wrong() -> None:
    assert asked("/livez", problem="the bus is away") == (200, "ok\n")


def test_ready_is_200_and_not_ready_503_with_the_reason() -> None:
    assert asked("/readyz") == (200, "ok\n")
    assert asked("/readyz", problem="the bus is away") == (503, "the bus is away\n")


def test_a_query_changes_nothing_and_head_has_no_body() -> None:
    assert asked("/readyz?verbose=1") == (200, "ok\n")
    assert asked("/readyz", method="HEAD", problem="away") == (503, "")


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez/", "/readyz/../livez", "//livez"])
def test_nothing_else_is_there(path: str) -> None:
    assert asked(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_nothing_is_done(method: str) -> None:
    assert asked("/livez", method=method)[0] == 405


def test_a_reason_is_short_and_holds_no_secret() -> None:
    status, body = asked("/readyz", problem="token skerry_" + "A" * 43 + " " + "x" * 9000)
    assert (status, body[:15]) == (503, "token [secret] ")
    assert len(body) <= health.REASON + 1


@asynccontextmanager
async def listening(process: Process) -> AsyncIterator[int]:
    """The port of an endpoint."""
    endpoint = HealthEndpoint(lambda: process.problem)
    await endpoint.listen("127.0.0.1:0")
    try:
        yield endpoint.addresses[0][1]
    finally:
        endpoint.close()


async def probed(port: int, path: str = "/livez") -> int:
    """The status that a probe sees."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, cleanly or not."""
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        try:
            while part := await reader.read(4096):
                data += part
        except ConnectionError:
            pass
    return data


@pytest.mark.integration
async def test_a_probe_sees_each_change_at_once() -> None:
    process = Process()
    async with listening(process) as port:
        assert await probed(port, "/readyz") == 200
        process.problem = "the bus is away"
        assert (await probed(port, "/readyz"), await probed(port)) == (503, 200)


@pytest.mark.integration
async def test_probes_come_through_while_others_hold_all_connections() -> None:
    async with listening(Process()) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3 * CONNECTIONS)]
        for _, writer in held[-CONNECTIONS:]:
            writer.write(b"GET /livez")
        assert await probed(port) == 200
        assert await end_of(held[0][0]) == b""  # the oldest made room
        for _, writer in held:
            writer.close()


@pytest.mark.integration
async def test_a_head_that_never_ends_is_refused_and_its_connection_ends() -> None:
    async with listening(Process()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES)
        assert (await end_of(reader)).startswith(b"HTTP/1.1 400")
        writer.close()


@pytest.mark.integration
async def test_who_says_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE_S", 0.05)
    async with listening(Process()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await end_of(reader) == b""
        writer.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"\r\n\r\n", b"GET /livez\r\n\r\n", b"\x00" * 5000]
)
async def test_rubbish_is_a_400_and_the_next_probe_works(rubbish: bytes) -> None:
    async with listening(Process()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rubbish)
        assert (await end_of(reader)).startswith(b"HTTP/1.1 400")
        writer.close()
        assert await probed(port) == 200


async def test_it_is_off_unless_it_is_asked_for() -> None:
    endpoint = HealthEndpoint(lambda: None)
    await endpoint.listen("")
    assert endpoint.addresses == []


@pytest.mark.parametrize("where", ["8081", "nowhere.invalid:8081", ":x"])
async def test_a_place_that_is_none_is_said_with_the_variable(where: str) -> None:
    with pytest.raises(SettingsError, match="SKERRY_OPS_LISTEN is"):
        await HealthEndpoint(lambda: None).listen(where)
