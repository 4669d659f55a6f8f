"""A provider's pages on a real socket of this machine, as a test says them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.http.peers import Peer, Upstream
from tests.tenancy.tokens import JWKS


class Pages:
    """What is answered by path: an object as JSON, or raw bytes of a whole answer."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.silent = 0
        """Connections that began otherwise than HTTP does: they get no answer."""
        self._server = Upstream(self._talk)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def serve(self, jwks: object = JWKS) -> None:
        """A provider that is in order."""
        self.answers = {
            "/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/keys": jwks,
        }

    async def _talk(self, peer: Peer) -> None:
        while True:
            begin = await peer.exactly(1)
            if begin != b"G":
                self.silent += 1
                await peer.rest()
                return
            head = begin + await peer.line(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            answer = self.answers.get(path)
            if not isinstance(answer, bytes):
                status, body = (b"404 Not Found", b"") if answer is None else (b"200 OK", json.dumps(answer).encode())
                answer = b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
            await peer.send(answer)

    def document(self, name: str = "corp", **spec: Any) -> dict[str, Any]:
        """An IdentityProvider of these pages."""
        usual = {"issuer": self.issuer, "audiences": ["skerry"], "groups": {"claim": "groups"}}
        return {"metadata": {"name": name}, "spec": {**usual, **spec}}


@contextlib.asynccontextmanager
async def pages() -> AsyncIterator[Pages]:
    """Pages that are served."""
    made = Pages()
    server = made._server
    await server.start(None)
    made.serve()
    try:
        yield made
    finally:
        await server.close()
