"""Who may want what on a member: a table, read by the registry when an entry comes and by the applier before it applies.

So a stolen credential of a service reaches no further than its row, and a stolen registry not further than the sum of
them. An owner without a row is refused by both. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from skerry.api.desired import Options
from skerry.api.names import FENCE, HOST_LABEL, OWNER_LABEL, PREFIX, WITHDRAW
from skerry.subjects import DesiredKey

RBAC = "rbac.authorization.k8s.io"
BINDINGS = ("tenancy", RBAC, "clusterrolebinding")
"""Owner, group and kind of the bindings that joining makes, as a key of desired state has them."""
SETTINGS = ("skerry.dev", "AgentSettings")
"""(group, kind) of what the applier itself takes in, instead of an API server."""
HIGHEST = 2**53
"""Of a fence."""
_ROLES = ("view", "edit", "admin", "cluster-admin", "skerry:namespaces")
_NAMESPACES_RULE = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}
_SYSTEM = ("default", "skerry-system")


class ObjectReference(NamedTuple):
    """Which object."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """As a key names it: group, kind in lower case, namespace, name."""
        return self.api_version.rpartition("/")[0], self.kind.lower(), self.namespace, self.name

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """One row."""

    name: str
    kinds: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], str]]
    """(group, kind) -> why an object may not be wanted; empty if it may."""
    fenced: bool = False
    """Whether each of its entries has a number, and never comes back once a newer one was written."""

    @property
    def manager(self) -> str:
        """The field manager under which its objects are applied."""
        return f"skerry-{self.name}"


def is_settings(key: DesiredKey) -> bool:
    """True of what the applier takes in itself."""
    return (key.group, key.kind) == (SETTINGS[0], SETTINGS[1].lower())


def group_of(document: Mapping[str, Any]) -> str:
    """The API group of an object; empty for the core group."""
    return str(document.get("apiVersion") or "").rpartition("/")[0]


def name_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of an object; empty if they are missing."""
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def reference(document: Mapping[str, Any]) -> ObjectReference:
    """Of an object that has passed its owner's row."""
    metadata = document["metadata"]
    return ObjectReference(
        str(document["apiVersion"]), str(document["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])
    )


def refusal(owner: str, document: Mapping[str, Any]) -> str:
    """Why this owner may not want this object, for people; empty if it may."""
    row = OWNERS.get(owner)
    if row is None:
        return f"{owner[:63]} is no owner of desired state: {', '.join(OWNERS)} are"
    kind, api_version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api_version, str) or not kind or not api_version:
        return "an object has apiVersion and kind"
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"{kind[:63]} needs metadata.name: names are not generated on members"
    judge = row.kinds.get((group_of(document), kind))
    if judge is None:
        allowed = ", ".join(sorted({kind for _, kind in row.kinds}))
        return f"{owner} may not want {kind[:63]} ({api_version[:127]}) on members: it may want {allowed}"
    return _plain(metadata) or judge(document)


def fencing(owner: str, options: Options) -> str:
    """Why an entry of this owner may not have these options, for people; empty if it may."""
    fenced = OWNERS[owner].fenced
    if fenced and (options.fence is None or not 0 < options.fence <= HIGHEST):
        return f"entries of {owner} have a number in options.fence, from 1 to {HIGHEST}"
    if fenced and not options.namespace_uid:
        return f"entries of {owner} name the UID of their namespace"
    if fenced and options.keep and options.absent:
        return "an entry keeps what is there or has it go, not both"
    if not fenced and (options.fence is not None or options.namespace_uid or options.keep or options.absent):
        return f"entries of {owner} have no number: options.fence, namespaceUid, keep and absent are not theirs"
    return ""


def _plain(metadata: Mapping[str, Any]) -> str:
    """What no owner may say of an object: things that would act by themselves, or stand for another's labels."""
    for field in ("ownerReferences", "finalizers", "managedFields", "generateName", "uid", "resourceVersion"):
        if metadata.get(field):
            return f"metadata.{field} may not be wanted: members decide it"
    labels = metadata.get("labels") or {}
    if not isinstance(labels, Mapping):
        return "metadata.labels is not a map"
    if OWNER_LABEL in labels or HOST_LABEL in labels:
        return f"{OWNER_LABEL} and {HOST_LABEL} are set by the applier"
    annotations = metadata.get("annotations") or {}
    if not isinstance(annotations, Mapping):
        return "metadata.annotations is not a map"
    if WITHDRAW in annotations or FENCE in annotations:
        return f"{WITHDRAW} and {FENCE} are set by the applier, from the entry's options"
    if str(labels.get("app.kubernetes.io/managed-by", "")):
        return "app.kubernetes.io/managed-by is Helm's or a user's, and never ours"
    return ""


def _any(document: Mapping[str, Any]) -> str:
    return ""


def _namespace(document: Mapping[str, Any]) -> str:
    _, name = name_of(document)
    if name in _SYSTEM or name.startswith("kube-"):
        return f"namespace {name} is the cluster's own"
    return ""


def _binding(document: Mapping[str, Any]) -> str:
    namespace, name = name_of(document)
    if document["kind"] == "RoleBinding" and not namespace:
        return "a RoleBinding needs metadata.namespace"
    if not name.startswith(PREFIX):
        return f"bindings of ours are named {PREFIX}…"
    subjects = document.get("subjects")
    if not isinstance(subjects, list) or not all(isinstance(each, Mapping) for each in subjects):
        return "subjects is not a list"
    for subject in subjects:
        if subject.get("kind") != "Group" or not str(subject.get("name") or "").startswith(PREFIX):
            return f"subjects of our bindings are Groups named {PREFIX}…"
    role = document.get("roleRef")
    if not isinstance(role, Mapping) or role.get("kind") != "ClusterRole" or role.get("name") not in _ROLES:
        return f"our bindings lead to ClusterRoles {', '.join(_ROLES)} alone"
    return ""


def _role(document: Mapping[str, Any]) -> str:
    if name_of(document)[1] != "skerry:namespaces":
        return "skerry:namespaces is the one ClusterRole of ours"
    rules = document.get("rules")
    if not isinstance(rules, list) or len(rules) != 1 or document.get("aggregationRule"):
        return "skerry:namespaces lets namespaces be read, and nothing else"
    rule = rules[0]
    if not isinstance(rule, Mapping) or {key: value for key, value in rule.items() if value} != _NAMESPACES_RULE:
        return "skerry:namespaces lets namespaces be read, and nothing else"
    return ""


OWNERS: Mapping[str, Owner] = {
    owner.name: owner
    for owner in (
        Owner(name="registry", kinds={SETTINGS: _any}),
        Owner(
            name="tenancy",
            kinds={
                ("", "Namespace"): _namespace,
                (RBAC, "RoleBinding"): _binding,
                (RBAC, "ClusterRoleBinding"): _binding,
                (RBAC, "ClusterRole"): _role,
            },
        ),
    )
}
KINDS = tuple(dict.fromkeys(kind for owner in OWNERS.values() for kind in owner.kinds if kind != SETTINGS))
"""(group, kind) of all objects that owners may have on members."""
