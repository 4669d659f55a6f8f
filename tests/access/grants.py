"""Grants, workspaces and clusters for tests of access, short."""

from __future__ import annotations

from typing import Any

import msgspec

from skerry.access import Access
from skerry.api.grants import AccessGrant, Workspace

UIDS = {name: f"uid-{name}" for name in ("m1", "m2", "m3", "host")}


def grant(name: str = "g", *, uids: dict[str, str] | None = None, **spec: Any) -> AccessGrant:
    """A grant of view on m1 for alice, but for what `spec` says (None: absent), bound to the clusters in UIDS."""
    base = {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["m1"]}, "role": "view"}
    merged = {key: value for key, value in {**base, **spec}.items() if value is not None}
    bound = [{"name": each, "uid": uid} for each, uid in (UIDS if uids is None else uids).items()]
    document = {"metadata": {"name": name}, "spec": merged, "status": {"clusters": bound}}
    return msgspec.convert(document, AccessGrant)


def workspace(name: str = "team", *, owned: list[dict[str, str]] | None = None, **spec: Any) -> Workspace:
    """A workspace with namespace shop on m1, its own, and alice as its editor."""
    namespaces = [{"cluster": "m1", "name": "shop"}]
    base = {"members": [{"kind": "User", "name": "alice", "role": "edit"}], "namespaces": namespaces}
    states = [{**each, "uid": UIDS[each["cluster"]], "state": "Ready"} for each in namespaces]
    status = {"namespaces": states if owned is None else owned}
    return msgspec.convert({"metadata": {"name": name}, "spec": {**base, **spec}, "status": status}, Workspace)


def access(*grants: AccessGrant, labels: dict[str, dict[str, str]] | None = None) -> Access:
    """Of these grants, on clusters m1, m2, m3 and host."""
    compiled = Access()
    for name, uid in UIDS.items():
        compiled.cluster(name, uid, (labels or {}).get(name))
    for each in grants:
        compiled.grant(each.metadata.name, each)
    return compiled
