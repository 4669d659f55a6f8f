"""Bytes of any length through the front door, to an action and from one: a kind of a test, on a real bus, with real rights."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from services.proxy.hostapi import Forwarder, HostApi
from services.proxy.hostapi.streams import Streams
from skerry import subjects
from skerry.admission import Download, Rules, Upload
from skerry.api import v1alpha1
from skerry.api.kinds import SERVED, Action, Kind
from skerry.api.messages import Caller, WriteRequest
from skerry.api.meta import Document, Struct
from skerry.api.streaming import UploadReference
from skerry.bus import BucketConfig, Bus, ObjectStore, StoreConfig
from skerry.bus.jetstream import api as jetstream
from skerry.bus.objects import PART_BYTES
from skerry.errors import Forbidden, NotFound, TooManyRequests, Unauthorized
from skerry.http import Client, ClientGone, Exchange, Server
from skerry.http.errors import Cut
from skerry.httpwire.head import RequestHead
from skerry.identity import permissions, services
from skerry.informer import Informer
from skerry.service import Service
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.hostapi.conftest import World
from tests.service.harbour import NoSettings
from tests.service.test_minimal import listed

pytestmark = pytest.mark.integration
MIB = 1 << 20
CALLER = Caller(user="vera", groups=("skerry:view",))
BERTHS = "/apis/skerry.dev/v1alpha1/berths"
LARGE = hashlib.shake_128(b"cargo").digest(3 * MIB + 17)


class Receipt(Struct, frozen=True, kw_only=True):
    """What came."""

    size: int = 0
    digest: str = ""
    said: str = ""


def action(subresource: str, verb: str, **more: Any) -> Action:
    return Action(subresource=subresource, verb=verb, description="Something.", streaming=True, **more)


BERTH = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Berth",
    plural="berths",
    singular="berth",
    owner="harbour",
    type=v1alpha1.JoinToken,
    verbs=("get", "list", "create"),
    actions=(
        action("cargo", "create", answer=Receipt, max_bytes=4 * MIB),
        action("cargo", "update", answer=Receipt, max_bytes=MIB, timeout_s=0.5),
        action("cargo", "get", timeout_s=1.5),
        action("ballast", "get", timeout_s=15.0),
    ),
)
ALL = (*SERVED, BERTH)
Respond = Callable[[WriteRequest], Awaitable[Download]]


class Harbour:
    """The owner's handlers, and what a test has them do."""

    def __init__(self) -> None:
        self.download: Respond = self._nothing
        self.unloading: Callable[[Upload], Awaitable[None]] | None = None
        self.parts: list[str] = []
        """Cursors that were asked for."""

    async def _nothing(self, request: WriteRequest) -> Download:
        raise NotFound("there is no such cargo")

    async def load(self, context: Any, request: WriteRequest, upload: Upload) -> Document:
        if self.unloading is not None:
            await self.unloading(upload)
        sha256, size = hashlib.sha256(), 0
        async for part in upload.read():
            sha256.update(part)
            size += len(part)
        said = f"{request.caller.user} {request.name} {upload.content_type} {upload.size} {request.options.dry_run}"
        return {"size": size, "digest": f"sha256:{sha256.hexdigest()}", "said": said}

    async def unload(self, context: Any, request: WriteRequest, parameters: None) -> Download:
        self.parts.append(request.cursor)
        return await self.download(request)

    @property
    def service(self) -> Service[NoSettings, None]:
        handlers: Any = {
            (BERTH, "cargo", "create"): self.load,
            (BERTH, "cargo", "update"): self.load,
            (BERTH, "cargo", "get"): self.unload,
            (BERTH, "ballast", "get"): self.unload,
        }
        return Service(name="harbour", settings=NoSettings, rules={BERTH: Rules}, actions=handlers)


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind and its owner are in the tables: rights follow."""
    listed(monkeypatch, BERTH)
    (uploads,) = (each for each in services.OBJECT_BUCKETS if each.name == subjects.UPLOADS)
    monkeypatch.setattr(permissions, "OBJECT_BUCKETS", (dataclasses.replace(uploads, readers=("harbour",)),))


@pytest.fixture
async def maker(nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with nats_host.open_bus("maker") as bus:
        await bus.bucket(subjects.RESOURCES, create=BucketConfig())
        yield bus


@pytest.fixture
async def uploads(maker: Bus) -> AsyncIterator[ObjectStore]:
    store = await maker.objects(subjects.UPLOADS, create=StoreConfig(ttl_s=3600))
    yield store
    assert await chunks(store) == set()
    assert [each async for each in store.objects()] == []


async def chunks(store: ObjectStore) -> set[str]:
    """Subjects of bytes that lie in a store."""
    answer = await jetstream(
        await store._link.connection(5), f"STREAM.INFO.{store._stream}", b'{"subjects_filter":">"}'
    )
    return {each for each in answer["state"].get("subjects") or {} if ".C." in each}


@pytest.fixture
async def harbour(nats_host: NatsHost, uploads: ObjectStore) -> AsyncIterator[Harbour]:
    made = Harbour()
    async with serving(nats_host, (made.service, NoSettings())):
        yield made


@pytest.fixture
async def world(nats_host: NatsHost, maker: Bus) -> AsyncIterator[World]:
    """A host API whose bus has a proxy's rights."""
    async with nats_host.bus("proxy") as bus, bus.another("streams") as streaming:
        made = World(Informer(ALL), None)  # type: ignore[arg-type]
        api = HostApi(made.cache, Forwarder(bus, nats_host.sign, streaming), ALL)

        async def handle(exchange: Exchange) -> None:
            with contextlib.suppress(ClientGone):
                await api.handle(exchange, CALLER, made.authorize)

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        made.port = server.addresses[0][1]
        yield made
        await server.close(0)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def chunked(world: World, body: AsyncIterator[bytes], method: str = "POST") -> tuple[int, bytes]:
    """Send a body without saying how long it is."""
    client = Client("127.0.0.1", world.port)
    head = RequestHead(method=method.encode(), target=f"{BERTHS}/b1/cargo".encode(), headers=[])
    response = await client.request(head, body)
    answer = response.status, await response.body(1 << 20)
    await client.close()
    return answer


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class TestBodies:
    @pytest.mark.parametrize("size", [0, 1, 200_000, len(LARGE)])
    async def test_arrive_as_they_were_sent_with_who_sent_them(self, world: World, harbour: Harbour, size: int) -> None:
        answer = await world.ask(
            f"{BERTHS}/b1/cargo?dryRun=All", "POST", LARGE[:size], {"content-type": "application/gzip"}
        )
        assert answer.status == 201
        assert answer.json() == {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "Receipt",
            "size": size,
            "digest": sha256(LARGE[:size]),
            "said": f"vera b1 application/gzip {size} True",
        }

    async def test_need_not_say_how_long_they_are(self, world: World, harbour: Harbour) -> None:
        status, body = await chunked(world, pieces(*(LARGE[at : at + 70_000] for at in range(0, len(LARGE), 70_000))))
        assert status == 201
        assert sha256(LARGE).encode() in body

    async def test_that_say_that_they_are_too_large_are_refused_unread(self, world: World, harbour: Harbour) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        head = f"POST {BERTHS}/b1/cargo HTTP/1.1\r\nhost: x\r\ncontent-length: {4 * MIB + 1}\r\nexpect: 100-continue\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
            text = await reader.read()
        assert b"larger than 4194304 bytes, the limit of berths/cargo: nothing was changed" in text
        writer.close()

    async def test_that_turn_out_to_be_too_large_are_refused(self, world: World, harbour: Harbour) -> None:
        status, body = await chunked(world, pieces(LARGE, LARGE))
        assert status == 413
        assert b"larger than 4194304 bytes" in body

    async def test_that_come_too_slowly_are_given_up(self, world: World, harbour: Harbour) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield LARGE[:500_000]
            await asyncio.sleep(3)
            yield b"late"

        status, body = await chunked(world, slow(), "PUT")
        assert status == 504
        assert b"was not here within 0.5 s: nothing was changed, send it again" in body

    async def test_of_clients_that_leave_stay_nowhere(
        self, world: World, harbour: Harbour, uploads: ObjectStore
    ) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(f"POST {BERTHS}/b1/cargo HTTP/1.1\r\nhost: x\r\ncontent-length: {len(LARGE)}\r\n\r\n".encode())
        writer.write(LARGE[: 2 * MIB])
        await writer.drain()
        async with asyncio.timeout(10):
            while not await chunks(uploads):
                await asyncio.sleep(0.01)
            writer.transport.abort()
            while await chunks(uploads):
                await asyncio.sleep(0.01)

    async def test_are_gone_when_the_owner_refuses_them_unread(self, world: World, harbour: Harbour) -> None:
        async def refuse(upload: Upload) -> None:
            raise Forbidden("nothing is loaded on Sundays")

        harbour.unloading = refuse
        answer = await world.ask(f"{BERTHS}/b1/cargo", "POST", LARGE)
        assert (answer.status, answer.json()["message"]) == (403, "nothing is loaded on Sundays")

    async def test_of_an_owner_that_is_away_are_gone(self, world: World, uploads: ObjectStore) -> None:
        answer = await world.ask(f"{BERTHS}/b1/cargo", "POST", LARGE)
        assert answer.status == 503
        assert "service harbour, which owns berths, is away: nothing was changed" in answer.json()["message"]

    async def test_are_not_taken_without_a_place_for_them(self, world: World, fresh_store: None) -> None:
        answer = await world.ask(f"{BERTHS}/b1/cargo", "POST", LARGE)
        assert answer.status == 503
        assert "the store for what is uploaded is not there yet, nothing was changed" in answer.json()["message"]

    async def test_of_one_user_are_a_few_at_once(self, world: World, harbour: Harbour) -> None:
        enough, began = asyncio.Event(), 0

        async def wait(upload: Upload) -> None:
            nonlocal began
            began += 1
            await enough.wait()

        harbour.unloading = wait
        asked = [asyncio.ensure_future(world.ask(f"{BERTHS}/b1/cargo", "POST", b"x")) for _ in range(4)]
        await eventually(lambda: began == 4)
        refused = await world.ask(f"{BERTHS}/b1/cargo", "POST", b"x")
        assert (refused.status, refused.header(b"retry-after")) == (429, b"1")
        assert "user 'vera' has 4 uploads already, the limit of one user" in refused.json()["message"]
        enough.set()
        assert [each.status for each in await asyncio.gather(*asked)] == [201] * 4
        assert (await world.ask(f"{BERTHS}/b1/cargo", "POST", b"x")).status == 201

    def test_are_so_many_at_once_and_room_that_was_given_back_is_room(self) -> None:
        taking = Streams(uploads=2, uploads_per_user=1)
        for _ in range(3):
            with (
                taking._place("vera"),
                taking._place("olaf"),
                pytest.raises(TooManyRequests, match="takes 2 uploads already"),
                taking._place("nils"),
            ):
                pass
            with taking._place("vera"), pytest.raises(TooManyRequests, match="'vera' has 1"), taking._place("vera"):
                pass
        assert not taking._uploading

    async def test_that_are_not_those_that_were_signed_are_not_read(self, uploads: ObjectStore) -> None:
        await uploads.put("u", pieces(b"another"), max_bytes=100, deadline_s=5)

        async def opened() -> ObjectStore:
            return uploads

        upload = Upload(UploadReference(name="u", size=7, digest=sha256(b"the one")), opened)
        with pytest.raises(Unauthorized, match="is not what the signature of the request is of"):
            await anext(upload.read())
        await uploads.delete("u")

    async def test_are_asked_for_by_an_action_that_takes_them(self, world: World, harbour: Harbour) -> None:
        world.denied.add("berths")
        assert (await world.ask(f"{BERTHS}/b1/cargo", "POST", LARGE)).status == 403


