"""A way for one member to a port of another, as a router between sites: it listens outside, and connects inside a namespace, or
outside too.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from tests.kube.netns import Namespace

_CHUNK = 65536


class Forwarder:
    """Everything that comes to `listen:port` goes to `target:target_port` as seen in `inside` (None: by the test), until the block ends."""

    def __init__(self, listen: str, port: int, inside: Namespace | None, target: str, target_port: int) -> None:
        self._inside, self._target = inside, (target, target_port)
        self._listening = socket.create_server((listen, port))
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Forwarder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                with contextlib.nullcontext() if self._inside is None else self._inside.entered():
                    server = socket.create_connection(self._target, 10)
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
