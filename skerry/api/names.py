"""Prefixes that mark what is Skerry's own on members and among tokens; a prefix is a contract, so it stands once."""

from __future__ import annotations

PREFIX = "skerry:"
"""Of users and groups that Skerry impersonates on a member, and of the cluster roles and bindings that it makes there."""
TOKEN_PREFIX = "skerry_"  # noqa: S105
"""Of bearer tokens of the host, so that scanners of secrets and our own log filter know one."""
