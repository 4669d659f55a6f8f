"""The bytes of streamed actions, as who answers them gets and gives them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from skerry.api.streaming import BINARY, PartHead, UploadReference, encode_part
from skerry.bus import ObjectInfo, ObjectStore
from skerry.bus.objects import PART_BYTES
from skerry.errors import BadRequest, Unauthorized

Uploads = Callable[[], Awaitable[ObjectStore]]
"""Opens the store that bodies are in."""


_LONGEST_CURSOR = 64


class Upload:
    """A body that was streamed to an action. It is there until the action is answered."""

    def __init__(self, reference: UploadReference, uploads: Uploads) -> None:
        self.size = reference.size
        """Bytes."""
        self.digest = reference.digest
        """`sha256:` and hexadecimal digits: the caller's signature covers it."""
        self.content_type = reference.content_type
        """What the client says it is."""
        self._name, self._uploads = reference.name, uploads

    async def read(self) -> AsyncIterator[bytes]:
        """Its bytes, in parts. Before the last of them: an error if they are not those that were signed. Unauthorized, NotFound,
        DigestMismatch.
        """
        store = await self._uploads()
        info = await store.stat(self._name)
        if (info.size, info.sha256) != (self.size, self.digest):
            raise Unauthorized("what lies in the store of uploads is not what the signature of the request is of")
        async with aclosing(store.read(info)) as parts:
            async for part in parts:
                yield part


@dataclass(frozen=True, kw_only=True)
class Download:
    """The answer to a streamed get. Its handler is asked again for each part, so it must give the same one each time."""

    read: Callable[[str], Awaitable[tuple[bytes, str]]]
    """The part at a cursor, at most PART_BYTES, and the cursor of the next; empty, for the first and after the last. Cursors come
    back as they were given."""
    size: int | None = None
    digest: str = ""
    """`sha256:` and hexadecimal digits. The front door checks it, and names it as the ETag."""
    content_type: str = BINARY
    attachment: str = ""
    """The name of a file that it is to be saved as."""

    @classmethod
    def of_bytes(cls, data: bytes, *, content_type: str = BINARY, attachment: str = "") -> Download:
        """All of what lies in memory."""

        async def read(cursor: str) -> tuple[bytes, str]:
            (start,) = _numbers(cursor, 1)
            end = start + PART_BYTES
            return data[start:end], str(end) if end < len(data) else ""

        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return cls(read=read, size=len(data), digest=digest, content_type=content_type, attachment=attachment)

    @classmethod
    def of_object(
        cls, store: ObjectStore, info: ObjectInfo, *, content_type: str = BINARY, attachment: str = ""
    ) -> Download:
        """An object of a store."""

        async def read(cursor: str) -> tuple[bytes, str]:
            after, size = _numbers(cursor, 2)
            if size >= info.size:
                return b"", ""
            part = await store.part(info, after)
            size += len(part.data)
            return part.data, f"{part.after}.{size}" if size < info.size else ""

        return cls(read=read, size=info.size, digest=info.sha256, content_type=content_type, attachment=attachment)

    async def part(self, cursor: str) -> bytes:
        """The message that answers a request for the part at `cursor`."""
        data, following = await self.read(cursor)
        head = PartHead(
            size=self.size,
            digest=self.digest,
            content_type=self.content_type,
            attachment=self.attachment,
            next=following,
        )
        return encode_part(head, data)


def _numbers(cursor: str, count: int) -> list[int]:
    """What a cursor says; zeros at the beginning. BadRequest."""
    if not cursor:
        return [0] * count
    numbers = cursor.split(".") if len(cursor) <= _LONGEST_CURSOR else []
    if len(numbers) != count or not all(each.isascii() and each.isdigit() for each in numbers):
        raise BadRequest("this cursor was not given by this service")
    return [int(each) for each in numbers]
