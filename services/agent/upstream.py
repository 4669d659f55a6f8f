"""The member's API server, as the agent reaches it: one pool of connections and the agent's own credential.

The pool belongs to a TLS context, and the context to a client certificate: when an exec plugin hands out a new
certificate a new pool is made for new requests, and the old one ends with the requests that it carries.
"""

from __future__ import annotations

import ssl
from typing import Any

import msgspec

from services.agent import tls
from services.agent.credentials import Credential, Source
from services.agent.kubeconfig import Target
from skerry import http
from skerry.httpwire.head import Headers, RequestHead

CALL_S = 10.0
CALL_LIMIT = 4 << 20
"""Largest answer that a call of the agent's own reads."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer to a call of the agent's own."""

    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as JSON object; empty if it is none."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def message(self) -> str:
        """What a Status says, on one line; else the HTTP status."""
        text = str(self.document().get("message") or f"HTTP status {self.status}")
        return " ".join(text.split())[:500]


class Upstream:
    """Sends requests to one API server, with the agent's credential and nobody else's."""

    def __init__(self, target: Target, source: Source, *, connections: int = 512) -> None:
        self._target, self._source, self._connections = target, source, connections
        self._shown = b""
        self._client: http.Client | None = None
        self._old: list[http.Client] = []
        host = f"[{target.host}]" if ":" in target.host else target.host
        self.host = f"{host}:{target.port}".encode()
        """Value of the Host header."""

    @property
    def url(self) -> str:
        """For messages."""
        return self._target.url

    @property
    def origin(self) -> str:
        """Where the credential comes from, for messages."""
        return self._target.origin

    async def credential(self) -> Credential:
        """The agent's own credential now. Raises CredentialError."""
        return await self._source.get()

    async def renew(self, refused: Credential) -> bool:
        """After a 401: whether there is a newer credential than `refused`. Raises CredentialError."""
        return await self._source.renew(refused) is not None

    async def send(self, credential: Credential, head: RequestHead, body: http.Body = None) -> http.Response:
        """One request; `head` already carries `credential.authorization`. Raises the errors of http.Client.request."""
        return await self._pool(credential).request(head, body)

    def target(self, path: bytes) -> bytes:
        """A request target below the server's path prefix."""
        return self._target.prefix.encode() + path

    def _pool(self, credential: Credential) -> http.Client:
        if self._client is None or credential.certificate != self._shown:
            if self._client is not None:
                self._old = [old for old in self._old if not old.idle] + [self._client]
            self._client, self._shown = self._made(credential), credential.certificate
        return self._client

    def _made(self, credential: Credential) -> http.Client:
        target = self._target
        context: ssl.SSLContext | None = tls.context(target.tls, credential) if target.scheme == "https" else None
        return http.Client(
            target.host, target.port, context, server_hostname=target.tls.server_name or None, limit=self._connections
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> Answer:
        """A call of the agent's own, read whole. Raises BadGateway (unreachable, slow, cut) or CredentialError."""

    async def close(self) -> None:
        """Close all connections."""
