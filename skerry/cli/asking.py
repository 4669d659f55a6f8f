"""Requests to a host by a kubeconfig of ours, with what the standard library loads quickly. What is not plain is NotQuick.

`skerry.cli.api` does the same for everybody else, and says what is wrong where something is: nothing is said here.
"""

from __future__ import annotations

import binascii
import json
import os
import socket
import ssl

from skerry.api.failing import SkerryError
from skerry.cli.failure import Failure
from skerry.cli.term import say

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Any

TIMEOUT_S = 5.0
"""Then it is asked again by who waits longer."""
WRITE_S = 30.0
"""What changes something is not asked again, so its answer is waited for as long as by everybody else."""
QUIET_S = 150.0
"""A watch sends bookmarks every minute."""
MAX_HEAD, CHUNK = 64 * 1024, 256 * 1024


class NotQuick(SkerryError):
    """What is asked for needs more than there is here."""


class Credential:
    """Where a host is and how to be somebody there."""

    def __init__(self, server: str, ca: str, token: str) -> None:
        self.host, self.port, self.prefix = _address(server)
        self.ca, self.token = ca, token
        if not token.isascii() or not token.isprintable() or not token:
            raise NotQuick


def credential(kubeconfig: str, context: str) -> Credential:
    """Chosen as `connect` in `skerry.cli.commands.clients` does. NotQuick unless it is in one JSON file that names no other."""
    if kubeconfig:
        path = os.path.expanduser(kubeconfig)  # noqa: PTH111 - pathlib takes longer to import than all of this
    elif context:
        path = os.path.expanduser(os.environ.get("KUBECONFIG") or "~/.kube/config")  # noqa: PTH111
    else:
        path = admin()
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            config = json.loads(file.read())
        chosen = context or config["current-context"]
        named = _entry(config, "contexts", chosen)["context"]
        cluster = _entry(config, "clusters", named["cluster"])["cluster"]
        user = _entry(config, "users", named["user"])["user"]
        if set(cluster) - {"server", "certificate-authority-data"}:
            raise NotQuick
        ca = binascii.a2b_base64(cluster.get("certificate-authority-data", "")).decode("ascii")
        return Credential(cluster["server"], ca, _token(user))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NotQuick from error


def admin() -> str:
    """The local administrator's kubeconfig; it may not exist."""
    state = os.environ.get("SKERRY_STATE", "")
    if not state:
        home = os.environ.get("XDG_STATE_HOME", "")
        if os.geteuid() == 0 and not home:
            state = "/var/lib/skerry"
        else:
            state = os.path.join(home or os.path.expanduser("~/.local/state"), "skerry")  # noqa: PTH111, PTH118
    return os.path.join(os.path.expanduser(state), "host", "admin.kubeconfig")  # noqa: PTH111, PTH118


