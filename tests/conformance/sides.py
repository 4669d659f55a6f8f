"""The two sides of the comparison: a real API server and the host API. Both answer the same requests, hundreds of each
module: so they go over connections that stay open.

What must differ between two servers is replaced by a word: uids, times, resourceVersions, generated names.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import websocket
import yaml

from skerry.http import Client
from skerry.httpwire.head import RequestHead
from tests.kube.member import Member

DEADLINE_S = 15.0
LONGEST_WATCH_S = 5.0
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


class Side:
    """One of the two: a server of the Kubernetes API, over connections of one event loop that stay open; `close` it.

    `headers` go with each request; `tls` is the client's.
    """

    def __init__(self, client: Client, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self._client = client
        self._headers = headers
        self._tls = tls

    async def ask(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], *, watch: bool = False
    ) -> Answer:
        """The whole answer; of a watch what comes before it ends, or until the deadline."""
        sent = {**headers, **self._headers}
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
        length = None if body is None else len(body)
        head = RequestHead(
            method=method.encode(), target=target.encode("latin-1"), headers=fields, content_length=length
        )
        async with asyncio.timeout(DEADLINE_S):
            response = await self._client.request(head, body)
            data = b""
            try:
                async with asyncio.timeout(LONGEST_WATCH_S if watch else None):
                    while part := await response.read():
                        data += part
            except TimeoutError:
                pass
            await response.release()
        named: dict[str, list[str]] = {}
        for name, value in response.headers:
            named.setdefault(name.lower().decode(), []).append(value.decode("latin-1"))
        media = named.get("content-type", [""])[0].partition(";")[0]
        return Answer(response.status, _read(data, media, watch=watch), tuple(named.get("warning", ())), media)

    async def talk(self, target: str, protocols: list[str]) -> Talk:
        """What it says over WebSocket."""
        url = f"{self._client.origin.decode().replace('http', 'ws', 1)}{target}"
        return await asyncio.to_thread(talk, url, protocols, header=dict(self._headers), sslopt={"context": self._tls})

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def api_server(member: Member) -> Side:
    """A real kube-apiserver."""
    url = urlsplit(member.url)
    tls = ssl.create_default_context(cafile=str(member.ca))
    return Side(Client(str(url.hostname), url.port or 443, tls), {"authorization": f"Bearer {member.token}"}, tls)


def host_api(port: int) -> Side:
    """The host API on a local port, without TLS."""
    return Side(Client("127.0.0.1", port), {})


def _read(data: bytes, media: str, *, watch: bool) -> Any:
    """JSON, YAML, the events of a watch, or else the text itself."""
    try:
        if media == YAML:
            return yaml.safe_load(data)
        if not watch:
            return msgspec.json.decode(data) if data else None
        return _events(data.decode())
    except (msgspec.DecodeError, json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError):
        return {"text": data[:200].decode(errors="replace")}


def _events(text: str) -> Any:
    """The events of a stream, which may be indented; one value that is none stands for itself."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found[0] if len(found) == 1 and "object" not in found[0] else found


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
