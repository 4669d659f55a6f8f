"""Objects for the benchmarks, written straight to the member's API server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bench.kubeconfig import endpoint

LIST = "/api/v1/namespaces/bench/configmaps"
"""600 ConfigMaps of 10 kB: 6 MB."""
LARGE = "/api/v1/namespaces/bench-large/configmaps"
"""200 ConfigMaps of 1 MB: 200 MB."""
WATCHED = "/api/v1/namespaces/bench-watch/configmaps"


def namespace(kubeconfig: Path, name: str, *, objects: int = 0, size: int = 0) -> None:
    """A namespace with `objects` ConfigMaps of `size` bytes. What is there already stays."""
    target = endpoint(str(kubeconfig))
    parts = urlsplit(target.server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=target.context, timeout=60)
    try:
        _create(connection, "/api/v1/namespaces", {"metadata": {"name": name}})
        for number in range(objects):
            text = f"{number:08}" * (size // 8)
            document = {"metadata": {"name": f"filler-{number:04}"}, "data": {"text": text}}
            _create(connection, f"/api/v1/namespaces/{name}/configmaps", document)
    finally:
        connection.close()


def _create(connection: http.client.HTTPSConnection, path: str, document: Mapping[str, object]) -> None:
    connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    if response.status not in (201, 409):
        raise RuntimeError(f"POST {path}: {response.status} {body[:300]!r}")


def clock(kubeconfig: Path) -> None:
    """The object that the watches' writer changes."""
    target = endpoint(str(kubeconfig))
    parts = urlsplit(target.server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=target.context, timeout=60)
    try:
        _create(connection, WATCHED, {"metadata": {"name": "clock"}, "data": {"at": "0"}})
    finally:
        connection.close()
