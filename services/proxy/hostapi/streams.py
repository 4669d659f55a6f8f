"""Actions with bytes of any length: bodies are put into the store of uploads first, answers are pulled part by part.

Neither is ever in memory as a whole. What a client sends is bounded before it is read (bytes, seconds, how many at once), and
goes when the action is answered, or with the store after an hour. What it reads slowly holds up nobody: the next part is asked
for when the last one was taken. An answer whose service dies is asked of another replica, or of the same one when it is back;
where that does not help, or what comes is not what was announced, the connection is cut, so that nobody takes it for the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Protocol
from urllib.parse import quote

from services.proxy.hostapi.forward import Forwarder, options_of
from services.proxy.hostapi.request import Query, Target, known
from skerry.api.kinds import Action
from skerry.api.messages import Caller
from skerry.api.streaming import BINARY, PartHead, UploadReference
from skerry.api.text import clean
from skerry.bus import ObjectInfo, ObjectStore
from skerry.errors import (
    GatewayTimeout,
    RequestEntityTooLarge,
    ServiceUnavailable,
    StatusError,
    TooManyRequests,
)
from skerry.httpwire.head import Headers, RequestHead, ResponseHead

log = logging.getLogger("skerry.proxy")

AGAIN_S = 0.25
"""Between two attempts to get the next part."""
_MEDIA = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(; ?charset=[\w-]{1,40})?\Z", re.ASCII)
_SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"cache-control", b"no-cache, private"),
]
"""Whatever the bytes are, no browser makes a page of them that acts for whoever looks at it."""


class StreamedExchange(Protocol):
    """The part of an exchange that streams need."""

    head: RequestHead

    async def read(self) -> bytes: ...
    async def respond(self, status: int, headers: Headers, body: bytes) -> None: ...
    async def start(self, head: ResponseHead, *, length: int | None) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...


class Streams:
    """The streams of one proxy, which takes so many `uploads` at once."""

    def __init__(self, *, uploads: int = 16, uploads_per_user: int = 4) -> None:
        self._uploads, self._per_user = uploads, uploads_per_user
        self._uploading: Counter[str] = Counter()

    async def upload(
        self,
        forwarder: Forwarder,
        exchange: StreamedExchange,
        target: Target,
        action: Action,
        caller: Caller,
        query: Query,
    ) -> bytes:
        """The answer to an action that takes bytes. RequestEntityTooLarge, TooManyRequests, GatewayTimeout, ServiceUnavailable;
        ClientGone.
        """
        options = options_of(action, query)
        length = exchange.head.content_length
        if length is not None and length > action.max_bytes:
            raise _too_large(target, action)
        with self._place(caller.user):
            store, name = await forwarder.uploads(), uuid.uuid4().hex
            info = await _stored(store, name, exchange, target, action)
            try:
                reference = UploadReference(
                    name=name,
                    size=info.size,
                    digest=info.sha256,
                    content_type=_sent_type(exchange.head),
                )
                return await forwarder.upload(target, action, caller, options, reference)
            finally:
                await _discard(store, name)

    async def download(
        self,
        forwarder: Forwarder,
        exchange: StreamedExchange,
        target: Target,
        action: Action,
        caller: Caller,
        query: Query,
    ) -> int:
        """Answer with the bytes of an action; the status. What is raised before the head was sent can be answered; what is raised
        after it can only be a cut.
        """

        async def part(cursor: str, timeout_s: float = action.timeout_s) -> tuple[PartHead, bytes]:
            return await forwarder.part(target, action, caller, query, cursor, timeout_s)

        head, data = await part("")
        headers = _headers(head)
        etag = _etag(head)
        if etag and exchange.head.get(b"if-none-match") == etag:
            await exchange.respond(304, [each for each in headers if each[0] != b"content-disposition"], b"")
            return 304
        await exchange.start(ResponseHead(status=200, headers=headers), length=head.size)
        if exchange.head.method != b"HEAD":
            whole = _Whole(head)
            whole.take(head, data)
            await exchange.write(data)
            while head.next:
                head, data = await _next(part, head.next, action.timeout_s)
                whole.take(head, data)
                await exchange.write(data)
        await exchange.finish()
        return 200

    @contextlib.contextmanager
    def _place(self, user: str) -> Iterator[None]:
        if self._uploading.total() >= self._uploads:
            raise TooManyRequests(
                f"this front door takes {self._uploads} uploads already, the limit at once: try again in a moment",
                retry_after_s=1,
            )
        if self._uploading[user] >= self._per_user:
            raise TooManyRequests(
                f"user {user!r} has {self._per_user} uploads already, the limit of one user: try again in a moment",
                retry_after_s=1,
            )
        self._uploading[user] += 1
        try:
            yield
        finally:
            self._uploading[user] -= 1
            self._uploading += Counter()  # forgets who has none


# Bodies


async def _stored(
    store: ObjectStore, name: str, exchange: StreamedExchange, target: Target, action: Action
) -> ObjectInfo:
    """The body, in the store; nothing of it if this fails, as when the client leaves."""
    try:
        return await store.put(name, _body(exchange), max_bytes=action.max_bytes, deadline_s=action.timeout_s)
    except RequestEntityTooLarge as error:
        raise _too_large(target, action) from error
    except GatewayTimeout as error:
        raise GatewayTimeout(
            f"the body was not here within {action.timeout_s:g} s: nothing was changed, send it again"
        ) from error


async def _body(exchange: StreamedExchange) -> AsyncIterator[bytes]:
    while data := await exchange.read():
        yield data


async def _discard(store: ObjectStore, name: str) -> None:
    try:
        await store.delete(name)
    except StatusError as error:
        log.debug("an upload stays until its hour is over", extra={"error": error.message})


def _too_large(target: Target, action: Action) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(
        f"the body is larger than {action.max_bytes} bytes, the limit of {known(target).plural}/{action.subresource}: "
        f"nothing was changed"
    )


def _sent_type(head: RequestHead) -> str:
    return clean((head.get(b"content-type") or BINARY.encode()).decode("latin-1"), 200)


# Answers


class _Whole:
    """All parts of one answer, held against what the first said of them."""

    def __init__(self, first: PartHead) -> None:
        self._first, self._size, self._sha256 = first, 0, hashlib.sha256()

    def take(self, head: PartHead, data: bytes) -> None:
        """The next part, before anybody gets it. ServiceUnavailable if it is of another whole, or one that cannot be whole."""
        first = self._first
        self._size += len(data)
        self._sha256.update(data)
        is_last = not head.next
        if (head.size, head.digest) != (first.size, first.digest):
            raise ServiceUnavailable("what is read became another while it was read")
        if first.size is not None and (self._size > first.size or (is_last and self._size < first.size)):
            raise ServiceUnavailable("what is read has not as many bytes as it says")
        if not data and not is_last:
            raise ServiceUnavailable("a part of what is read is empty, and not the last")
        if is_last and first.digest and first.digest != f"sha256:{self._sha256.hexdigest()}":
            raise ServiceUnavailable("what was read is not what its digest is of")


class _GetPart(Protocol):
    async def __call__(self, cursor: str, timeout_s: float) -> tuple[PartHead, bytes]: ...


async def _next(part: _GetPart, cursor: str, timeout_s: float) -> tuple[PartHead, bytes]:
    """The part at a cursor, asked for again while nobody answers."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            return await part(cursor, max(deadline - loop.time(), AGAIN_S))
        except (GatewayTimeout, ServiceUnavailable) as error:
            if loop.time() + AGAIN_S > deadline:
                log.warning("an answer was cut", extra={"error": error.message})
                raise
        await asyncio.sleep(AGAIN_S)


def _headers(head: PartHead) -> Headers:
    content_type = head.content_type if _MEDIA.match(head.content_type) else BINARY
    headers = [(b"content-type", content_type.encode()), *_SAFE]
    if etag := _etag(head):
        headers.append((b"etag", etag))
    if head.attachment:
        headers.append((b"content-disposition", _attachment(head.attachment)))
    return headers


def _etag(head: PartHead) -> bytes:
    return f'"{head.digest}"'.encode() if re.fullmatch(r"sha256:[0-9a-f]{64}", head.digest) else b""


def _attachment(name: str) -> bytes:
    """RFC 6266: a name that every client reads, and the real one."""
    text = clean(name, 200).replace("/", "_").replace("\\", "_").lstrip(".") or "download"
    plain = re.sub(r"[^\w.+ -]", "_", text, flags=re.ASCII)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(text, safe='')}".encode()
