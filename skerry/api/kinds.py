"""One declaration per kind: all that the generic host API needs to serve it.

A new kind is a Struct in `v1alpha1`, an entry here, and rules in the service that owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skerry.api import v1alpha1
from skerry.api.connection import SUBRESOURCE
from skerry.api.meta import Struct

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of `kubectl get`, as in meta/v1 TableColumnDefinition. `cell` takes the raw document.

    Cells that only a proxy knows (LAST HEARTBEAT, RTT) name a `live` value instead: they never move a
    resourceVersion or cause a watch event.
    """

    name: str
    cell: Callable[[Document], Any] = lambda document: None
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    live: str = ""


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that is written below an object without being a part of it; its owner answers by itself."""

    subresource: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of the host API."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = False
    owner: str
    """The service that takes writes."""
    type: type[Struct]
    verbs: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    selectable: tuple[str, ...] = ()
    """Fields that fieldSelector takes besides metadata.name and metadata.namespace: paths such as `spec.role`."""
    categories: tuple[str, ...] = field(default=("skerry",))
    actions: tuple[Action, ...] = ()
    labelled: bool = False
    """Whether names are DNS labels of at most 63 characters, because they stand where dots may not: in a subject, or as
    the name of a namespace. Other names are DNS subdomains.
    """

    def action(self, subresource: str, verb: str) -> Action | None:
        """The action that a request with this verb to this subresource is, if it is one."""
        return next((each for each in self.actions if each.subresource == subresource and verb in each.verbs), None)

    @property
    def api_version(self) -> str:
        """`group/version`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


def _path(*names: str) -> Callable[[Document], Any]:
    def cell(document: Document) -> Any:
        value: Any = document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return cell


def _condition(kind: str) -> Callable[[Document], str]:
    def cell(document: Document) -> str:
        for condition in document.get("status", {}).get("conditions", []):
            if condition.get("type") == kind:
                return str(condition.get("status", "Unknown"))
        return "Unknown"

    return cell


def _reason(kind: str) -> Callable[[Document], str]:
    def cell(document: Document) -> str:
        for condition in document.get("status", {}).get("conditions", []):
            if condition.get("type") == kind and condition.get("status") != "True":
                return str(condition.get("message") or condition.get("reason", ""))
        return ""

    return cell


EVERY_VERB = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def _count(*names: str) -> Callable[[Document], Any]:
    found = _path(*names)
    return lambda document: len(found(document) or ())


def _clusters(document: Document) -> str:
    """Names, or the selector as kubectl writes selectors; `*` is every cluster."""
    selection = document.get("spec", {}).get("clusters") or {}
    if "selector" not in selection:
        return ",".join(selection.get("names") or ())
    selector = selection["selector"] or {}
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = ",".join(each.get("values") or ())
        terms.append(f"{each.get('key')} {each.get('operator')} {values}".strip())
    return ",".join(terms) or "*"


def _subjects(document: Document) -> str:
    return ",".join(f"{each.get('kind')}:{each.get('name')}" for each in document.get("spec", {}).get("subjects") or ())


def _role(document: Document) -> str:
    spec = document.get("spec", {})
    return str(spec.get("role") or ",".join(spec.get("groups") or ()))


_NAME = Column(name="Name", cell=_path("metadata", "name"), format="name", description="Name of the object.")
_AGE = Column(name="Age", cell=_path("metadata", "creationTimestamp"), type="date", description="Time since creation.")

CLUSTER = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Cluster",
    labelled=True,
    plural="clusters",
    singular="cluster",
    short_names=("cl",),
    owner="registry",
    type=v1alpha1.Cluster,
    verbs=("delete", "get", "list", "patch", "update", "watch"),
    actions=(Action(subresource=SUBRESOURCE, verbs=("create", "update")),),
    columns=(
        _NAME,
        Column(name="Role", cell=_path("spec", "role"), description="host or member."),
        Column(name="Connection", cell=_path("spec", "connection", "mode"), description="agent, direct or none."),
        Column(name="Ready", cell=_condition("Ready"), description="Whether requests reach it now."),
        Column(name="Version", cell=_path("status", "kubernetesVersion"), description="Kubernetes version."),
        Column(name="Nodes", cell=_path("status", "nodes"), type="integer", description="Number of nodes."),
        Column(name="RTT", live="rtt", description="Round trip of the last heartbeat."),
        Column(name="Last Heartbeat", live="heartbeat", description="Time since the last heartbeat."),
        _AGE,
        Column(name="UID", cell=_path("status", "uid"), priority=1, description="UID of kube-system."),
        Column(name="Message", cell=_reason("Ready"), priority=1, description="Why it is not ready."),
    ),
)
JOIN_TOKEN = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="JoinToken",
    labelled=True,
    plural="jointokens",
    singular="jointoken",
    short_names=("jt",),
    owner="registry",
    type=v1alpha1.JoinToken,
    verbs=("create", "delete", "get", "list", "watch"),
    columns=(
        _NAME,
        Column(name="Cluster", cell=_path("spec", "clusterName"), description="The name that it joins."),
        Column(name="Used", cell=_path("status", "used"), type="boolean", description="A token works once."),
        Column(name="Expires", cell=_path("status", "expires"), description="After this it is refused."),
        _AGE,
    ),
)
CREDENTIAL = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Credential",
    plural="credentials",
    singular="credential",
    owner="tenancy",
    type=v1alpha1.Credential,
    verbs=("create", "delete", "get", "list", "watch"),
    columns=(
        _NAME,
        Column(name="User", cell=_path("spec", "user"), description="Whom it speaks for."),
        Column(
            name="Groups", cell=lambda d: ",".join(d.get("spec", {}).get("groups", [])), description="Their groups."
        ),
        Column(name="Expires", cell=_path("status", "expires"), description="After this it is refused."),
        _AGE,
    ),
)

WORKSPACE = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Workspace",
    labelled=True,
    plural="workspaces",
    singular="workspace",
    short_names=("ws",),
    owner="tenancy",
    type=v1alpha1.Workspace,
    verbs=EVERY_VERB,
    columns=(
        _NAME,
        Column(name="Display Name", cell=_path("spec", "displayName"), description="Its name for people."),
        Column(name="Members", cell=_count("spec", "members"), type="integer", description="How many belong to it."),
        Column(name="Clusters", cell=_clusters, description="Clusters that it may use."),
        _AGE,
    ),
)
ACCESS_GRANT = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AccessGrant",
    plural="accessgrants",
    singular="accessgrant",
    short_names=("grant",),
    owner="tenancy",
    type=v1alpha1.AccessGrant,
    verbs=EVERY_VERB,
    columns=(
        _NAME,
        Column(name="Subjects", cell=_subjects, description="Whom it is for."),
        Column(name="Role", cell=_role, description="What they may do."),
        Column(name="Clusters", cell=_clusters, description="Where it holds."),
        Column(name="Enforced", cell=_condition("Enforced"), description="Whether it has an effect."),
        Column(name="Expires", cell=_path("spec", "expires"), description="After this it holds no more."),
        _AGE,
        Column(name="Message", cell=_reason("Enforced"), priority=1, description="Why it has no effect."),
    ),
)

KINDS: tuple[Kind, ...] = (CLUSTER, JOIN_TOKEN, CREDENTIAL, WORKSPACE, ACCESS_GRANT)
