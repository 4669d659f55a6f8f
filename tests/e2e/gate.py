"""A door on loopback before an API server, which a test can shut: the server behind it stays as it is for other tests."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.kube.member import Member


class Gate:
    """TCP on 127.0.0.1, passed on byte by byte: TLS ends at the API server."""

    def __init__(self, url: str) -> None:
        self._behind = _place(url)
        self._listener = self._listening(0)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    @staticmethod
    def _listening(port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        listener.settimeout(None)
        return listener

    def __enter__(self) -> Gate:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shut()

    def shut(self) -> None:
        """Refuse connections, and cut those that there are."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def reopen(self) -> None:
        """Listen again, where it was."""
        self._listener = self._listening(self.port)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def leads_to(self, url: str) -> None:
        """Another server stands behind it from now on; what is open is cut."""
        self.shut()
        self._behind = _place(url)
        self.reopen()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._behind) as far:
            self._open |= {near, far}
            back = threading.Thread(target=_copy, args=(far, near), daemon=True)
            back.start()
            _copy(near, far)
            back.join()
            self._open -= {near, far}


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 443


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def kubeconfig(member: Member, path: Path, *, server: str = "", user: dict[str, Any] | None = None) -> Path:
    """The member's kubeconfig, flattened, with another server or user."""
    raw = member.kubectl("config", "view", "--flatten", "--minify", "--raw", "-o", "json")
    document = json.loads(raw)
    cluster = document["clusters"][0]["cluster"]
    if server:
        cluster["server"] = server
    if user is not None:
        document["users"][0]["user"] = user
    path.touch(mode=0o600)
    path.write_text(json.dumps(document))
    return path


def token_of(member: Member, account: str) -> str:
    """A token of a new service account in namespace default that is bound to cluster-admin."""
    member.kubectl("create", "serviceaccount", account)
    member.kubectl(
        "create", "clusterrolebinding", account, "--clusterrole=cluster-admin", f"--serviceaccount=default:{account}"
    )
    return member.kubectl("create", "token", account, "--duration=2h").decode().strip()
