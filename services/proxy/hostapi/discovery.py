"""What is served: legacy and aggregated discovery, made once from the declarations. Pure.

kubectl asks for the aggregated form at `/api` and `/apis` and keeps it by ETag; older clients and other libraries walk the
legacy documents. Both say the same.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from services.proxy.hostapi.negotiate import DISCOVERY, PLAIN, Media
from skerry.api.kinds import Kind

VERSIONS = ("v2", "v2beta1")
"""Of the aggregated form, the preferred first."""
_ADDRESSES: list[Any] = []


class DiscoveryDocument(NamedTuple):
    """A document, its media type and its ETag."""

    body: bytes
    etag: str
    media: bytes = b"application/json"


def tagged(body: bytes, media: bytes = b"application/json") -> DiscoveryDocument:
    """A document with the ETag of its content."""
    return DiscoveryDocument(body, f'"{hashlib.sha256(body).hexdigest().upper()}"', media)


class Discovery:
    """All discovery documents of a set of kinds."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        kinds = tuple(kinds)
        grouped: dict[tuple[str, str], list[Kind]] = {}
        for kind in kinds:
            grouped.setdefault((kind.group, kind.version), []).append(kind)
        self._versions = dict(sorted(grouped.items()))
        self._documents = dict(self._made())

    def find(self, parts: tuple[str, ...], media: Media) -> DiscoveryDocument | None:
        """The document at `/api…` or `/apis…`, in the form that was negotiated; None if there is no such path."""
        return self._documents.get((parts, media)) or self._documents.get((parts, PLAIN))

    def _made(self) -> Iterable[tuple[tuple[tuple[str, ...], Media], DiscoveryDocument]]:
        core = [version for group, version in self._versions if not group]
        groups = [(group, version) for group, version in self._versions if group]
        versions = {"kind": "APIVersions", "versions": core, "serverAddressByClientCIDRs": _ADDRESSES}
        yield (("api",), PLAIN), _document(versions)
        group_list = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*each) for each in groups]}
        yield (("apis",), PLAIN), _document(group_list)
        for form in VERSIONS:
            media = Media("APIGroupDiscoveryList", DISCOVERY, form)
            yield (("api",), media), self._aggregated(media, [("", version) for version in core])
            yield (("apis",), media), self._aggregated(media, groups)
        for group, version in groups:
            document = _document({"kind": "APIGroup", "apiVersion": "v1", **_group(group, version)})
            yield (("apis", group), PLAIN), document
        for (group, version), kinds in self._versions.items():
            path = ("apis", group, version) if group else ("api", version)
            yield (path, PLAIN), _document(_resources(kinds))

    def _aggregated(self, media: Media, versions: list[tuple[str, str]]) -> DiscoveryDocument:
        value = {
            "kind": media.as_,
            "apiVersion": f"{media.group}/{media.version}",
            "metadata": {},
            "items": [self._item(group, version) for group, version in versions],
        }
        kind = f"application/json;g={media.group};v={media.version};as={media.as_}"
        return tagged(msgspec.json.encode(value), kind.encode())

    def _item(self, group: str, version: str) -> dict[str, Any]:
        resources = [_aggregated_resource(kind) for kind in self._versions[group, version]]
        metadata = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
        return {
            "metadata": metadata,
            "versions": [{"version": version, "resources": resources, "freshness": "Current"}],
        }


def _document(value: dict[str, Any]) -> DiscoveryDocument:
    return tagged(msgspec.json.encode(value))


def _group(group: str, version: str) -> dict[str, Any]:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _resources(kinds: list[Kind]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": [one for kind in kinds for one in (_resource(kind), *_below(kind))],
    }


def _below(kind: Kind) -> Iterable[dict[str, Any]]:
    for name, shape, verbs in _subresources(kind):
        yield {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": shape,
            "verbs": verbs,
        }


STATUS_VERBS = ("get", "patch", "update")


def has_status(kind: Kind) -> bool:
    """True if the kind has the subresource `status`: those whose spec clients change have."""
    return "patch" in kind.verbs and "status" in kind.type.__struct_encode_fields__


def _subresources(kind: Kind) -> Iterable[tuple[str, str, list[str]]]:
    """(name, what is sent or read there, verbs)."""
    if has_status(kind):
        yield "status", kind.kind, list(STATUS_VERBS)
    for name in dict.fromkeys(action.subresource for action in kind.actions):
        actions = [action for action in kind.actions if action.subresource == name]
        shapes = [action.request if action.takes_body else action.answer for action in actions]
        shape = next((each.__name__ for each in shapes if each), kind.kind)
        yield name, shape, sorted(action.verb for action in actions)


def _resource(kind: Kind) -> dict[str, Any]:
    storage = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).digest()[:8]
    return {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
        **_names(kind),
        "storageVersionHash": base64.b64encode(storage).decode(),
    }


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    served = {"group": kind.group, "version": kind.version}
    below = [
        {"subresource": name, "responseKind": {**served, "kind": shape}, "verbs": verbs}
        for name, shape, verbs in _subresources(kind)
    ]
    return {
        "resource": kind.plural,
        "responseKind": {**served, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
        **_names(kind),
        **({"subresources": below} if below else {}),
    }


def _names(kind: Kind) -> dict[str, list[str]]:
    names = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {name: values for name, values in names.items() if values}
