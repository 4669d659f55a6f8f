"""A real registry (github.com/distribution/distribution), its server of tokens, and Helm that pushes charts to it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from skerry.identity.x509 import X509KeyPair, create_ca, issue_server
from tests.appstore.repositories.server import Answer, Asked, ChartServer

USER, PASSWORD = "me", "U*U"
HTPASSWD = f"{USER}:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n"
"""The first test vector of crypt_blowfish."""
SERVICE, ISSUER = "registry.test", "tokens.test"
DEADLINE_S = 20.0


class OciRegistry:
    """One that runs on this machine."""

    def __init__(self, directory: Path, programs: Mapping[str, Path], port: int, ca: X509KeyPair) -> None:
        self.directory, self.port, self.ca_pem = directory, port, ca.certificate.decode()
        self._helm = programs["helm-4"]

    @property
    def url(self) -> str:
        """Of the charts in it."""
        return f"oci://localhost:{self.port}/team"

    @property
    def log(self) -> str:
        """What it was asked, as it says itself."""
        return (self.directory / "registry.log").read_text(errors="replace")

    async def push(self, package: bytes, path: str = "") -> None:
        """Push a chart's package with Helm, logged in."""
        file = self.directory / "chart.tgz"
        file.write_bytes(package)
        ca = ["--ca-file", str(self.directory / "ca.crt")]
        login = ["registry", "login", f"localhost:{self.port}", "-u", USER, "--password-stdin", *ca]
        await asyncio.to_thread(self._run, login, PASSWORD)
        await asyncio.to_thread(self._run, ["push", str(file), self.url + path, *ca], "")

    def _run(self, arguments: list[str], stdin: str) -> None:
        home = self.directory / "helm"
        environment = {
            "HOME": str(home),
            "HELM_REGISTRY_CONFIG": str(home / "registry.json"),
            "PATH": os.environ["PATH"],
        }
        done = subprocess.run(
            [self._helm, *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@asynccontextmanager
async def oci_registry(
    directory: Path, programs: Mapping[str, Path], auth: Mapping[str, Any] | None = None
) -> AsyncIterator[OciRegistry]:
    """A registry that asks for a password, or for what `auth` of its configuration says."""
    directory.mkdir()
    ca, port = create_ca("registry"), _free_port()
    server = issue_server(ca, ("127.0.0.1", "localhost"))
    files = {
        "ca.crt": ca.certificate,
        "tls.crt": server.certificate,
        "tls.key": server.key,
        "htpasswd": HTPASSWD.encode(),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    configuration = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "store")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "tls": {"certificate": str(directory / "tls.crt"), "key": str(directory / "tls.key")},
        },
        "auth": auth or {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}},
    }
    (directory / "config.yml").write_text(json.dumps(configuration))  # JSON is YAML
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [programs["docker-registry"], "serve", directory / "config.yml"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await asyncio.to_thread(_listens, port)
        yield OciRegistry(directory, programs, port, ca)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
        return port


def _listens(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        time.sleep(0.05)
    raise AssertionError("the registry does not listen")


class Tokens:
    """The server of tokens for a registry (distribution's token specification): what it gives is signed by its certificate."""

    def __init__(self, directory: Path, server: ChartServer) -> None:
        directory.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        authority = create_ca("tokens")
        issuer = x509.load_pem_x509_certificate(authority.certificate)
        signer = serialization.load_pem_private_key(authority.key, None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(issuer.not_valid_before_utc)
            .not_valid_after(issuer.not_valid_after_utc)
            .sign(signer, hashes.SHA256())
        )
        (directory / "tokens.crt").write_bytes(authority.certificate)
        self.auth = {
            "token": {
                "realm": f"https://localhost:{server.port}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(directory / "tokens.crt"),
            }
        }
        server.answering = self.answer

    async def answer(self, asked: Asked, writer: asyncio.StreamWriter) -> Answer:
        """A token for what is asked, to who has the password."""
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {pair}":
            return Answer(401)
        query = parse_qs(urlsplit(asked.target).query)
        return Answer(200, json.dumps({"token": self._token(query.get("scope", []))}).encode())

    def _token(self, scopes: list[str]) -> str:
        access = []
        for scope in " ".join(scopes).split():
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": ISSUER, "sub": USER, "aud": SERVICE, "exp": now + 300, "nbf": now - 5, "iat": now, "jti": "1"}
        text = f"{_part(head)}.{_part({**claims, 'access': access})}"
        first, second = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_url64(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"


def _part(document: Any) -> str:
    return _url64(json.dumps(document).encode())


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
