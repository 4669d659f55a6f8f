"""Kinds of tenancy that say who people are: where their tokens come from, and whose credentials hold no more."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.api import identities, v1alpha1
from skerry.api.conditions import condition_of
from skerry.api.kinds.access import READ_ON_HOST
from skerry.api.kinds.columns import AGE, NAME, Column, condition, joined, why_not
from skerry.api.kinds.kind import EVERY_VERB, Kind, Listing, Occurrence
from skerry.api.kinds.tenancy import describe
from skerry.api.meta import Document


def describe_provider(old: Document, new: Document) -> Iterator[Occurrence]:
    """Besides: whether its tokens can be checked, whenever that is said in other words."""
    yield from describe(old, new)
    before, after = condition_of(old, "Ready"), condition_of(new, "Ready")
    if after.reason and (before.status, before.reason) != (after.status, after.reason):
        yield Occurrence(after.reason, after.message, warning=after.status != "True")


IDENTITY_PROVIDER = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="IdentityProvider",
    plural="identityproviders",
    singular="identityprovider",
    short_names=("idp",),
    owner="tenancy",
    type=identities.IdentityProvider,
    verbs=EVERY_VERB,
    access=(READ_ON_HOST,),
    events=describe_provider,
    columns=(
        NAME,
        Column(name="Issuer", path="spec.issuer", description="Whose tokens it is about."),
        Column(name="Audiences", path="spec.audiences", cell=joined, description="For whom tokens must be."),
        Column(
            name="Ready",
            path="status.conditions",
            cell=condition("Ready"),
            description="Whether its tokens can be checked.",
        ),
        Column(name="Keys", path="status.keys", type="integer", description="Keys that it signs with."),
        AGE,
        Column(
            name="Fetched",
            path="status.fetched",
            type="date",
            priority=1,
            description="Time since its keys were fetched.",
        ),
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Ready"),
            priority=1,
            description="Why its tokens cannot be checked.",
        ),
    ),
    listing=Listing(
        command="providers",
        help="List identity providers: whose tokens name users here.\n\nExample: skerry providers -o wide",
        empty="No identity providers. Make one: kubectl apply -f provider.yaml",
    ),
)
REVOCATION = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Revocation",
    plural="revocations",
    singular="revocation",
    owner="tenancy",
    type=identities.Revocation,
    verbs=EVERY_VERB,
    events=describe,
    columns=(
        NAME,
        Column(name="User", path="spec.user", description="Whose credentials hold no more."),
        Column(name="Before", path="spec.before", description="What was issued up to then is refused."),
        Column(name="Disabled", path="spec.disabled", type="boolean", description="Whether all is refused."),
        AGE,
    ),
    listing=Listing(
        command="revocations",
        help="List whose credentials were taken back, and from when on.\n\nExample: skerry revocations -o wide",
        empty="Nothing was taken back from anybody. Take back all that a user has: skerry credential revoke --user USER",
    ),
)

KINDS = (IDENTITY_PROVIDER, REVOCATION)
