"""Objects for the benchmarks, written straight to the member's API server.

Their text is as compressible as what clusters hold, and not more, since answers are packed on the bus: a quarter is noise
as in certificates, the rest settings with values of their own. A LIST of them packs to about a half; one of Pods, with
their managedFields, to a sixth; one of the large ones, which are all noise, hardly.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.kubeconfig import endpoint

LIST = "/api/v1/namespaces/bench/configmaps"
"""600 ConfigMaps of 10 kB: 6 MB."""
LARGE = "/api/v1/namespaces/bench-large/configmaps"
"""200 ConfigMaps of 1 MB: 200 MB."""
PODS = "/api/v1/namespaces/bench-pods/pods"
"""2,000 Pods as a Deployment makes them: 6 MB, mostly managedFields."""
WATCHED = "/api/v1/namespaces/bench-watch/configmaps"


def namespace(kubeconfig: Path, name: str, *, objects: int = 0, size: int = 0) -> None:
    """A namespace with `objects` ConfigMaps of about `size` bytes. What is there already stays."""
    target = endpoint(str(kubeconfig))
    parts = urlsplit(target.server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=target.context, timeout=60)
    try:
        _create(connection, "/api/v1/namespaces", {"metadata": {"name": name}})
        for number in range(objects):
            document = {"metadata": {"name": f"filler-{number:04}"}, "data": _data(random.Random(number), size)}
            _create(connection, f"/api/v1/namespaces/{name}/configmaps", document)
    finally:
        connection.close()


def _data(chance: random.Random, size: int) -> dict[str, str]:
    left = min(size * 3 // 4, _SETTINGS_SIZE)
    noise = base64.b64encode(chance.randbytes((size - left) * 3 // 4)).decode()
    lines: list[str] = []
    while left > 0:
        lines.append(f"{chance.choice(_SETTINGS)}.{chance.randrange(100)}: {chance.randrange(100_000)}\n")
        left -= len(lines[-1])
    return {"tls.crt": noise, "settings.yaml": "".join(lines)}


_SETTINGS = (
    "server.http.timeout.seconds", "server.http.connections.limit", "database.pool.size", "database.pool.idle.seconds",
    "cache.entries", "cache.expires.minutes", "feature.checkout.variant", "feature.search.weight", "logging.level.root",
    "logging.rotate.megabytes", "retry.backoff.milliseconds", "retry.attempts", "queue.consumers", "queue.prefetch",
)  # fmt: skip
"""What settings files are about."""
_SETTINGS_SIZE = 16_000


def _create(connection: http.client.HTTPSConnection, path: str, document: Mapping[str, object]) -> None:
    connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    if response.status not in (201, 409):
        raise RuntimeError(f"POST {path}: {response.status} {body[:300]!r}")


def pods(kubeconfig: Path, objects: int = 2_000) -> None:
    """Pods that nobody runs, with what controllers write into them. What is there already stays."""
    target = endpoint(str(kubeconfig))
    parts = urlsplit(target.server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=target.context, timeout=60)
    below = "/api/v1/namespaces/bench-pods"
    try:
        _create(connection, "/api/v1/namespaces", {"metadata": {"name": "bench-pods"}})
        _create(connection, f"{below}/serviceaccounts", {"metadata": {"name": "default"}})
        for number in range(objects):
            _create(connection, f"{below}/pods", pod(random.Random(number), number))
    finally:
        connection.close()


def pod(chance: random.Random, number: int) -> dict[str, Any]:
    """A Pod as a Deployment makes it."""
    revision, suffix, digest = chance.randbytes(5).hex()[:9], chance.randbytes(3).hex()[:5], chance.randbytes(32).hex()
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
    container = {
        "name": "web",
        "image": f"registry.example.org/shop/web@sha256:{digest}",
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
        "env": [{"name": "REVISION", "value": revision}, {"name": "SHARD", "value": str(number % 50)}],
        "resources": resources,
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "periodSeconds": 10},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
    }
    return {
        "metadata": {
            "name": f"web-{revision}-{suffix}-{number}",
            "labels": {"app": "web", "pod-template-hash": revision, "tier": chance.choice(("front", "back"))},
            "annotations": {"checksum/config": chance.randbytes(32).hex()},
        },
        "spec": {
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": f"web-{revision}"}}],
            "automountServiceAccountToken": False,
            "nodeName": f"node-{number % 50}",
        },
    }


def clock(kubeconfig: Path) -> None:
    """The object that the watches' writer changes."""
    target = endpoint(str(kubeconfig))
    parts = urlsplit(target.server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=target.context, timeout=60)
    try:
        _create(connection, WATCHED, {"metadata": {"name": "clock"}, "data": {"at": "0"}})
    finally:
        connection.close()