def _entry(config: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    entries: list[Mapping[str, Any]] = [each for each in config[section] if each["name"] == name]
    return entries[0]


def _token(user: Mapping[str, Any]) -> str:
    if set(user) == {"exec"}:
        from skerry.cli.login.entry import login_at_hand

        login = login_at_hand(user["exec"]["args"])
        return login.id_token if login else ""
    if set(user) != {"token"}:
        raise NotQuick
    token: str = user["token"]
    return token


def _address(server: str) -> tuple[str, int, str]:
    """Host, port, and path of the host API; of a context of a member what is before the member."""
    authority, slash, path = server.removeprefix("https://").partition("/")
    host, _, port = authority.rpartition(":")
    if (
        not server.startswith("https://")
        or set(server) & set("@?#[]% ")
        or not server.isascii()
        or not port.isdecimal()
    ):
        raise NotQuick
    return host, int(port), (slash + path).split("/clusters/", 1)[0].rstrip("/")


class Answer:
    """What a host answered: headers in lower case, and a body of known length."""

    def __init__(self, status: int, headers: dict[str, str], body: bytearray) -> None:
        self.status, self.headers, self.body = status, headers, body

    def document(self) -> dict[str, Any]:
        """The document in it. NotQuick for none, and where there are warnings beside it."""
        if "warning" in self.headers:
            raise NotQuick
        try:
            document: dict[str, Any] = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise NotQuick from error
        return document


class Quick:
    """One connection, for one request after the other."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        try:
            tls = ssl.create_default_context(cadata=credential.ca or None)
            plain = socket.create_connection((credential.host, credential.port), TIMEOUT_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = tls.wrap_socket(plain, server_hostname=credential.host)
        except (OSError, ValueError) as error:
            raise NotQuick from error

    def __enter__(self) -> Quick:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def get(self, path: str, *, accept: str = "application/json") -> dict[str, Any]:
        """The document at `path`. NotQuick for every answer but 200 with a body of known length, and for one with warnings."""
        answer = self._got(path, accept)
        if answer.status != 200:
            raise NotQuick
        return answer.document()

    def find(self, path: str) -> dict[str, Any] | None:
        """The same; None where there is nothing, or nothing for us."""
        answer = self._got(path, "application/json")
        if answer.status in (403, 404):
            return None
        if answer.status != 200:
            raise NotQuick
        return answer.document()

    def post(self, path: str, body: dict[str, Any]) -> None:
        """POST a document, once. NotQuick where the host refuses it, so that nothing was changed; Failure where that is not known."""
        content = json.dumps(body).encode()
        head = self._head("POST", path, "application/json")
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self._socket.settimeout(WRITE_S)
        try:
            self._socket.sendall(head.encode("ascii") + b"\r\n" + content)
            answer = self._answer()
            self._socket.settimeout(TIMEOUT_S)
        except (OSError, NotQuick) as error:
            who = self._credential
            raise Failure(
                f"the host at {who.host}:{who.port} took the request and did not answer: look whether it was done, before you try again"
            ) from error
        if 400 <= answer.status < 500:
            raise NotQuick
        if answer.status not in (200, 201):
            raise Failure(_message(answer))
        if warning := answer.headers.get("warning", ""):
            from skerry.cli.api import warnings

            for each in warnings([warning]):
                say(f"Warning: {each}")

    def watch(self, path: str, *, accept: str = "application/json") -> Iterator[dict[str, Any]]:
        """The events of a watch, on a connection of its own. NotQuick where it is none, and where it breaks off."""
        with Quick(self._credential) as other:
            yield from other._events(path, accept)

    def _got(self, path: str, accept: str) -> Answer:
        try:
            self._socket.sendall((self._head("GET", path, accept) + "\r\n").encode("ascii"))
            return self._answer()
        except OSError as error:
            raise NotQuick from error

    def _head(self, method: str, path: str, accept: str) -> str:
        who = self._credential
        return (
            f"{method} {who.prefix}{path} HTTP/1.1\r\nHost: {who.host}:{who.port}\r\nUser-Agent: skerry\r\n"
            f"Accept: {accept}\r\nAuthorization: Bearer {who.token}\r\n"
        )

    def _answer(self) -> Answer:
        status, headers, body = self._begun()
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers:
            raise NotQuick
        while len(body) < int(length):
            self._receive(body)
        return Answer(status, headers, body)

    def _begun(self) -> tuple[int, dict[str, str], bytearray]:
        """Status and headers of the next answer, and what of its body came with them."""
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > MAX_HEAD:
                raise NotQuick
            self._receive(received)
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        status = first.removeprefix("HTTP/1.1 ")[:3]
        if not status.isdecimal():
            raise NotQuick
        pairs = (line.partition(":") for line in lines)
        return int(status), {name.lower(): value.strip() for name, _, value in pairs}, received[end + 4 :]

    def _events(self, path: str, accept: str) -> Iterator[dict[str, Any]]:
        """Of a watch: JSON documents in lines, in chunks (RFC 9112, 7.1)."""
        self._socket.settimeout(QUIET_S)
        try:
            self._socket.sendall((self._head("GET", path, accept) + "\r\n").encode("ascii"))
            status, headers, received = self._begun()
            if status != 200 or headers.get("transfer-encoding") != "chunked":
                raise NotQuick
            line = bytearray()
            while chunk := self._chunk(received):
                *lines, line = (line + chunk).split(b"\n")
                for each in lines:
                    yield json.loads(each)
        except (OSError, ValueError, RecursionError) as error:
            raise NotQuick from error

    def _chunk(self, received: bytearray) -> bytearray:
        """The next one, taken off what was received; empty at the end."""
        while (end := received.find(b"\r\n")) < 0:
            if len(received) > MAX_HEAD:
                raise NotQuick
            self._receive(received)
        size = int(received[:end].partition(b";")[0], 16)
        while len(received) < end + 2 + size + 2:
            self._receive(received)
        chunk = received[end + 2 : end + 2 + size]
        del received[: end + 2 + size + 2]
        return chunk

    def _receive(self, into: bytearray) -> None:
        more = self._socket.recv(CHUNK)
        if not more:
            raise NotQuick
        into += more


def _message(answer: Answer) -> str:
    """What the Status in an answer says, for people."""
    try:
        return str(json.loads(answer.body)["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"the host answered with {answer.status}"
