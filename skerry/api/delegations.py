"""Delegations: tokens with which a service goes on, on members, with what somebody wanted; asked of tenancy (ADR 32).

The shape that a Credential has of one is `skerry.api.v1alpha1.Delegation`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from skerry.api.messages import Message

LIFE_S = 20 * 60
"""So long a delegation holds."""
RENEWED_S = 10 * 60
"""One that holds for longer than that still is used again."""
MOST_CLUSTERS = 100
LABEL = "skerry.dev/delegation"
"""Of Credentials that are delegations: the service that has the token."""
REVOKED = "Revoked"
"""Reason of the cause of a refusal: what the user had at that time was taken back, or they are disabled."""


class DelegationSubject(Message, frozen=True, kw_only=True):
    """The object that somebody changed. Its kind declares where it says who that was (`Kind.actor`)."""

    kind: str
    namespace: str = ""
    name: str
    uid: str


class DelegationRequest(Message, frozen=True, kw_only=True):
    """A service asks for a token of whoever changed an object: `tenancy.delegate`."""

    of: DelegationSubject
    user: str
    groups: tuple[str, ...] = ()
    at: str
    """When they changed it, in RFC 3339. User, groups and time are those that the object has stored, or it changed meanwhile."""
    clusters: Annotated[tuple[str, ...], Meta(max_length=MOST_CLUSTERS)]
    """Names of Clusters: it is good for these alone."""


class DelegationAnswer(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The token."""

    token: str
    expires: float
    """Unix seconds."""
    lost: tuple[str, ...] = ()
    """Built-in groups that the user had then, and that no credential of theirs gives now: the token is without them."""
