"""Secrets of releases, made as Helm makes them (pkg/storage/driver)."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def release(name: str = "web", revision: int = 1, status: str = "deployed", **more: Any) -> dict[str, Any]:
    """A release as Helm stores it in JSON."""
    return {
        "name": name,
        "info": {
            "first_deployed": "2026-11-27T23:18:58.123456789Z",
            "last_deployed": "2026-11-28T00:18:58.5+01:00",
            "deleted": "",
            "description": "Install complete",
            "status": status,
            "notes": "Visit http://web",
        },
        "chart": {"metadata": {"name": "nginx", "version": "1.2.3", "appVersion": "1.27", "apiVersion": "v2"}},
        "config": {"replicas": 2, "gone": None},
        "manifest": "---\n# Source: nginx/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        "hooks": [{"name": "h", "kind": "Job", "manifest": "kind: Job", "events": ["pre-install"], "last_run": {}}],
        "version": revision,
        "namespace": "shop",
        **more,
    }


def secret(content: dict[str, Any] | bytes, name: str = "web", revision: int = 1, status: str = "deployed") -> Any:
    """The Secret of a release; of bytes, which may be anything, as its data."""
    packed = content if isinstance(content, bytes) else gzip.compress(json.dumps(content).encode())
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.{name}.v{revision}",
            "namespace": "shop",
            "labels": {
                "name": name,
                "owner": "helm",
                "status": status,
                "version": str(revision),
                "createdAt": "1764285538",
                "modifiedAt": "1764285540",
                "skerry.dev/release": "uid",
            },
        },
        "data": {"release": base64.b64encode(base64.b64encode(packed)).decode()},
    }
