"""The server's side of TLS: besides what a link does, it minds the name that its client asks for, and tells the wire."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from skerry.http.buffer import ReadBuffer
from skerry.http.layered import LayerReader
from skerry.http.tlslink import OnSettled, TlsLink
from skerry.httpwire.clienthello import ClientHello

ByName = Callable[[str], "ssl.SSLContext | None"]
"""The context for a client that asks for this name, lower case, "" for none; None: the usual one."""


class ServerLink(TlsLink):
    """One accepted TLS connection. The wire's `server_name` is what the client asked for, "" for none."""

    def __init__(
        self,
        wire: LayerReader,
        context: ssl.SSLContext,
        buffer: ReadBuffer,
        settled: OnSettled,
        *,
        handshake_s: float | None = None,
        by_name: ByName | None = None,
    ) -> None:
        super().__init__(wire, context, buffer, settled, handshake_s=handshake_s)
        self._by_name = by_name
        self._hello: ClientHello | None = ClientHello()  # until it has been heard
        self._misread: ValueError | None = None

    def _shake(self) -> None:
        """Listens for the name before OpenSSL has the client's whole first message and answers it."""
        if self._hello is not None:
            self._listen(self._hello, bytes(self._window[: self._incoming.pending]))
        super()._shake()

    def _listen(self, hello: ClientHello, data: bytes) -> None:
        try:
            name = hello.feed(data)
        except ValueError as error:
            self._hello, self._misread = None, error
            return
        if name is None:
            return
        self._hello, self._wire.server_name = None, name
        if self._by_name is not None and (context := self._by_name(name)) is not None:
            self._ssl.context = context

    def refusal(self) -> Exception | None:
        """OpenSSL took a first message in which nobody can see what the connection came for."""
        return self._misread
