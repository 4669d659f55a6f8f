"""The kind AuditPolicy: which requests are recorded, and how much of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType, field

from skerry.api.grants import ClusterSelection
from skerry.api.meta import Condition, ObjectMeta, Struct
from skerry.api.structural import list_map, list_set, one_of
from skerry.api.v1alpha1 import API_VERSION, described

DEFAULT = "default"
"""The name of the one policy that counts."""
MOST_RULES = 256


class AuditResources(Struct, frozen=True, kw_only=True):
    """Resources of one API group."""

    group: Annotated[str, described("The API group; empty for the core group.")] = ""
    resources: Annotated[
        list[str],
        list_set("Such as pods, pods/exec, pods/*, */scale or *; empty for all of the group."),
    ] = []
    resource_names: Annotated[list[str], list_set("Only objects of these names.")] = []


class AuditRule(Struct, frozen=True, kw_only=True):
    """Requests, and how they are recorded. What is empty is any; as in an audit policy of Kubernetes, and three fields more."""

    level: Annotated[
        str,
        one_of(
            "How much: nothing, who did what, also what was sent, also what was answered.",
            "None",
            "Metadata",
            "Request",
            "RequestResponse",
        ),
    ]
    users: Annotated[list[str], list_set("Of these users, by their names on the host.")] = []
    user_groups: Annotated[list[str], list_set("Of members of one of these groups.")] = []
    verbs: Annotated[
        list[str], list_set("With these verbs, such as get, list, watch, create, update, patch, delete.")
    ] = []
    resources: Annotated[list[AuditResources], described("For these resources.")] = []
    namespaces: Annotated[list[str], list_set("In these namespaces; an empty name is what lies in none.")] = []
    non_resource_urls: Annotated[
        list[str], described("Instead of resources: for these paths, such as /metrics or /healthz*.")
    ] = field(name="nonResourceURLs", default_factory=list)
    clusters: Annotated[
        ClusterSelection | UnsetType,
        described("To these clusters only. Without it: to any cluster, and to the host's own API."),
    ] = UNSET
    omit_stages: Annotated[
        list[str], list_set("Stages that are left out: RequestReceived, ResponseStarted, ResponseComplete.")
    ] = []
    required: Annotated[
        bool, described("Nothing is executed before it is recorded; while it cannot be, the answer is 503.")
    ] = False
    record: Annotated[
        str,
        one_of("What of a terminal's session is recorded besides: what it showed (tty), or nothing.", "None", "tty"),
    ] = "None"


class AuditPolicySpec(Struct, frozen=True, kw_only=True):
    """Rules; the first that fits a request counts. Behind them stand those that are built in."""

    rules: Annotated[list[AuditRule], described("In their order; 256 at most.")] = []


class AuditPolicyStatus(Struct, frozen=True, kw_only=True):
    """The policy as it is observed."""

    conditions: Annotated[list[Condition], list_map("Its state.", "type")] = []


class AuditPolicy(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Which requests are recorded in the audit log. Its name is default, and there is one."""

    api_version: str = API_VERSION
    kind: str = "AuditPolicy"
    metadata: ObjectMeta
    spec: Annotated[AuditPolicySpec, described("Which requests, and how much of them.")] = AuditPolicySpec()
    status: Annotated[AuditPolicyStatus, described("What is observed of it.")] = AuditPolicyStatus()
