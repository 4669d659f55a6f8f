"""A provider that answers what a test says: for what a certified one never does (tests/proxy/idp.py has that one)."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from skerry.cli.login.parameters import LoginParameters, parameters
from skerry.identity import x509

Form = dict[str, str]
Said = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]
Handler = Callable[[Form], Said]


class Standin:
    """Answers by path; the last answer for a path is repeated."""

    def __init__(self, issuer: str, ca: str = "") -> None:
        self.issuer = issuer
        self.asked: list[tuple[str, Form]] = []
        self._answers: dict[str, list[Handler]] = {}
        self.parameters: LoginParameters = parameters(issuer, "skerry", "", "", base64.b64encode(ca.encode()).decode())
        self.describe()

    def describe(self, **fields: Any) -> None:
        """What discovery says, with all endpoints but those that are None."""
        endpoints = {
            f"{name}_endpoint": f"{self.issuer}/{name}"
            for name in ("token", "authorization", "device_authorization", "revocation")
        }
        known = {"issuer": self.issuer, **endpoints, **fields}
        self.answer(
            "/.well-known/openid-configuration", {key: value for key, value in known.items() if value is not None}
        )

    def answer(self, path: str, *said: Any, status: int = 200) -> None:
        """What is said to requests for a path, one after the other: documents, (status, document), bytes or handlers."""
        self._answers[path] = [self._handler(each, status) for each in said]

    @staticmethod
    def _handler(said: Any, status: int) -> Handler:
        if callable(said):
            return said  # type: ignore[no-any-return]
        if isinstance(said, tuple):
            status, said = said
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return lambda form: (status, body)

    def say(self, path: str, form: Form) -> Said:
        """The next answer."""
        self.asked.append((path, form))
        answers = self._answers.get(path)
        if not answers:
            return 404, b"nothing here"
        return (answers.pop(0) if len(answers) > 1 else answers[0])(form)

    def forms(self, path: str) -> list[Form]:
        """What was sent there."""
        return [form for where, form in self.asked if where == path]

    def id_token(self, left_s: float = 300.0, **claims: Any) -> str:
        """An ID token; nobody here looks at signatures."""
        usual = {
            "iss": self.issuer,
            "sub": "u1",
            "aud": "skerry",
            "exp": time.time() + left_s,
            "email": "alice@example.com",
        }
        parts = ({"alg": "RS256"}, {**usual, **claims}, "signature")
        return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts)


@contextlib.contextmanager
def running(pki: Path | None = None) -> Iterator[Standin]:
    """A provider at a port of its own; with a directory for its certificate over TLS."""

    class Request(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(dict(parse_qsl(body)))

        def _answer(self, form: Form) -> None:
            status, body, *more = provider.say(self.path, form)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(more[0] if more else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *values: Any) -> None:  # noqa: A002 - as it is called
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that does not trust us is what some tests want

    with Server(("127.0.0.1", 0), Request) as server:
        if pki is None:
            provider = Standin(f"http://127.0.0.1:{server.server_port}")
        else:
            ca = x509.create_ca("standin")
            leaf = x509.issue_server(ca, ("127.0.0.1",))
            (pki / "crt").write_bytes(leaf.certificate)
            (pki / "key").write_bytes(leaf.key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pki / "crt", pki / "key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
            provider = Standin(f"https://127.0.0.1:{server.server_port}", ca.certificate.decode())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
