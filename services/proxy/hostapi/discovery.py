"""What is served: legacy and aggregated discovery, made once from the declarations. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from skerry.api.kinds import Kind

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Document(NamedTuple):
    """A document and its ETag."""

    body: bytes
    etag: str


def _document(value: dict[str, Any]) -> Document:
    return tagged(msgspec.json.encode(value))


def tagged(body: bytes) -> Document:
    """A document with the ETag of its content."""
    return Document(body, f'"{hashlib.sha256(body).hexdigest().upper()}"')


class Discovery:
    """All discovery documents of a set of kinds."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._groups = sorted({(kind.group, kind.version) for kind in self._kinds if kind.group})
        self.core = _document({"kind": "APIVersions", "versions": [], "serverAddressByClientCIDRs": []})
        self.core_aggregated = _document(_discovery_list([]))
        self.groups = _document(
            {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*group) for group in self._groups]}
        )
        self.groups_aggregated = _document(_discovery_list([self._aggregated(*group) for group in self._groups]))

    def group(self, group: str) -> Document | None:
        """APIGroup, None if there is no such group."""
        for name, version in self._groups:
            if name == group:
                return _document({"kind": "APIGroup", "apiVersion": "v1", **_group(name, version)})
        return None

    def resources(self, group: str, version: str) -> Document | None:
        """APIResourceList, None if there is no such group and version."""
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        if not kinds:
            return None
        return _document(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": kinds[0].api_version,
                "resources": [_resource(kind) for kind in kinds],
            }
        )

    def _aggregated(self, group: str, version: str) -> dict[str, Any]:
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        resources = [_aggregated_resource(kind) for kind in kinds]
        return {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [{"version": version, "resources": resources, "freshness": "Current"}],
        }


def _discovery_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group(group: str, version: str) -> dict[str, Any]:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _resource(kind: Kind) -> dict[str, Any]:
    storage = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).digest()[:8]
    return {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
        "storageVersionHash": msgspec.json.encode(storage).decode().strip('"'),
    }


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    return {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
    }
