"""Declarations of Kubernetes' own kinds that the host serves: so that clients find what they expect on any cluster.

None of them is stored in the bucket of resources: Namespaces are derived from Workspaces, Events have a bucket of their
own and two views, and the self reviews are answered by the proxy that was asked.
"""

from __future__ import annotations

from typing import Any

from skerry.api import corev1
from skerry.api.kinds import Column, Document, Kind

READ = ("get", "list", "watch")
PROXY = "proxy"
"""Owner of what a proxy answers by itself."""


def _text(*path: str) -> Any:
    def cell(document: Document) -> Any:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return cell


def _about(field: str) -> Any:
    def cell(document: Document) -> str:
        about = document.get(field) or {}
        return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"

    return cell


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
    columns=(
        Column(name="Name", cell=_text("metadata", "name"), format="name", description="Name of the namespace."),
        Column(name="Status", cell=_text("status", "phase"), description="The status of the namespace."),
        Column(
            name="Age", cell=_text("metadata", "creationTimestamp"), type="date", description="Time since creation."
        ),
    ),
    selectable=("status.phase",),
    categories=(),
)

_EVENT_COLUMNS = (
    Column(name="Last Seen", cell=_text("lastTimestamp"), type="date", description="When it happened last."),
    Column(name="Type", cell=_text("type"), description="Normal or Warning."),
    Column(name="Reason", cell=_text("reason"), description="Why, in one word."),
    Column(name="Object", cell=_about("involvedObject"), description="The object that this event is about."),
    Column(name="Source", cell=_text("source", "component"), description="Who tells it.", priority=1),
    Column(name="Message", cell=_text("message"), description="What happened."),
    Column(name="First Seen", cell=_text("firstTimestamp"), type="date", description="When it happened first.", priority=1),
    Column(name="Count", cell=_text("count"), type="integer", description="How often it happened.", priority=1),
    Column(name="Name", cell=_text("metadata", "name"), format="name", description="Name of the event.", priority=1),
)  # fmt: skip
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
    type=corev1.Event,
    verbs=READ,
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
    verbs=READ,
    columns=(
        Column(name="Last Seen", cell=_text("deprecatedLastTimestamp"), type="date", description="When it was last."),
        *_EVENT_COLUMNS[1:3],
        Column(name="Object", cell=_about("regarding"), description="The object that this event is about."),
        Column(name="Message", cell=_text("note"), description="What happened."),
    ),
    selectable=(*(f"regarding.{name}" for name in _REFERENCE), "reason", "type", "reportingController"),
    categories=(),
)


def _review(group: str, kind: str, shape: Any) -> Kind:
    return Kind(
        group=group,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        singular=kind.lower(),
        owner=PROXY,
        type=shape,
        verbs=("create",),
        categories=(),
    )


ACCESS_REVIEW = _review("authorization.k8s.io", "SelfSubjectAccessReview", corev1.SelfSubjectAccessReview)
RULES_REVIEW = _review("authorization.k8s.io", "SelfSubjectRulesReview", corev1.SelfSubjectRulesReview)
SUBJECT_REVIEW = _review("authentication.k8s.io", "SelfSubjectReview", corev1.SelfSubjectReview)

REVIEWS = (ACCESS_REVIEW, RULES_REVIEW, SUBJECT_REVIEW)
EVENTS = (EVENT, EVENT_V1)
