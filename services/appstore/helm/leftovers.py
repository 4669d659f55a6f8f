"""What stays when Helm uninstalls a release, and the line of kubectl that deletes it. Pure.

Helm deletes what it made and still counts to the release: no volumes of StatefulSets (the StatefulSet makes them), no CRDs of
crds/, nothing that its chart wants to be kept, no objects of hooks that have no policy of being deleted, no namespace.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from services.appstore.helm.manifest import Identity, ManifestObject
from services.appstore.helm.risks import EXTENSIONS, is_cluster_scoped
from skerry.api.meta import Document

Why: TypeAlias = Literal["Volumes", "CustomResources", "Kept", "Hook", "Namespace"]
MOST = 50
"""That are listed."""


class Leftover(NamedTuple):
    """Something that stays."""

    why: Why
    what: str
    """For people: Kind/name, or volumes of which StatefulSet."""
    command: str
    """That deletes it, safe to paste."""


def leftovers(
    objects: Iterable[ManifestObject], namespace: str, *, created_namespace: bool = False, context: str = ""
) -> tuple[Leftover, ...]:
    """What of these objects (a release's manifest, its hooks, and the CRDs of its chart) stays after `helm uninstall`.

    `created_namespace`: it was made for the release. `context`: of the kubeconfig, for the commands.
    """
    kubectl = _Kubectl(namespace, context)
    every = [left for each in objects if (left := _leftover(each, kubectl)) is not None]
    if created_namespace:
        every.append(Leftover("Namespace", f"Namespace/{namespace}", kubectl.line("delete", "namespace", namespace)))
    return tuple(dict.fromkeys(every))[:MOST]


def may_stay(each: ManifestObject) -> bool:
    """True for an object that stays if it is there, or of which something does."""
    return _leftover(each, _Kubectl("", "")) is not None


def is_of_crds(each: ManifestObject) -> bool:
    """True for a CRD of a chart's crds/, which Helm makes and never deletes."""
    return each.identity.group == EXTENSIONS and "/crds/" in each.source


class _Kubectl(NamedTuple):
    namespace: str
    context: str

    def delete(self, identity: Identity) -> str:
        kind = f"{identity.kind.lower()}{identity.group and f'.{identity.group}'}"
        scope = () if is_cluster_scoped(identity) else ("-n", identity.namespace or self.namespace)
        return self.line(*scope, "delete", kind, identity.name)

    def line(self, *arguments: str) -> str:
        return shlex.join(("kubectl", *(("--context", self.context) if self.context else ()), *arguments))


def _leftover(each: ManifestObject, kubectl: _Kubectl) -> Leftover | None:
    identity = each.identity
    if each.is_test or not identity.name:
        return None
    if each.is_hook:
        stays = not {"hook-succeeded"} & set(each.delete_policies)
        return Leftover("Hook", str(identity), kubectl.delete(identity)) if stays else None
    if each.kept:
        return Leftover("Kept", str(identity), kubectl.delete(identity))
    if is_of_crds(each):
        return Leftover("CustomResources", str(identity), kubectl.delete(identity))
    if (identity.group, identity.kind) == ("apps", "StatefulSet"):
        return _volumes(identity, each.content.get("spec"), kubectl)
    return None


def _volumes(identity: Identity, spec: Document | None, kubectl: _Kubectl) -> Leftover | None:
    """The claims that a StatefulSet makes, which have the labels of its selector; unless it deletes them with itself."""
    if not isinstance(spec, dict) or not spec.get("volumeClaimTemplates"):
        return None
    policy, selector = spec.get("persistentVolumeClaimRetentionPolicy"), spec.get("selector")
    if isinstance(policy, dict) and policy.get("whenDeleted") == "Delete":
        return None
    labels = selector.get("matchLabels") if isinstance(selector, dict) else None
    chosen = ",".join(f"{key}={value}" for key, value in labels.items()) if isinstance(labels, dict) else ""
    scope = ("-n", identity.namespace or kubectl.namespace)
    line = kubectl.line(*scope, "delete", "persistentvolumeclaim", "-l", chosen) if chosen else ""
    return Leftover("Volumes", f"volumes of {identity}", line)
