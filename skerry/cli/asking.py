"""GETs of a host by a kubeconfig of ours, with what the standard library loads quickly. What is not plain is NotQuick.

`skerry.cli.api` does the same for everybody else, and says what is wrong where something is: nothing is said here.
"""

from __future__ import annotations

import binascii
import json
import os
import socket
import ssl

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Any

TIMEOUT_S = 5.0
"""Then it is asked again by who waits longer."""
MAX_HEAD, CHUNK = 64 * 1024, 256 * 1024


class NotQuick(Exception):
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


class Quick:
    """One connection, for one GET after the other."""

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
        who = self._credential
        head = (
            f"GET {who.prefix}{path} HTTP/1.1\r\nHost: {who.host}:{who.port}\r\nUser-Agent: skerry\r\n"
            f"Accept: {accept}\r\nAuthorization: Bearer {who.token}\r\n\r\n"
        )
        try:
            self._socket.sendall(head.encode("ascii"))
            document: dict[str, Any] = json.loads(self._answer())
        except (OSError, ValueError, RecursionError) as error:
            raise NotQuick from error
        return document

    def watch(self, path: str, *, accept: str = "application/json") -> Iterator[dict[str, Any]]:
        """Nothing here waits."""
        raise NotQuick

    def _answer(self) -> bytearray:
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > MAX_HEAD:
                raise NotQuick
            self._receive(received)
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(":", 1) for line in lines)
        length = headers.get("content-length", "").strip()
        if (
            not first.startswith("HTTP/1.1 200")
            or not length.isdecimal()
            or {"warning", "transfer-encoding"} & set(headers)
        ):
            raise NotQuick
        body = received[end + 4 :]
        while len(body) < int(length):
            self._receive(body)
        return body

    def _receive(self, into: bytearray) -> None:
        more = self._socket.recv(CHUNK)
        if not more:
            raise NotQuick
        into += more
