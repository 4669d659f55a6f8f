"""An API server that says of itself what a test wants, and asks a real one for everything else: inside the member's network."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skerry.identity import x509
from tests.kube.member import Member

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class DoctoredApi:
    """`with DoctoredApi(member, {"/version": older}, directory) as api`: answers by path are changed before they are given."""

    def __init__(self, member: Member, changes: Mapping[str, Answer], directory: Path) -> None:
        self._member, self._changes = member, changes
        self._authority = x509.create_ca("doctored")
        pair = x509.issue_server(self._authority, ("127.0.0.1",))
        self._certificate = directory / "doctored.pem"
        self._certificate.touch(mode=0o600)
        self._certificate.write_bytes(pair.certificate + pair.key)
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> DoctoredApi:
        self._thread.start()
        assert self._listening.wait(10), "it does not listen"
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join(10)

    def point(self, kubeconfig: dict[str, Any]) -> None:
        """Have a kubeconfig lead here."""
        authority = base64.b64encode(self._authority.certificate).decode()
        for each in kubeconfig["clusters"]:
            each["cluster"] = {"server": self.url, "certificate-authority-data": authority}
        for each in kubeconfig["users"]:
            each["user"] = {"token": self._member.token}

    @property
    def url(self) -> str:
        """Inside the member's network."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def _serve(self) -> None:
        """A thread and those that it starts are in the network that it entered."""
        with self._member.netns.entered() if self._member.netns else nullcontext():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._member, self._changes))
            self._server.daemon_threads = True
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._listening.set()
            with self._server:
                self._server.serve_forever(0.05)


def _handler(member: Member, changes: Mapping[str, Answer]) -> type[BaseHTTPRequestHandler]:
    url = urlsplit(member.url)
    trusted = ssl.create_default_context(cafile=str(member.ca))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            connection = HTTPSConnection(url.hostname or "", url.port, context=trusted, timeout=20)
            try:
                headers = {
                    key: value for key, value in self.headers.items() if key.lower() not in {"host", "accept-encoding"}
                }
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                answer = response.read()
            finally:
                connection.close()
            change = changes.get(self.path.partition("?")[0])
            if change is not None and response.status == 200:
                answer = json.dumps(change(json.loads(answer))).encode()
            self.send_response(response.status)
            self.send_header("content-type", response.getheader("content-type") or "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
            """Nowhere."""

    for verb in ("GET", "POST", "PATCH", "PUT", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler.forward)
    return Handler
