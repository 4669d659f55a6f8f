"""Kubernetes' own kinds that the host serves beside its own: Namespace, Event and the three self reviews.

Only what Skerry writes or reads is typed; names, meanings and descriptions are those of k8s.io/api.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, UnsetType, field

from skerry.api.meta import ObjectMeta, Struct
from skerry.api.v1alpha1 import described


class NamespaceStatus(Struct, frozen=True, kw_only=True):
    """Whether the namespace is in use."""

    phase: Annotated[str, described("Active, or Terminating while its workspace is deleted.")] = "Active"


class Namespace(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A workspace as the namespace of its objects. It comes and goes with the workspace; default is always there."""

    api_version: str = "v1"
    kind: str = "Namespace"
    metadata: ObjectMeta
    status: Annotated[NamespaceStatus, described("Whether the namespace is in use.")] = NamespaceStatus()


class ObjectReference(Struct, frozen=True, kw_only=True):
    """core/v1 ObjectReference."""

    api_version: Annotated[str, described("API version of the referent.")] = ""
    kind: Annotated[str, described("Kind of the referent.")] = ""
    namespace: Annotated[str, described("Namespace of the referent.")] = ""
    name: Annotated[str, described("Name of the referent.")] = ""
    uid: Annotated[str, described("UID of the referent.")] = ""
    resource_version: Annotated[str, described("resourceVersion of the referent when the event was made.")] = ""
    field_path: Annotated[str, described("The part of the referent that is meant.")] = ""


class EventSource(Struct, frozen=True, kw_only=True):
    """core/v1 EventSource."""

    component: Annotated[str, described("The service that tells the event.")] = ""
    host: Annotated[str, described("The node on which it runs.")] = ""


class EventSeries(Struct, frozen=True, kw_only=True):
    """A repeated event."""

    count: Annotated[int, described("How often it happened so far.")] = 0
    last_observed_time: Annotated[str | UnsetType, described("When it happened last, with microseconds.")] = UNSET


