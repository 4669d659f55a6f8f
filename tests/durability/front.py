"""A client of one front door, as simple as a client can be: it repeats nothing and hides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION
from skerry.errors import SkerryError
from skerry.http import Client, ClientLimits, Unreachable
from skerry.httpwire.head import RequestHead
from tests.e2e.federation import Host

WORKSPACES = f"/apis/{API_VERSION}/workspaces"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
ANSWER_S = 20.0


class Refused(Exception):
    """The host answered with an error: `code`, and the Status."""

    def __init__(self, code: int, status: Document) -> None:
        super().__init__(f"{code}: {status.get('message')}")
        self.code = code
        self.message = str(status.get("message", ""))


class Silence(Exception):
    """There was no answer, or half of one: what became of the request is unknown."""


class Unsent(Exception):
    """Nobody listens: the request was never sent."""


class Front:
    """Requests to the front door at `port` with one bearer token; use it with `async with`."""

    def __init__(self, port: int, ca: Path, token: str) -> None:
        limits = ClientLimits(head_s=ANSWER_S)
        self._client = Client("127.0.0.1", port, ssl.create_default_context(cafile=str(ca)), limits)
        self._port, self._ca, self._token = port, ca, token

    @staticmethod
    def of(host: Host) -> Front:
        """The administrator at the front door of a host."""
        directory = host.state / "host"
        token = (directory / "admin.token").read_text().strip()
        return Front(int(host.listen.rpartition(":")[2]), directory / "pki" / "ca.crt", token)

    def having(self, token: str) -> Front:
        """The same front door with another token."""
        return Front(self._port, self._ca, token)

    async def __aenter__(self) -> Front:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    def _head(self, method: str, target: str, kind: str) -> RequestHead:
        headers = [(b"authorization", f"Bearer {self._token}".encode()), (b"content-type", kind.encode())]
        return RequestHead(method=method.encode(), target=target.encode(), headers=headers)

    async def ask(
        self, method: str, target: str, body: Document | list[Document] | None = None, kind: str = "application/json"
    ) -> Document:
        """The decoded answer. Refused, Unsent, Silence."""
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with asyncio.timeout(ANSWER_S):
                response = await self._client.request(self._head(method, target, kind), data)
                answer: Document = msgspec.json.decode(await response.body(1 << 26))
        except Unreachable as error:
            raise Unsent(str(error)) from error
        except (SkerryError, OSError, msgspec.DecodeError) as error:
            raise Silence(f"{method} {target}: {error!r}") from error
        if response.status >= 400:
            raise Refused(response.status, answer)
        return answer

    async def listed(self, target: str = WORKSPACES) -> tuple[int, dict[str, Document]]:
        """(resourceVersion, objects by name) of a list."""
        answer = await self.ask("GET", target)
        return int(answer["metadata"]["resourceVersion"]), {o["metadata"]["name"]: o for o in answer["items"]}

    @contextlib.asynccontextmanager
    async def watching(self, target: str) -> AsyncIterator[AsyncIterator[Document]]:
        """The events of a watch; the iteration ends when the watch does, however that is."""
        response = await self._client.request(self._head("GET", target, "application/json"))
        if response.status >= 400:
            raise Refused(response.status, msgspec.json.decode(await response.body(1 << 20)))

        async def events() -> AsyncIterator[Document]:
            left = b""
            with contextlib.suppress(SkerryError, OSError):
                while part := await response.read():
                    *lines, left = (left + part).split(b"\n")
                    for line in lines:
                        yield msgspec.json.decode(line)

        try:
            yield events()
        finally:
            response.abort()


def workspace(name: str, title: str, **metadata: Any) -> Document:
    """A Workspace that says `title`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Workspace",
        "metadata": {"name": name, **metadata},
        "spec": {"displayName": title},
    }
