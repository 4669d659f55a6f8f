"""The client of the host's API against a real HTTPS server: identity, errors, and what is not a host."""

from __future__ import annotations

import base64
import http.server
import json
import select
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from skerry.cli import kubeconfig
from skerry.cli.api import Api, clusters, members, named_by, warnings
from skerry.cli.failure import Failure
from skerry.errors import NotFound, StatusError
from skerry.httpwire.names import server_name
from skerry.identity import x509

UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"
ANSWERS: dict[str, tuple[int, bytes]] = {
    "/gone": (404, NotFound('clusters "x" not found').body()),
    "/who": (401, b'{"kind":"Status","code":401,"reason":"Unauthorized","message":"no"}'),
    "/html": (502, b"<html>"),
    "/text": (200, b"hello"),
    "/apis/skerry.dev/v1alpha1/clusters": (
        200,
        json.dumps(
            {
                "items": [
                    {
                        "metadata": {"name": "host"},
                        "spec": {"role": "host", "connection": {"mode": "none"}},
                        "status": {"uid": UID},
                    },
                    {"metadata": {"name": "m1"}, "spec": {"role": "member", "connection": {"mode": "agent"}}},
                ]
            }
        ).encode(),
    ),
}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        default = (200, json.dumps({"authorization": self.headers["Authorization"], "path": self.path}).encode())
        code, body = ANSWERS.get(self.path, default)
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"type": self.headers["Content-Type"], "path": self.path, "sent": sent}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Silence."""


@pytest.fixture(scope="module")
def authority() -> x509.X509KeyPair:
    return x509.create_ca("test")


@pytest.fixture(scope="module")
def server(authority: x509.X509KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("pki")
    pair = x509.issue_server(authority, ("127.0.0.1", server_name("*", UID)))
    (directory / "crt").write_bytes(pair.certificate)
    (directory / "key").write_bytes(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "crt", directory / "key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as made:
        made.socket = tls.wrap_socket(made.socket, server_side=True)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def _api(server: str, ca: bytes, tmp_path: Path, prefix: str = "skerry") -> Api:
    path = tmp_path / "k"
    path.write_text(kubeconfig.text(kubeconfig.build(prefix, ["m1"], server=server, ca=ca, token="secret")))
    return Api(kubeconfig.context([path], ""), timeout_s=5)


@pytest.fixture
def api(server: str, authority: x509.X509KeyPair, tmp_path: Path) -> Api:
    return _api(server, authority.certificate, tmp_path)


def test_the_token_is_sent(api: Api) -> None:
    assert api.get("/echo") == {"authorization": "Bearer secret", "path": "/echo"}


def test_a_patch_is_a_merge_patch(api: Api) -> None:
    body = {"spec": {"paused": None}}
    assert api.patch("/x", body) == {"type": "application/merge-patch+json", "path": "/x", "sent": body}


def test_an_error_of_the_host_is_itself(api: Api) -> None:
    with pytest.raises(NotFound, match='clusters "x" not found'):
        api.get("/gone")


def test_an_unknown_credential_names_the_file_it_came_from(api: Api) -> None:
    with pytest.raises(StatusError, match=r"does not know the credential in /.*/k") as caught:
        api.get("/who")
    assert caught.value.code == 401


@pytest.mark.parametrize("path", ["/html", "/text"])
def test_what_is_no_host_is_recognised(api: Api, path: str) -> None:
    with pytest.raises(Failure, match="is it a skerry host"):
        api.get(path)


def test_another_authority_is_refused_before_the_token_is_sent(server: str, tmp_path: Path) -> None:
    other = x509.create_ca("other").certificate
    with pytest.raises(Failure, match="its certificate is not the host's that this kubeconfig knows"):
        _api(server, other, tmp_path).get("/echo")


def _shows(server: str, ca: bytes, tmp_path: Path, certificate: bytes, key: bytes) -> Api:
    """A client that shows this certificate and nothing else."""
    document = kubeconfig.build("skerry", ["m1"], server=server, ca=ca, token="")
    pair = {"client-certificate-data": certificate, "client-key-data": key}
    document["users"][0]["user"] = {name: base64.b64encode(data).decode() for name, data in pair.items()}
    path = tmp_path / "k"
    path.write_text(kubeconfig.text(document))
    return Api(kubeconfig.context([path], ""), timeout_s=5)


def test_a_client_certificate_is_shown(server: str, authority: x509.X509KeyPair, tmp_path: Path) -> None:
    pair = x509.issue_server(authority, ("alice",))
    api = _shows(server, authority.certificate, tmp_path, pair.certificate, pair.key)
    assert api.get("/echo")["path"] == "/echo"


def test_a_key_of_another_certificate_is_named_and_asks_for_no_password(
    server: str, authority: x509.X509KeyPair, tmp_path: Path
) -> None:
    one, other = (x509.issue_server(authority, ("alice",)) for _ in range(2))
    encrypted = one.key.replace(
        b"\n", b"\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n", 1
    )
    for key in (other.key, b"", encrypted):
        api = _shows(server, authority.certificate, tmp_path, one.certificate, key)
        with pytest.raises(
            Failure, match=r"context skerry in /.*/k: the client certificate and its key cannot be loaded"
        ):
            api.get("/echo")


def test_members_are_those_that_can_be_reached(api: Api) -> None:
    assert members(clusters(api)) == ["m1"]


def test_members_have_names_where_the_hosts_certificate_has_them(api: Api) -> None:
    assert named_by(api, clusters(api)) == UID


@pytest.mark.parametrize(
    "what", ["another authority", "no such name", "a path before it", "an unknown uid", "nobody there"]
)
def test_members_have_no_names_where_something_else_ends_tls(
    server: str, authority: x509.X509KeyPair, tmp_path: Path, what: str
) -> None:
    ca = x509.create_ca("other").certificate if what == "another authority" else authority.certificate
    address = {"a path before it": f"{server}/skerry", "nobody there": "https://127.0.0.1:1"}.get(what, server)
    uid = {"no such name": str(uuid.uuid4()), "an unknown uid": ""}.get(what, UID)
    found = [{"metadata": {"name": "host"}, "spec": {"role": "host"}, "status": {"uid": uid}}]
    assert named_by(_api(address, ca, tmp_path), found) == ""


def test_a_name_in_tls_of_ones_own_is_asked_for(server: str, authority: x509.X509KeyPair, tmp_path: Path) -> None:
    """The host is reached under an address that its certificate does not have."""
    document = kubeconfig.build(
        "skerry", [], server=server.replace("127.0.0.1", "localhost"), ca=authority.certificate, token="t"
    )
    path = tmp_path / "k"
    path.write_text(kubeconfig.text(document))
    with pytest.raises(Failure, match="its certificate is not the host's"):
        Api(kubeconfig.context([path], ""), timeout_s=5).get("/echo")
    document["clusters"][0]["cluster"]["tls-server-name"] = "127.0.0.1"
    path.write_text(kubeconfig.text(document))
    assert Api(kubeconfig.context([path], ""), timeout_s=5).get("/echo")["path"] == "/echo"


def test_a_plain_http_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="must be https"):
        _api("http://127.0.0.1:1", b"x", tmp_path)


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ('299 - "it is there already"', ["it is there already"]),
        ('299 skerry "say \\"x\\" or a\\\\b"', ['say "x" or a\\b']),
        ('299 - "ends \x1b[2J soon"', ["ends  [2J soon"]),
        ('299 - "caf\u00c3\u00a9"', ["caf\u00e9"]),
        ('299 - "' + "x" * 5000 + '"', ["x" * 1024]),
        ('110 - "stale"', []),
        ("nonsense", []),
    ],
)
def test_warnings_of_the_host_are_read_as_they_are_written(header: str, texts: list[str]) -> None:
    assert warnings([header]) == texts


class _Keeping(_Handler):
    """Keeps connections, but for one on which /leaves was asked for: it goes without a word."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_GET(self) -> None:
        super().do_GET()
        self.close_connection = self.path == "/leaves"


def test_one_connection_does_for_all_requests_and_one_that_the_host_closed_is_made_again(
    authority: x509.X509KeyPair, tmp_path: Path
) -> None:
    pair = x509.issue_server(authority, ("127.0.0.1",))
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Keeping) as made:
        made.socket = tls.wrap_socket(made.socket, server_side=True)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api = _api(f"https://127.0.0.1:{made.server_address[1]}", authority.certificate, tmp_path)
        for path in ("/a", "/gone", "/b", "/leaves"):
            with suppress(NotFound):
                api.get(path)
        assert _Keeping.connections == 1
        (idle,) = api._idle
        select.select([idle.sock], [], [], 5)
        assert api.get("/c")["path"] == "/c"
        assert _Keeping.connections == 2
        api.close()
        made.shutdown()
        thread.join()
