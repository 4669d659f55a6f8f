"""Kubernetes' own kinds that the host serves, so that clients find what they expect on any cluster.

None of them lies in the bucket of resources: Namespaces are Workspaces seen differently, Events have a bucket of their own
and are shown in two groups, and the self reviews are answered by the proxy that was asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import NAMESPACE_OID, uuid5

from skerry.api import corev1, explanations, selfaccess, v1alpha1
from skerry.api.kinds.access import (
    CREATED_BY_EVERYBODY,
    OF_POOL,
    OF_WORKSPACE,
    READ,
    READ_BY_EVERYBODY,
    READ_BY_ROLES,
    read_by,
)
from skerry.api.kinds.columns import AGE, Column, about
from skerry.api.kinds.kind import EVENTS, Find, Kind, ViewOf
from skerry.api.kinds.registry import CLUSTER
from skerry.api.kinds.tenancy import WORKSPACE
from skerry.api.messages import HOST
from skerry.api.meta import Document, Struct
from skerry.api.names import DEFAULT, POOL

PROXY = "proxy"
"""Owner of what a proxy answers by itself."""
ALWAYS = (DEFAULT, POOL)
"""The namespaces that are always there, and are no Workspaces."""


def namespace_of(workspace: Document) -> Document:
    """The Namespace of a Workspace: its name, uid and age."""
    metadata = workspace["metadata"]
    return _namespace(metadata["name"], metadata, "Terminating" if "deletionTimestamp" in metadata else "Active")


def always_there(find: Find) -> Iterable[Document]:
    """The Namespaces `default`, whose UID is that of the Cluster `host`, and `skerry-apps`, as old as the host itself."""
    host = (find(CLUSTER, HOST) or {}).get("metadata", {})
    uid = host.get("uid", "")
    uids = {DEFAULT: uid, POOL: str(uuid5(NAMESPACE_OID, f"{uid}/{POOL}")) if uid else ""}
    return tuple(_namespace(name, {**host, "uid": uids[name]}, "Active") for name in ALWAYS)


def _namespace(name: str, like: Document, phase: str) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "uid": like.get("uid", ""),
            "creationTimestamp": like.get("creationTimestamp"),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": phase},
    }


def event_v1(event: Document) -> Document:
    """A core/v1 Event as events.k8s.io/v1 has it (k8s.io/kubernetes/pkg/apis/events/v1/conversion.go)."""
    document = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": event["metadata"],
        "eventTime": event.get("eventTime"),
        "reportingController": event.get("reportingComponent", ""),
        "reportingInstance": event.get("reportingInstance", ""),
        "action": event.get("action", ""),
        "reason": event.get("reason", ""),
        "regarding": event.get("involvedObject", {}),
        "note": event.get("message", ""),
        "type": event.get("type", ""),
        "deprecatedSource": event.get("source", {}),
        "deprecatedFirstTimestamp": event.get("firstTimestamp"),
        "deprecatedLastTimestamp": event.get("lastTimestamp"),
        "deprecatedCount": event.get("count", 1),
    }
    return {**document, "series": event["series"]} if "series" in event else document


NAMESPACE = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    singular="namespace",
    short_names=("ns",),
    owner="tenancy",
    type=corev1.Namespace,
    verbs=READ,
    access=(READ_BY_ROLES, read_by(OF_WORKSPACE, OF_POOL)),
    bucket="",
    view_of=ViewOf(kind=WORKSPACE, convert=namespace_of, always=always_there),
    columns=(
        Column(name="Name", path="metadata.name", format="name", description="Name of the namespace."),
        Column(name="Status", path="status.phase", description="The status of the namespace."),
        AGE,
    ),
    selectable=("status.phase",),
    categories=(),
)

_EVENT_COLUMNS = (
    Column(name="Last Seen", path="lastTimestamp", type="date", description="When it happened last."),
    Column(name="Type", path="type", description="Normal or Warning."),
    Column(name="Reason", path="reason", description="Why, in one word."),
    Column(name="Object", path="involvedObject", cell=about, description="The object that this event is about."),
    Column(name="Source", path="source.component", description="Who tells it.", priority=1),
    Column(name="Message", path="message", description="What happened."),
    Column(name="First Seen", path="firstTimestamp", type="date", description="When it happened first.", priority=1),
    Column(name="Count", path="count", type="integer", description="How often it happened.", priority=1),
    Column(name="Name", path="metadata.name", format="name", description="Name of the event.", priority=1),
)
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

EVENT = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    short_names=("ev",),
    namespaced=True,
    owner="registry",
    packed=True,
    type=corev1.Event,
    about="involvedObject",
    verbs=READ,
    access=(READ_BY_EVERYBODY,),
    bucket=EVENTS,
    columns=_EVENT_COLUMNS,
    selectable=(*(f"involvedObject.{name}" for name in _REFERENCE), "reason", "type", "reportingComponent"),
    categories=(),
)
EVENT_V1 = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    namespaced=True,
    owner="registry",
    type=corev1.EventV1,
    about="regarding",
    verbs=READ,
    access=(READ_BY_EVERYBODY,),
    bucket="",
    view_of=ViewOf(kind=EVENT, convert=event_v1),
    columns=(
        Column(name="Last Seen", path="deprecatedLastTimestamp", type="date", description="When it was last."),
        *_EVENT_COLUMNS[1:3],
        Column(name="Object", path="regarding", cell=about, description="The object that this event is about."),
        Column(name="Message", path="note", description="What happened."),
    ),
    selectable=(*(f"regarding.{name}" for name in _REFERENCE), "reason", "type", "reportingController"),
    categories=(),
)


def _review(group: str, kind: str, shape: type[Struct], version: str = "v1") -> Kind:
    return Kind(
        group=group,
        version=version,
        kind=kind,
        plural=f"{kind.lower()}s",
        singular=kind.lower(),
        owner=PROXY,
        type=shape,
        verbs=("create",),
        access=(CREATED_BY_EVERYBODY,),
        bucket="",
        categories=(),
    )


ACCESS_REVIEW = _review("authorization.k8s.io", "SelfSubjectAccessReview", corev1.SelfSubjectAccessReview)
RULES_REVIEW = _review("authorization.k8s.io", "SelfSubjectRulesReview", corev1.SelfSubjectRulesReview)
SUBJECT_REVIEW = _review("authentication.k8s.io", "SelfSubjectReview", corev1.SelfSubjectReview)
SELF_ACCESS_REVIEW = _review(v1alpha1.GROUP, "SelfAccessReview", selfaccess.SelfAccessReview, v1alpha1.VERSION)
ACCESS_EXPLANATION = _review(v1alpha1.GROUP, "AccessExplanation", explanations.AccessExplanation, v1alpha1.VERSION)
"""Not Kubernetes' own, but answered as those are."""

KINDS = (
    NAMESPACE,
    EVENT,
    EVENT_V1,
    ACCESS_REVIEW,
    RULES_REVIEW,
    SUBJECT_REVIEW,
    SELF_ACCESS_REVIEW,
    ACCESS_EXPLANATION,
)
