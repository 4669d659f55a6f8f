"""Where to send load: the server, trust and credential of one kubeconfig context."""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An API server (or a path of the host) and how to speak to it."""

    server: str
    token: str
    context: ssl.SSLContext
    server_name: str = ""


def endpoint(path: str, context: str = "") -> Endpoint:
    """The endpoint of `context` (default: the current one) in the kubeconfig at `path`."""
    document = yaml.safe_load(Path(path).read_text())
    chosen = _named(document["contexts"], context or document["current-context"])["context"]
    cluster = _named(document["clusters"], chosen["cluster"])["cluster"]
    user = _named(document["users"], chosen["user"])["user"]
    trust = ssl.create_default_context(cadata=_data(cluster, "certificate-authority").decode())
    if "client-certificate-data" in user or "client-certificate" in user:
        with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
            pair.write(_data(user, "client-certificate") + b"\n" + _data(user, "client-key"))
            pair.flush()
            trust.load_cert_chain(pair.name)
    token = user.get("token", "")
    if not token and "tokenFile" in user:
        token = Path(user["tokenFile"]).read_text().strip()
    return Endpoint(
        server=cluster["server"], token=token, context=trust, server_name=cluster.get("tls-server-name", "")
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _data(holder: dict[str, Any], key: str) -> bytes:
    if f"{key}-data" in holder:
        return base64.b64decode(holder[f"{key}-data"])
    return Path(holder[key]).read_bytes()
