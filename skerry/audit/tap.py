"""Bodies of one exchange on their way past, as far as they are to be recorded."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from skerry.api.decode import decoded
from skerry.audit import shown
from skerry.audit.shown import Body
from skerry.httpwire.head import Headers, first


class _Part:
    """The beginning of one body."""

    __slots__ = ("content_type", "data", "encoded", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self.data = bytearray()
        self.content_type, self.encoded = "", False

    def take(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= self.limit:
            self.data += data
        elif self.data:
            self.data = bytearray()

    def head(self, headers: Headers) -> None:
        self.content_type = (first(headers, b"content-type") or b"").decode("latin-1")
        self.encoded = first(headers, b"content-encoding") not in (None, b"identity")

    def body(self) -> Body:
        if self.encoded:
            return Body(b"", "encoded")
        return shown.body(bytes(self.data), self.content_type, whole=self.size <= self.limit)


class _Metadata(Struct):
    name: str = ""


class _Named(Struct):
    metadata: _Metadata | UnsetType = UNSET


class Tap:
    """What goes past: parts from the client, and to it."""

    __slots__ = ("_request", "_response")

    def __init__(self, headers: Headers, *, response: bool) -> None:
        """`response` says whether the answer's body is wanted too."""
        self._request = _Part(shown.REQUEST_BYTES)
        self._request.head(headers)
        self._response = _Part(shown.RESPONSE_BYTES) if response else None

    def received_part(self, data: bytes) -> None:
        """A piece of the request's body."""
        self._request.take(data)

    def answered(self, headers: Headers) -> None:
        """The answer's head."""
        if self._response is not None:
            self._response.head(headers)

    def sent_part(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._response is not None:
            self._response.take(data)

    def request(self) -> Body:
        """The request's body, as it is recorded."""
        return self._request.body()

    def response(self) -> Body:
        """The answer's."""
        return Body(b"") if self._response is None else self._response.body()

    def name(self) -> str:
        """The name of an object that is sent, which a path to all of them has not; empty if it has none."""
        try:
            named = decoded(bytes(self._request.data), _Named)
        except ValueError:
            return ""
        return "" if isinstance(named.metadata, UnsetType) else named.metadata.name
