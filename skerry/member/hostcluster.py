"""The cluster that the host runs in, as each of its processes reaches it: by what kubelet gives the process's pod, or by a
kubeconfig where the host does not run in a pod. Files are read anew when they change: tokens of ServiceAccounts live an hour.
"""

from __future__ import annotations

from pathlib import Path

from skerry.httpwire.room import Room
from skerry.member.credentials import source
from skerry.member.identity import Expected
from skerry.member.kubeconfig import KubeconfigError
from skerry.member.role import HOST_CLUSTER
from skerry.member.rotation import Rotation
from skerry.member.upstream import Upstream


def connected(
    kubeconfig: Path | None, *, connections: int, expected: Expected | None = None, room: Room | None = None
) -> Upstream:
    """Its API server, by the current context of a kubeconfig; None: of the cluster that this process runs in. KubeconfigError."""
    try:
        rotation = Rotation.of("" if kubeconfig is None else str(kubeconfig))
        target = rotation.target
        return Upstream(
            target,
            source(target),
            connections=connections,
            role=HOST_CLUSTER,
            room=room,
            rotation=rotation,
            expected=expected,
        )
    except KubeconfigError as error:
        raise KubeconfigError(f"this process has no way to the host's own cluster: {error}") from error
