"""A kubeconfig of one cluster and one user, self-contained, as kind and k3s write it: certificates inline.

JSON, which every reader of kubeconfigs takes, so that writing one needs no YAML library.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from skerry.identity.files import write_private
from skerry.localkube.certificates import CertificatePair


def write(path: Path, *, name: str, url: str, ca: Path, client: CertificatePair) -> None:
    """Write `path` (0600) with one context `name`, which is the current one."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority-data": _inline(ca)}}],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _inline(client.certificate),
                    "client-key-data": _inline(client.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    write_private(path, json.dumps(document, indent=1).encode(), durable=False)


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
