"""Manifests of pods that run on the tests' nodes."""

from __future__ import annotations

from typing import Any

from tests.kube import images

FOREVER = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"


def busybox(
    name: str,
    script: str = FOREVER,
    *,
    image: str = images.BUSYBOX,
    namespace: str = "default",
    host_network: bool = False,
) -> dict[str, Any]:
    """A pod that runs a shell script in busybox (`FOREVER` by default), and ends at once when it is deleted."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "restartPolicy": "Never",
            "hostNetwork": host_network,
            "containers": [container],
        },
    }
