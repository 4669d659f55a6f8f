"""skerry.dev/v1alpha1 SelfAccessReview: who the caller is, by what, until when, and what they have where. Pure.

Kubernetes' SelfSubjectReview tells user and groups alone, and its rules are those of one cluster and namespace.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from skerry.api.meta import ObjectMeta, Struct
from skerry.api.structural import one_of
from skerry.api.v1alpha1 import API_VERSION, described

EVERYWHERE = "*"
"""Stands for all clusters, those that join later too."""
MOST_ROWS = 1000
"""Of access that are told at most."""


class AccessSource(Struct, frozen=True, kw_only=True):
    """The object that gives something; of what a group of the credential gives, that group."""

    kind: Annotated[str, described("AccessGrant, Workspace or Group.")]
    name: Annotated[str, described("Its name.")]


class OwnAccess(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Something that the caller has on a cluster."""

    cluster: Annotated[str, described("The cluster's name; * is all of them.")]
    namespace: Annotated[str, described("The namespace; empty for the whole cluster.")]
    role: Annotated[str, described("view, edit, admin or cluster-admin; empty for a group of the members' own.")]
    group: Annotated[str | UnsetType, described("A group of the members' own.")] = UNSET
    source: Annotated[AccessSource, described("What gives it.")]
    expires: Annotated[str | UnsetType, described("When it ends; absent: not by itself.")] = UNSET


class SelfAccessReviewStatus(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to a SelfAccessReview."""

    user: Annotated[str, described("The user, without the prefix skerry: that members see.")]
    groups: Annotated[list[str], described("Their groups.")]
    source: Annotated[
        str,
        one_of("The kind of credential that says so.", "Credential", "Certificate", "IdentityProvider", "TokenReview"),
    ]
    provider: Annotated[str | UnsetType, described("The IdentityProvider that the token is from.")] = UNSET
    expires: Annotated[str, described("When the credential ends.")]
    access: Annotated[list[OwnAccess], described("What they have, by cluster and namespace.")]
    incomplete: Annotated[bool, described(f"Whether there is more: at most {MOST_ROWS} are told.")] = False


class SelfAccessReview(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Asks who the caller is, by what credential, until when, and what they have on which clusters."""

    api_version: str = API_VERSION
    kind: str = "SelfAccessReview"
    metadata: ObjectMeta = ObjectMeta()
    status: Annotated[SelfAccessReviewStatus | UnsetType, described("The answer.")] = UNSET
