"""A host that knows one app and one release of it, over TLS, for clients that are tried against what it answers."""

from __future__ import annotations

import http.server
import json
import ssl
from pathlib import Path
from typing import Any

from skerry.cli import kubeconfig

RELEASE: dict[str, Any] = {
    "status": {"revision": 2, "clusters": {"desired": 1}, "conditions": [{"type": "Accepted", "reason": "Valid"}]}
}
INSTANCE: dict[str, Any] = {
    "spec": {"cluster": "m1"},
    "status": {"phase": "Deployed", "health": "Healthy", "revision": 2, "helm": {"chart": "web-1.0.0"}},
}
ROWS = {"columnDefinitions": [{"name": "Name", "type": "string"}], "rows": [{"cells": ["web"]}], "items": []}
APP: dict[str, Any] = {"metadata": {"namespace": "skerry-apps", "name": "web"}, "status": {"latest": "1.0.0"}}
VERSIONS: dict[str, Any] = {"items": [{"spec": {"version": "1.0.0"}, "metadata": {"name": "web-1.0.0"}}]}
STORE: dict[str, Any] = {"status": {"conditions": [{"type": "HelmReady", "status": "True"}]}}


class Host(http.server.ThreadingHTTPServer):
    """A host that knows one release. `heads` are sent with each answer, `status` is that of all."""

    daemon_threads = True

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.asked: list[tuple[str, str]] = []
        self.heads: dict[str, str] = {}
        self.status = 200
        self.closes = False
        self.posted: list[Any] = []
        self.post_status = 201
        """0: the connection is closed instead."""
        self.post_heads: dict[str, str] = {}
        self.pending = 0
        """For so many looks at its instances what was made is on its way."""
        self.breaks_off = False
        """Answers to GETs carry a warning once something was made."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Host

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if "watch=1" in self.path:
            self._watched()
            return
        heads = {"Warning": '299 - "it is late"'} if self.server.posted and self.server.breaks_off else {}
        if self.server.status >= 400:
            self._send(self.server.status, _refusal(self.server.status), self.server.heads)
            return
        document = self._document()
        status = 404 if document is None else self.server.status
        self._send(status, document or _refusal(404), {**self.server.heads, **heads})

    def _document(self) -> Any:
        place = self.path.partition("?")[0].removeprefix("/apis/skerry.dev/v1alpha1")
        if "as=Table" in self.headers["Accept"]:
            return ROWS
        if place == "/appstores/host":
            return STORE
        if "/apps/" in place:
            return APP if place == "/namespaces/skerry-apps/apps/web" else None
        if place.endswith("/appversions"):
            return VERSIONS
        if place.endswith("/appinstances"):
            self.server.pending -= 1
            return {
                "items": [{**INSTANCE, "status": {"phase": "Installing"}} if self.server.pending >= 0 else INSTANCE]
            }
        return RELEASE

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append(json.loads(body))
        if not self.server.post_status:
            self.close_connection = True
            return
        refused = self.server.post_status >= 400
        document = _refusal(self.server.post_status) if refused else json.loads(body)
        self._send(self.server.post_status, document, self.server.post_heads)

    def _watched(self) -> None:
        """Two changes, the second in two parts."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        event = json.dumps({"type": "MODIFIED", "object": INSTANCE}).encode() + b"\n"
        for part in (event, event[:5], event[5:], b""):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.close_connection = True

    def _send(self, status: int, document: Any, heads: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **heads}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.server.closes

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Silence."""


def _refusal(code: int) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": "NotFound", "message": "no web here"}


def write(directory: Path, server: Host, ca: bytes) -> None:
    """The administrator's kubeconfig."""
    url = f"https://127.0.0.1:{server.server_address[1]}"
    admin = directory / "state" / "host" / "admin.kubeconfig"
    admin.parent.mkdir(parents=True)
    admin.write_text(kubeconfig.text(kubeconfig.build("skerry", [], server=url, ca=ca, token="secret")))