class Event(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Something that happened to an object, for people. It is forgotten some time after it happened last."""

    api_version: str = "v1"
    kind: str = "Event"
    metadata: ObjectMeta
    involved_object: Annotated[ObjectReference, described("The object that this event is about.")]
    reason: Annotated[str, described("Why, in one CamelCase word.")] = ""
    message: Annotated[str, described("What happened, for people.")] = ""
    source: Annotated[EventSource, described("Who tells it.")] = EventSource()
    first_timestamp: Annotated[str | None, described("When it happened first.")] = None
    last_timestamp: Annotated[str | None, described("When it happened last.")] = None
    count: Annotated[int, described("How often it happened.")] = 1
    type: Annotated[str, described("Normal or Warning.")] = "Normal"
    event_time: Annotated[str | None, described("When it happened first, with microseconds.")] = None
    series: Annotated[EventSeries | UnsetType, described("Of an event that happened more than once.")] = UNSET
    reporting_component: Annotated[str, described("The service that tells the event.")] = ""
    reporting_instance: Annotated[str, described("The instance of that service.")] = ""


class EventV1(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """events.k8s.io/v1 Event: a second view of the same stored events."""

    api_version: str = "events.k8s.io/v1"
    kind: str = "Event"
    metadata: ObjectMeta
    event_time: Annotated[str | None, described("When it happened first, with microseconds.")] = None
    series: Annotated[EventSeries | UnsetType, described("Of an event that happened more than once.")] = UNSET
    reporting_controller: Annotated[str, described("The service that tells the event.")] = ""
    reporting_instance: Annotated[str, described("The instance of that service.")] = ""
    action: Annotated[str, described("What was done about the object.")] = ""
    reason: Annotated[str, described("Why, in one CamelCase word.")] = ""
    regarding: Annotated[ObjectReference, described("The object that this event is about.")]
    note: Annotated[str, described("What happened, for people.")] = ""
    type: Annotated[str, described("Normal or Warning.")] = "Normal"
    deprecated_source: Annotated[EventSource, described("Who tells it.")] = EventSource()
    deprecated_first_timestamp: Annotated[str | None, described("When it happened first.")] = None
    deprecated_last_timestamp: Annotated[str | None, described("When it happened last.")] = None
    deprecated_count: Annotated[int, described("How often it happened.")] = 1


class ResourceAttributes(Struct, frozen=True, kw_only=True):
    """The request that a SelfSubjectAccessReview asks about."""

    namespace: Annotated[str, described("Empty for all namespaces and for cluster-scoped resources.")] = ""
    verb: Annotated[str, described("A Kubernetes verb, or * for all.")] = ""
    group: Annotated[str, described("The API group, or * for all.")] = ""
    version: Annotated[str, described("The API version, or * for all.")] = ""
    resource: Annotated[str, described("The plural of a kind, or * for all.")] = ""
    subresource: Annotated[str, described("A subresource such as status.")] = ""
    name: Annotated[str, described("The name of one object; empty for all.")] = ""


class NonResourceAttributes(Struct, frozen=True, kw_only=True):
    """The request to a path that is no resource, which a SelfSubjectAccessReview asks about."""

    path: Annotated[str, described("The path of the request.")] = ""
    verb: Annotated[str, described("The HTTP verb, in lower case.")] = ""


class AccessReviewSpec(Struct, frozen=True, kw_only=True):
    """Exactly one of the two."""

    resource_attributes: Annotated[ResourceAttributes | UnsetType, described("A request for a resource.")] = UNSET
    non_resource_attributes: Annotated[NonResourceAttributes | UnsetType, described("A request for a path.")] = UNSET


class AccessReviewStatus(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to a SelfSubjectAccessReview."""

    allowed: Annotated[bool, described("Whether the request would be allowed.")]
    reason: Annotated[str | UnsetType, described("Why, for people.")] = UNSET


class SelfSubjectAccessReview(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Asks whether the caller may do something."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "SelfSubjectAccessReview"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[AccessReviewSpec, described("The question.")]
    status: Annotated[AccessReviewStatus | UnsetType, described("The answer.")] = UNSET


class RulesReviewSpec(Struct, frozen=True, kw_only=True):
    """Of which namespace."""

    namespace: Annotated[str, described("The namespace whose rules are asked for.")] = ""


class ResourceRule(Struct, frozen=True, kw_only=True):
    """Verbs that are allowed on some resources."""

    verbs: Annotated[list[str], described("Verbs; * is all.")]
    api_groups: Annotated[list[str], described("API groups; * is all.")] = []
    resources: Annotated[list[str], described("Resources; * is all.")] = []


class NonResourceRule(Struct, frozen=True, kw_only=True):
    """Verbs that are allowed on some paths."""

    verbs: Annotated[list[str], described("HTTP verbs in lower case; * is all.")]
    non_resource_urls: Annotated[list[str], described("Paths; * at the end stands for the rest.")] = field(
        name="nonResourceURLs", default_factory=list
    )


class RulesReviewStatus(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to a SelfSubjectRulesReview."""

    resource_rules: Annotated[list[ResourceRule], described("What may be done with resources.")] = []
    non_resource_rules: Annotated[list[NonResourceRule], described("What may be done with paths.")] = []
    incomplete: Annotated[bool, described("Whether there may be more.")] = False


class SelfSubjectRulesReview(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Asks what the caller may do in a namespace."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "SelfSubjectRulesReview"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[RulesReviewSpec, described("Of which namespace.")] = RulesReviewSpec()
    status: Annotated[RulesReviewStatus | UnsetType, described("The answer.")] = UNSET


class UserInfo(Struct, frozen=True, kw_only=True):
    """Who the caller is."""

    username: Annotated[str, described("The user, without the prefix skerry: that members see.")] = ""
    groups: Annotated[list[str], described("The groups of the user.")] = []
    extra: Annotated[dict[str, Any], described("More about the user.")] = {}


class SelfSubjectReviewStatus(Struct, frozen=True, kw_only=True):
    """The answer to a SelfSubjectReview."""

    user_info: Annotated[UserInfo, described("Who the caller is.")] = UserInfo()


class SelfSubjectReview(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Asks who the caller is."""

    api_version: str = "authentication.k8s.io/v1"
    kind: str = "SelfSubjectReview"
    metadata: ObjectMeta = ObjectMeta()
    status: Annotated[SelfSubjectReviewStatus | UnsetType, described("The answer.")] = UNSET
