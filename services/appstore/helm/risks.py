"""What a reviewer should know of a chart before others install it: what it makes beyond workloads of its own namespace. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

from services.appstore.helm.manifest import Identity, ManifestObject

RiskType: TypeAlias = Literal[
    "ClusterScoped", "RBAC", "CustomResources", "Webhooks", "Hooks", "HostPath", "Privileged", "OtherNamespaces"
]
MOST_NAMED = 10
"""Objects that a risk names; of the others it says how many they are."""
EXTENSIONS = "apiextensions.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_CLUSTER_SCOPE = "Cluster"
"""Of a CustomResourceDefinition."""
_ADMISSION = "admissionregistration.k8s.io"
_CLUSTER_SCOPED = {
    "": ("Namespace", "Node", "PersistentVolume"),
    "apiregistration.k8s.io": ("APIService",),
    "certificates.k8s.io": ("CertificateSigningRequest", "ClusterTrustBundle"),
    "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
    "networking.k8s.io": ("IngressClass", "IPAddress", "ServiceCIDR"),
    "node.k8s.io": ("RuntimeClass",),
    "resource.k8s.io": ("DeviceClass", "ResourceSlice"),
    "scheduling.k8s.io": ("PriorityClass",),
    "storage.k8s.io": ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"),
    _RBAC: ("ClusterRole", "ClusterRoleBinding"),
}
"""Kinds of Kubernetes 1.28 and later without a namespace, besides those of whole groups (admission, extensions)."""
_STRONG = frozenset(
    ("ALL", "BPF", "DAC_READ_SEARCH", "NET_ADMIN", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO")
)
"""Capabilities that are worth a whole node, or nearly so (capabilities(7))."""


class Risk(NamedTuple):
    """One kind of risk, and which objects are the reason."""

    type: RiskType
    objects: tuple[str, ...]
    """Kind/name, at most 10."""
    total: int


def risks(objects: Iterable[ManifestObject], namespace: str) -> tuple[Risk, ...]:
    """The risks of a chart that renders these objects, CRDs included, for a namespace."""
    every = [each for each in objects if not each.is_test]
    cluster_kinds = {kind for each in every if (kind := _defined(each)) is not None}
    tests: dict[RiskType, Callable[[ManifestObject], bool]] = {
        "ClusterScoped": lambda each: is_cluster_scoped(each.identity, cluster_kinds),
        "RBAC": lambda each: each.identity.group == _RBAC,
        "CustomResources": lambda each: each.identity.group == EXTENSIONS,
        "Webhooks": lambda each: each.identity.group == _ADMISSION,
        "Hooks": lambda each: each.is_hook,
        "HostPath": lambda each: (
            each.identity.group != EXTENSIONS and any(map(_has_host_path, _mappings(each.content)))
        ),
        "Privileged": lambda each: (
            each.identity.group != EXTENSIONS and any(map(_is_privileged, _mappings(each.content)))
        ),
        "OtherNamespaces": lambda each: each.identity.namespace not in ("", namespace),
    }
    named = {type_: [str(each.identity) for each in every if test(each)] for type_, test in tests.items()}
    return tuple(Risk(type_, tuple(names[:MOST_NAMED]), len(names)) for type_, names in named.items() if names)


def is_cluster_scoped(identity: Identity, cluster_kinds: Iterable[tuple[str, str]] = ()) -> bool:
    """True for a kind that is known to have no namespace; `cluster_kinds`: group and kind of more of them."""
    group, kind = identity.group, identity.kind
    return group in (_ADMISSION, EXTENSIONS) or kind in _CLUSTER_SCOPED.get(group, ()) or (group, kind) in cluster_kinds


def _defined(definition: ManifestObject) -> tuple[str, str] | None:
    """Group and kind that a CRD defines, if objects of it have no namespace."""
    spec = definition.content.get("spec")
    if definition.identity.group != EXTENSIONS or not isinstance(spec, dict) or spec.get("scope") != _CLUSTER_SCOPE:
        return None
    names = spec.get("names")
    return str(spec.get("group")), str(names.get("kind") if isinstance(names, dict) else "")


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping within a value: a pod's template may be anywhere, in custom resources too."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(each, dict | list):
            yield from _mappings(each)


def _has_host_path(mapping: dict[str, Any]) -> bool:
    path = mapping.get("hostPath")
    return isinstance(path, dict) and "path" in path


def _is_privileged(mapping: dict[str, Any]) -> bool:
    if any(mapping.get(key) is True for key in ("privileged", "hostNetwork", "hostPID", "hostIPC", "hostProcess")):
        return True
    capabilities = mapping.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, dict) else None
    return isinstance(added, list) and any(str(each).upper().removeprefix("CAP_") in _STRONG for each in added)
