"""The two sides of the comparison: a real API server and the host API. Both answer the same requests.

What must differ between two servers is replaced by a word: uids, times, resourceVersions, generated names.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec
import websocket
import yaml

from skerry.http import Client
from skerry.httpwire.head import RequestHead
from tests.kube.member import Member

DEADLINE_S = 15.0
AGENT = "conformance/1.0"
JSON, YAML = "application/json", "application/yaml"


class Answer(NamedTuple):
    """What a side said."""

    status: int
    body: Any
    """Decoded; of a watch the list of its events."""
    warnings: tuple[str, ...] = ()
    media: str = JSON
    """Content-Type, without parameters."""


class Talk(NamedTuple):
    """What a side said over WebSocket: the sub-protocol, (opcode, document, ends with a newline) of each message, the
    close code.
    """

    protocol: str | None
    messages: list[tuple[int, Any, bool]]
    code: int


def talk(url: str, protocols: list[str], **options: Any) -> Talk:
    """Listens until the server closes. Blocking. WebSocketBadStatusException."""
    connection: Any = websocket.create_connection(url, timeout=DEADLINE_S, subprotocols=protocols or None, **options)
    try:
        messages: list[tuple[int, Any, bool]] = []
        while True:
            opcode, data = connection.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return Talk(connection.getsubprotocol(), messages, int.from_bytes(data[:2], "big"))
            messages.append((opcode, comparable(msgspec.json.decode(data)), data.endswith(b"\n")))
    finally:
        connection.shutdown()


class Side(Protocol):
    """Something that answers requests of the Kubernetes API."""

    async def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """The whole answer."""
        ...


class ApiServer:
    """A real kube-apiserver."""

    def __init__(self, member: Member) -> None:
        self._host = urlsplit(member.url).netloc
        self._token = member.token
        self._tls = ssl.create_default_context(cafile=str(member.ca))

    def client(self) -> tuple[Client, dict[str, str]]:
        """For many requests of one event loop: connections that stay open, and the headers that each request needs."""
        url = urlsplit(f"https://{self._host}")
        client = Client(str(url.hostname), url.port or 443, self._tls)
        return client, {"authorization": f"Bearer {self._token}"}

    async def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """The whole answer."""
        return await asyncio.to_thread(self.ask_now, method, target, body, headers)

    def ask_now(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """The whole answer, blocking."""
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=DEADLINE_S)
        try:
            connection.request(method, target, body, {**headers, "authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            data = response.read()
            warnings = tuple(response.headers.get_all("warning") or ())
            return _answer(response.status, data, warnings, response.headers.get("content-type", ""))
        finally:
            connection.close()

    async def talk(self, target: str, protocols: list[str]) -> Talk:
        """See `talk`."""
        header = {"Authorization": f"Bearer {self._token}"}
        return await asyncio.to_thread(
            talk, f"wss://{self._host}{target}", protocols, header=header, sslopt={"context": self._tls}
        )


class HostSide:
    """The host API on a local port, without TLS."""

    def __init__(self, port: int) -> None:
        self._port = port

    def client(self) -> tuple[Client, dict[str, str]]:
        """For many requests of one event loop: connections that stay open, and the headers that each request needs."""
        return Client("127.0.0.1", self._port), {"host": "test"}

    async def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """The whole answer."""
        fields = [(b"host", b"test"), *((key.encode(), value.encode()) for key, value in headers.items())]
        length = None if body is None else len(body)
        head = RequestHead(method=method.encode(), target=target.encode(), headers=fields, content_length=length)
        async with asyncio.timeout(DEADLINE_S):
            client = Client("127.0.0.1", self._port)
            response = await client.request(head, body)
            data = b""
            while part := await response.read():
                data += part
            await client.close()
        named = [(name.lower(), value.decode()) for name, value in response.headers]
        warnings = tuple(value for name, value in named if name == b"warning")
        return _answer(response.status, data, warnings, dict(named).get(b"content-type", ""))

    async def talk(self, target: str, protocols: list[str]) -> Talk:
        """See `talk`."""
        return await asyncio.to_thread(talk, f"ws://127.0.0.1:{self._port}{target}", protocols)


def _answer(status: int, data: bytes, warnings: tuple[str, ...], content_type: str) -> Answer:
    media = content_type.partition(";")[0]
    if media == YAML:
        body = yaml.safe_load(data)
    elif b"\n{" in data or data.startswith(b'{"type":'):
        body = [msgspec.json.decode(line) for line in data.splitlines()]
    else:
        body = msgspec.json.decode(data)
    return Answer(status, body, warnings, media)


_TIMES = ("creationTimestamp", "deletionTimestamp", "time", "lastTransitionTime")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RECORD = re.compile(r"in record \(\d+\)")
_QUOTED = re.compile(r"""((?:resourceVersion|creationTimestamp|time)\\*":\\*")[^"\\]*""")
"""The same in an object that a message quotes."""
_BRACKET = "is invalid: ["
"""Before several errors, whose order is chance in the API server; the causes name them all."""
_SUFFIX = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\Z")


def comparable(value: Any, key: str = "") -> Any:
    """`value` with everything replaced that two servers cannot have in common."""
    if isinstance(value, dict):
        found = {name: comparable(item, name) for name, item in value.items() if not _is_noise(name, item)}
        if len(found.get("causes", ())) > 1:
            found["causes"].sort(key=lambda cause: (cause["field"], cause["message"]))
        if _BRACKET in str(found.get("message", "")):
            found["message"] = found["message"].partition(_BRACKET)[0]
        if isinstance(found.get("managedFields"), list):
            found["managedFields"].sort(key=_manager)
        if "generateName" in found and "name" in found:
            found["name"] = _SUFFIX.sub("-<random>", found["name"])
        return found
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if key == "resourceVersion":
        return "<version>"
    if key == "continue" and value:
        return "<token>"
    if key in _TIMES and value is not None:
        return "<time>"
    if isinstance(value, str):
        return _QUOTED.sub(r"\1<noise>", _RECORD.sub("in record (<version>)", _UID.sub("<uid>", value)))
    return value


def _manager(entry: Any) -> str:
    """Managers stand in the order of their times, and a second may end between two requests to one of the sides."""
    return "/".join(str(entry.get(key, "")) for key in ("operation", "manager", "subresource"))


def _is_noise(name: str, value: Any) -> bool:
    """What says nothing: the empty `continue` of a list, `details: {}`, and the estimate that an answer may leave out."""
    return (name == "continue" and value == "") or (name == "details" and value == {}) or name == "remainingItemCount"
