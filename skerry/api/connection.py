"""`clusters/<name>/connection`: how the host is told to reach a direct member. Write-only, and no kind of its own.

The kubeconfig holds a credential, so it is not a field of the Cluster, where ownership, history, events and every reader
would meet it: it is posted here (joins) or put here (rotates), goes to the owning service, and is never answered.
"""

from __future__ import annotations

from typing import Annotated

from skerry.api.meta import Struct
from skerry.api.v1alpha1 import API_VERSION, described


class ClusterConnectionSpec(Struct, frozen=True, kw_only=True):
    """What the host needs to reach an API server."""

    kubeconfig: Annotated[
        str, described("A kubeconfig, JSON or YAML, whose current context names no file and runs nothing.")
    ]
    take_over: Annotated[bool, described("Join although the cluster is marked as another host's member.")] = False

    def __repr__(self) -> str:
        return "ClusterConnectionSpec(...)"


class ClusterConnection(Struct, frozen=True, kw_only=True):
    """The body of POST (join) and PUT (give another credential) on `clusters/<name>/connection`."""

    api_version: str = API_VERSION
    kind: str = "ClusterConnection"
    spec: Annotated[ClusterConnectionSpec, described("What the host needs to reach the cluster.")]
