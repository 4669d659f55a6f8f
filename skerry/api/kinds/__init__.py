"""One declaration per kind: all that is known of it, so that whatever serves kinds can serve it.

A new kind is a Struct in `v1alpha1`, a declaration in the module of the service that owns it, and that service's rules.
Discovery, OpenAPI, who may do what, forwarding to the owner, rights on the bus, Events, `skerry <command>` and
docs/kinds.md follow from the declaration; no other module asks which kind it has before it.
"""

from __future__ import annotations

from skerry.api.kinds.access import BUILT_IN, CLUSTER_ADMIN, EVERYBODY, HOST_GROUPS, HOST_VIEW, READ, Access, Tie
from skerry.api.kinds.action import METHODS, Action
from skerry.api.kinds.apprelease import APP_INSTANCE, APP_RELEASE
from skerry.api.kinds.appstore import APP, APP_CATEGORY, APP_REPOSITORY, APP_REVIEW, APP_STORE, APP_VERSION
from skerry.api.kinds.audit import AUDIT_POLICY
from skerry.api.kinds.catalog import KINDS, SERVED, catalog, owned_by
from skerry.api.kinds.columns import Column
from skerry.api.kinds.events import EVENT_SINK
from skerry.api.kinds.identities import IDENTITY_PROVIDER, REVOCATION
from skerry.api.kinds.kind import (
    EVENTS,
    EVERY_VERB,
    RESOURCES,
    Describe,
    Kind,
    Listing,
    Occurrence,
    ViewOf,
)
from skerry.api.kinds.kubernetes import (
    ACCESS_EXPLANATION,
    ACCESS_REVIEW,
    ALWAYS,
    EVENT,
    EVENT_V1,
    NAMESPACE,
    RULES_REVIEW,
    SELF_ACCESS_REVIEW,
    SUBJECT_REVIEW,
)
from skerry.api.kinds.paths import at
from skerry.api.kinds.registry import CLUSTER, INSPECTION_CREDENTIAL, JOIN_TOKEN
from skerry.api.kinds.requests import ACCESS_REQUEST
from skerry.api.kinds.tenancy import ACCESS_GRANT, CREDENTIAL, SETTING, WORKSPACE
from skerry.api.meta import Document

__all__ = [
    "ACCESS_EXPLANATION",
    "ACCESS_GRANT",
    "ACCESS_REQUEST",
    "ACCESS_REVIEW",
    "ALWAYS",
    "APP",
    "APP_CATEGORY",
    "APP_INSTANCE",
    "APP_RELEASE",
    "APP_REPOSITORY",
    "APP_REVIEW",
    "APP_STORE",
    "APP_VERSION",
    "AUDIT_POLICY",
    "BUILT_IN",
    "CLUSTER",
    "CLUSTER_ADMIN",
    "CREDENTIAL",
    "EVENT",
    "EVENTS",
    "EVENT_SINK",
    "EVENT_V1",
    "EVERYBODY",
    "EVERY_VERB",
    "HOST_GROUPS",
    "HOST_VIEW",
    "IDENTITY_PROVIDER",
    "INSPECTION_CREDENTIAL",
    "JOIN_TOKEN",
    "KINDS",
    "METHODS",
    "NAMESPACE",
    "READ",
    "RESOURCES",
    "REVOCATION",
    "RULES_REVIEW",
    "SELF_ACCESS_REVIEW",
    "SERVED",
    "SETTING",
    "SUBJECT_REVIEW",
    "WORKSPACE",
    "Access",
    "Action",
    "Column",
    "Describe",
    "Document",
    "Kind",
    "Listing",
    "Occurrence",
    "Tie",
    "ViewOf",
    "at",
    "catalog",
    "owned_by",
]