@pytest.fixture
async def fresh_store(maker: Bus) -> None:
    """There is no store of uploads."""
    with contextlib.suppress(NotFound):
        await (await maker.objects(subjects.UPLOADS)).destroy()


def constant(download: Download) -> Respond:
    async def respond(request: WriteRequest) -> Download:
        return download

    return respond


def sliced(data: bytes, **more: Any) -> Download:
    """Whatever it says of itself."""

    async def read(cursor: str) -> tuple[bytes, str]:
        start = int(cursor or 0)
        end = start + PART_BYTES
        return data[start:end], str(end) if end < len(data) else ""

    return Download(read=read, **more)


class TestAnswers:
    @pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, len(LARGE)])
    async def test_arrive_as_they_are(self, world: World, harbour: Harbour, size: int) -> None:
        harbour.download = constant(Download.of_bytes(LARGE[:size], content_type="image/png"))
        answer = await world.ask(f"{BERTHS}/b1/cargo")
        assert (answer.status, answer.body) == (200, LARGE[:size])
        assert len(harbour.parts) == max(1, -(-size // PART_BYTES))
        headers: Mapping[bytes, bytes] = {name.lower(): value for name, value in answer.headers}
        assert headers[b"content-type"] == b"image/png"
        assert headers[b"content-length"] == str(size).encode()
        assert headers[b"etag"] == f'"{sha256(LARGE[:size])}"'.encode()
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"content-security-policy"] == b"sandbox; default-src 'none'"
        assert b"content-disposition" not in headers

    async def test_of_an_object_are_read_from_its_store(self, world: World, harbour: Harbour, maker: Bus) -> None:
        store = await maker.objects("packages", create=StoreConfig())
        info = await store.put("p", pieces(LARGE), max_bytes=4 * MIB, deadline_s=10)
        harbour.download = constant(Download.of_object(store, info, attachment="web-1.2.3.tgz"))
        answer = await world.ask(f"{BERTHS}/b1/cargo")
        assert (answer.status, answer.body) == (200, LARGE)
        assert answer.header(b"content-disposition") == (
            b"attachment; filename=\"web-1.2.3.tgz\"; filename*=UTF-8''web-1.2.3.tgz"
        )
        empty = await store.put("p", pieces(), max_bytes=1, deadline_s=10)
        harbour.download = constant(Download.of_object(store, empty))
        assert (await world.ask(f"{BERTHS}/b1/cargo")).body == b""

    async def test_of_unknown_length_are_chunked(self, world: World, harbour: Harbour) -> None:
        harbour.download = constant(sliced(LARGE))
        answer = await world.ask(f"{BERTHS}/b1/cargo")
        assert (answer.status, answer.body) == (200, LARGE)
        assert (answer.header(b"content-length"), answer.header(b"etag")) == (None, None)

    async def test_that_a_client_has_are_not_sent_again(self, world: World, harbour: Harbour) -> None:
        harbour.download = constant(Download.of_bytes(LARGE))
        etag = (await world.ask(f"{BERTHS}/b1/cargo")).header(b"etag")
        assert etag is not None
        harbour.parts.clear()
        again = await world.ask(f"{BERTHS}/b1/cargo", headers={"if-none-match": etag.decode()})
        assert (again.status, again.body, len(harbour.parts)) == (304, b"", 1)

    async def test_to_a_head_are_their_head(self, world: World, harbour: Harbour) -> None:
        harbour.download = constant(Download.of_bytes(LARGE))
        answer = await world.ask(f"{BERTHS}/b1/cargo", "HEAD")
        assert (answer.status, answer.body, len(harbour.parts)) == (200, b"", 1)
        assert answer.header(b"content-length") == str(len(LARGE)).encode()

    @pytest.mark.parametrize(
        ("said", "content_type"),
        [
            ("text/plain; charset=utf-8", b"text/plain; charset=utf-8"),
            ("text/html\r\nset-cookie: a=b", b"application/octet-stream"),
            ("", b"application/octet-stream"),
            ("multipart/form-data; boundary=x", b"application/octet-stream"),
        ],
        ids=["good", "crlf", "none", "other-parameters"],
    )
    async def test_are_of_a_type_that_is_one(
        self, world: World, harbour: Harbour, said: str, content_type: bytes
    ) -> None:
        harbour.download = constant(Download.of_bytes(b"x", content_type=said))
        assert (await world.ask(f"{BERTHS}/b1/cargo")).header(b"content-type") == content_type

    @pytest.mark.parametrize(
        ("name", "disposition"),
        [
            ('a"b.tgz', b"attachment; filename=\"a_b.tgz\"; filename*=UTF-8''a%22b.tgz"),
            ("../../etc/passwd", b"attachment; filename=\"_.._etc_passwd\"; filename*=UTF-8''_.._etc_passwd"),
            (
                "a\r\nset-cookie: b",
                b"attachment; filename=\"a  set-cookie_ b\"; filename*=UTF-8''a%20%20set-cookie%3A%20b",
            ),
            ("hafen-ä.txt", b"attachment; filename=\"hafen-_.txt\"; filename*=UTF-8''hafen-%C3%A4.txt"),
            ("..", b"attachment; filename=\"download\"; filename*=UTF-8''download"),
        ],
        ids=["quote", "path", "crlf", "umlaut", "dots"],
    )
    async def test_are_saved_under_a_name_that_is_one(
        self, world: World, harbour: Harbour, name: str, disposition: bytes
    ) -> None:
        harbour.download = constant(Download.of_bytes(b"x", attachment=name))
        assert (await world.ask(f"{BERTHS}/b1/cargo")).header(b"content-disposition") == disposition

    async def test_that_there_are_not_are_an_error_like_any_other(self, world: World, harbour: Harbour) -> None:
        answer = await world.ask(f"{BERTHS}/b1/cargo")
        assert (answer.status, answer.json()["message"]) == (404, "there is no such cargo")

    async def test_of_nobody_are_503(self, world: World) -> None:
        answer = await world.ask(f"{BERTHS}/b1/cargo")
        assert (answer.status, answer.json()["reason"]) == (503, "ServiceUnavailable")

    async def test_that_are_read_slowly_hold_up_nobody_and_wait_nowhere(self, world: World, harbour: Harbour) -> None:
        endless = hashlib.shake_128(b"endless").digest(64 * MIB)
        harbour.download = constant(sliced(endless, size=len(endless), digest=sha256(endless)))
        client, response = await world.open(f"{BERTHS}/b1/cargo")
        await eventually(lambda: len(harbour.parts) > 1)
        asked = -1
        while asked != len(harbour.parts):
            asked = len(harbour.parts)
            await asyncio.sleep(0.3)
        assert asked * PART_BYTES < 16 * MIB
        harbour.download = constant(Download.of_bytes(b"quick"))
        assert (await world.ask(f"{BERTHS}/b2/cargo")).body == b"quick"
        harbour.download = constant(sliced(endless, size=len(endless), digest=sha256(endless)))
        async with asyncio.timeout(30):
            rest = await response.body(65 * MIB)
        assert sha256(rest) == sha256(endless)
        await client.close()


async def cut(world: World, before: Callable[[], Awaitable[None]] | None = None) -> int:
    """Read an answer that has to be cut; how many bytes came before that."""
    client, response = await world.open(f"{BERTHS}/b1/cargo")
    assert response.status == 200
    size = len(await response.read())
    if before is not None:
        await before()
    try:
        while part := await response.read():
            size += len(part)
    except Cut:
        return size
    finally:
        await client.close()
    pytest.fail("it ended as if it were whole")


class TestWhatGoesWrongInTheMiddle:
    """The head was sent: the connection is cut, so that nobody takes it for the whole."""

    @pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
    async def test_a_service_that_dies(
        self, world: World, nats_host: NatsHost, uploads: ObjectStore, known: bool
    ) -> None:
        endless = hashlib.shake_128(b"endless").digest(40 * MIB)
        made = Harbour()
        made.download = constant(sliced(endless, size=len(endless) if known else None))
        async with contextlib.AsyncExitStack() as running:
            await running.enter_async_context(serving(nats_host, (made.service, NoSettings())))
            async with asyncio.timeout(20):
                assert await cut(world, running.aclose) < len(endless)

    async def test_a_service_that_comes_back_in_time_goes_on(
        self, world: World, nats_host: NatsHost, uploads: ObjectStore
    ) -> None:
        endless = hashlib.shake_128(b"endless").digest(40 * MIB)
        made = Harbour()
        made.download = constant(sliced(endless, size=len(endless), digest=sha256(endless)))
        async with serving(nats_host, (made.service, NoSettings())):
            client, response = await world.open(f"{BERTHS}/b1/ballast")
            begin = await response.read()
        async with serving(nats_host, (made.service, NoSettings())), asyncio.timeout(30):
            assert sha256(begin + await response.body(50 * MIB)) == sha256(endless)
            await client.close()

    @pytest.mark.parametrize(
        "download",
        [
            sliced(LARGE, size=len(LARGE), digest=sha256(b"another")),
            sliced(LARGE, size=len(LARGE) + 1),
            sliced(LARGE, size=len(LARGE) - 1),
        ],
        ids=["digest", "too-few", "too-many"],
    )
    async def test_bytes_that_are_not_what_was_announced(
        self, world: World, harbour: Harbour, download: Download
    ) -> None:
        harbour.download = constant(download)
        assert await cut(world) < len(LARGE)

    async def test_a_whole_that_becomes_another(self, world: World, harbour: Harbour) -> None:
        async def changing(request: WriteRequest) -> Download:
            return Download.of_bytes(LARGE if not request.cursor else LARGE[::-1])

        harbour.download = changing
        assert await cut(world) <= PART_BYTES

    async def test_a_handler_that_fails_later(self, world: World, harbour: Harbour) -> None:
        async def failing(request: WriteRequest) -> Download:
            if request.cursor:
                raise NotFound("it was removed meanwhile")
            return Download.of_bytes(LARGE)

        harbour.download = failing
        assert await cut(world) <= PART_BYTES

    async def test_a_part_that_is_empty(self, world: World, harbour: Harbour) -> None:
        async def read(cursor: str) -> tuple[bytes, str]:
            return (b"", "more") if cursor else (b"first", "more")

        harbour.download = constant(Download(read=read))
        assert await cut(world) == 5
