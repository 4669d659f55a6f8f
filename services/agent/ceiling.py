"""The ceiling: what the member's own administrator allows at most, and the host cannot lift. Pure.

A request is classified exactly as the API server classifies it (skerry/httpwire/requestinfo.py, a port of its
RequestInfo resolver): exec, attach, port-forward and proxy are GETs over WebSocket, so the HTTP method says nothing.
`nodes/*/proxy` (the kubelet's API: code in any pod) is refused whatever the ceiling.

A namespaces ceiling refuses what names no namespace. From the path alone a list of pods over all namespaces and a list
of nodes look alike, so both are refused: a ceiling that guesses would leak.
"""

from __future__ import annotations

from typing import Protocol

from skerry.api.v1alpha1 import Ceiling
from skerry.desired.owners import ObjectReference
from skerry.httpwire.requestinfo import EXEC_LIKE

READS = frozenset({"get", "list", "watch"})
QUIET = frozenset({"", "log"})
"""Subresources that an upgraded connection may read: watch and log over WebSocket. Any other reaches into something."""
DISCOVERY = ("/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz")
"""Paths that say nothing about any namespace's content."""
SELF_REVIEWS = frozenset(
    {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    }
)
"""POSTs that write nothing: a caller asks about itself."""


class RequestAttributes(Protocol):
    """The attributes of a request that are decided on: the fields of httpwire's RequestInfo, or of a SelfSubjectAccessReview."""

    @property
    def verb(self) -> str:
        """get, list, watch, create, …; the lower-case HTTP method for a path that is no resource."""

    @property
    def group(self) -> str:
        """Empty for core."""

    @property
    def namespace(self) -> str:
        """Empty for none."""

    @property
    def resource(self) -> str:
        """Plural, lower case."""

    @property
    def subresource(self) -> str:
        """Empty for none."""

    @property
    def is_resource(self) -> bool:
        """False for discovery and the like."""

    @property
    def path(self) -> str:
        """The decoded path."""


def is_self_review(info: RequestAttributes) -> bool:
    """True if the request is a SelfSubject*Review: its answer is intersected with the ceiling (reviews.py)."""
    return info.is_resource and info.verb == "create" and (info.group, info.resource) in SELF_REVIEWS


def refusal(ceiling: Ceiling, info: RequestAttributes, *, upgrade: bool = False) -> str:
    """Why the request may not leave the agent, naming the ceiling; empty if it may. `upgrade`: it asks for raw bytes."""
    if _is_node_proxy(info):
        return (
            "nodes/proxy is never reached through Skerry: it would run code in every pod of the node; use logs, exec or "
            "port-forward on the pod, or kubectl top"
        )
    if not (ceiling.read_only or ceiling.no_exec or ceiling.namespaces) or is_self_review(info):
        return ""
    reaches_in = _reaches_in(info, upgrade)
    return _read_only(ceiling, info, reaches_in) or _no_exec(ceiling, info, reaches_in) or _namespaces(ceiling, info)


def entry_refusal(ceiling: Ceiling, owner: str, which: ObjectReference) -> str:
    """Why the host may not keep an object in place here, naming the ceiling; empty if it may.

    Cluster-wide RBAC passes a ceiling of namespaces: it gives rights to groups whose requests the same ceiling binds.
    """
    access = owner == "tenancy" and which.api_version.startswith("rbac.authorization.k8s.io/")
    if ceiling.desired == "None" or (ceiling.desired == "Access" and not access):
        allowed = "nothing" if ceiling.desired == "None" else "RBAC of tenants only"
        return f"{which.kind} is refused by this member's ceiling: the host may keep {allowed} here (--ceiling-desired)"
    namespace = which.name if which.kind == "Namespace" else which.namespace
    if ceiling.namespaces and namespace not in ceiling.namespaces and (namespace or not access):
        return f"{which} is refused by this member's ceiling: only --namespaces {', '.join(ceiling.namespaces)}"
    return ""


def _is_node_proxy(info: RequestAttributes) -> bool:
    return info.is_resource and info.resource == "nodes" and (info.subresource == "proxy" or info.verb == "proxy")


def _reaches_in(info: RequestAttributes, upgrade: bool) -> bool:
    """exec, attach, port-forward and proxy of any kind, and every upgrade that is not a watch or a log.

    Aggregated APIs have such subresources under names of their own (KubeVirt: console, vnc), always as upgrades.
    """
    if not info.is_resource:
        return upgrade
    return info.verb == "proxy" or info.subresource in EXEC_LIKE or (upgrade and info.subresource not in QUIET)


def _read_only(ceiling: Ceiling, info: RequestAttributes, reaches_in: bool) -> str:
    if not ceiling.read_only:
        return ""
    reads = info.verb in READS if info.is_resource else info.verb in {"get", "head", "options"}
    if reads and not reaches_in:
        return ""
    return f"{_what(info)} is refused by this member's ceiling: its administrator allows reading only (--read-only)"


def _no_exec(ceiling: Ceiling, info: RequestAttributes, reaches_in: bool) -> str:
    if not ceiling.no_exec or not reaches_in:
        return ""
    return f"{_what(info)} is refused by this member's ceiling: no exec, attach, port-forward or proxy (--no-exec)"


def _namespaces(ceiling: Ceiling, info: RequestAttributes) -> str:
    if not ceiling.namespaces:
        return ""
    allowed = ", ".join(ceiling.namespaces)
    if info.is_resource:
        if info.namespace in ceiling.namespaces:
            return ""
        where = f"in namespace {info.namespace!r}" if info.namespace else "without a namespace"
        return f"{_what(info)} {where} is refused by this member's ceiling: only --namespaces {allowed}"
    if any(info.path == p or info.path.startswith(p + "/") for p in DISCOVERY):
        return ""
    return f"{info.path} is refused by this member's ceiling: only --namespaces {allowed}, and discovery"


def _what(info: RequestAttributes) -> str:
    if not info.is_resource:
        return f"{info.verb} {info.path}"
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return f"{info.verb} {resource}"
