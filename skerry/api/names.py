"""Prefixes that mark what is Skerry's own on members and among tokens; a prefix is a contract, so it stands once."""

from __future__ import annotations

PREFIX = "skerry:"
"""Of users and groups that Skerry impersonates on a member, and of the cluster roles and bindings that it makes there."""
TOKEN_PREFIX = "skerry_"  # noqa: S105
"""Of bearer tokens of the host, so that scanners of secrets and our own log filter know one."""

OWNER_LABEL, HOST_LABEL = "skerry.dev/owner", "skerry.dev/host"
"""On every object that the host's services have on a member: the service's name, and the UID of the host."""
WITHDRAW = "skerry.dev/withdraw"
"""Annotation: `Delete` or `Orphan`, what becomes of an object of ours when it is no longer wanted. On a Cluster `Orphan`: when it
is removed, what the host's services have there stays, and is nobody's.
"""
MANAGED_BY = "app.kubernetes.io/managed-by"
"""Helm's label, or a user's."""
