"""Prefixes that mark what is Skerry's own on members and among tokens; a prefix is a contract, so it stands once."""

from __future__ import annotations

import re

GROUP = "skerry.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
"""Of all kinds of the host."""

PREFIX = "skerry:"
"""Of users and groups that Skerry impersonates on a member, and of the cluster roles and bindings that it makes there."""
TOKEN_PREFIX = "skerry_"  # noqa: S105
"""Of bearer tokens of the host, so that scanners of secrets and our own log filter know one."""

RESERVED = (PREFIX, "system:")
"""Beginnings of names, in any case, of users and groups that are nobody's: Skerry's own, and Kubernetes' own."""
SERVICE_ACCOUNT = "serviceaccount:"
"""Of users that are service accounts of the host's cluster: `serviceaccount:<namespace>:<name>`. No other user has it."""
LONGEST_NAME = 253
"""Bytes of a user or a group."""

DEFAULT = "default"
"""The namespace of the host that is always there, its administrators' own; Events of cluster-scoped objects are in it."""
POOL = "skerry-apps"
"""The namespace of the host with what all may use. It is always there, as no Workspace has its name."""

NAMESPACES_GROUP = PREFIX + "namespaces"
"""The group, ClusterRole and binding on a member that let Namespaces be listed; a proxy asserts it for narrowed lists alone."""


def is_group(name: str) -> bool:
    """True if a group may be called so: printable, without a blank at either end, with no reserved beginning."""
    if not name.isprintable() or name != name.strip() or not 0 < len(name.encode()) <= LONGEST_NAME:
        return False
    return not name.casefold().startswith(RESERVED)


def is_user(name: str) -> bool:
    """True if a person may be called so: as a group, and not as service accounts are."""
    return is_group(name) and not name.casefold().startswith(SERVICE_ACCOUNT)


def namespaced_group(namespace: str, role: str) -> str:
    """The group that a member's RoleBinding in a namespace gives a role to."""
    return f"{PREFIX}ns:{namespace}:{role}"


OWNER_LABEL, HOST_LABEL = "skerry.dev/owner", "skerry.dev/host"
"""On every object that the host's services have on a member: the service's name, and the UID of the host."""
WORKSPACE_LABEL = "skerry.dev/workspace"
"""On a member's Namespace: the name of the workspace that it belongs to."""
OUR_LABELS = (OWNER_LABEL, HOST_LABEL, WORKSPACE_LABEL)
"""They go from what is left to whoever is there."""
FENCE = "skerry.dev/fence"
"""Annotation: the number of the newest entry that was written to an object of ours. What is older never is again."""
WITHDRAW = "skerry.dev/withdraw"
"""Annotation: `Delete` or `Orphan`, what becomes of an object of ours when it is no longer wanted. On a Cluster `Orphan`: when it
is removed, what the host's services have there stays, and is nobody's.
"""
CLEANUP = "skerry.dev/cleanup"
"""Annotation of a Cluster: how long its removal waits for what it takes away first, such as `30s`; `0s`: its credentials are revoked
before anything else."""
CLUSTER_UID = "skerry.dev/cluster-uid"
"""Annotation of the host's Cluster: UID of the cluster that the host runs in, where an administrator says that it was moved."""
MANAGED_BY = "app.kubernetes.io/managed-by"
"""Helm's label, or a user's."""
INSTALLED_LABEL = "skerry.dev/installed"
"""On all that is installed on a cluster for Skerry itself: `host`, `agent`, or `direct` (the account for the host)."""

_AUDIT_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def is_audit_id(text: str) -> bool:
    """True if `text` is the id of a request: a UUID, as API servers make them."""
    return _AUDIT_ID.fullmatch(text) is not None
