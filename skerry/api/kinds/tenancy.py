"""Kinds of tenancy: people, what belongs to them, and where they may go.

Nothing is told of Credentials: their names are digests of secrets, which mean nothing to people.
"""

from __future__ import annotations

from collections.abc import Iterator

from skerry.api import grants, v1alpha1
from skerry.api.conditions import NO_VERDICT, Verdict, condition_of
from skerry.api.kinds.access import (
    CHANGED_BY_ITS_ADMINS,
    CLEARED_BY_WHO_COULD_GIVE,
    OF_WORKSPACE,
    READ,
    READ_ON_HOST,
    WRITTEN_BY_WHO_HOLDS,
    Access,
    giver_at,
    read_by,
    subjects_at,
    user_at,
)
from skerry.api.kinds.columns import AGE, NAME, Column, clusters, condition, count, joined, role, subjects, why_not
from skerry.api.kinds.kind import EVERY_VERB, Kind, Listing, Occurrence
from skerry.api.meta import Document


def describe(old: Document, new: Document) -> Iterator[Occurrence]:
    """The beginning of an object, changes of what is wanted, and its end."""
    if not new:
        yield Occurrence("Deleted", "deleted")
    elif not old:
        yield Occurrence("Created", "created")
    elif "deletionTimestamp" in new["metadata"] and "deletionTimestamp" not in old["metadata"]:
        waits = ", ".join(new["metadata"].get("finalizers") or ())
        yield Occurrence("Deleting", f"deletion was asked for and waits for {waits}")
    elif _generation(new) > _generation(old):
        yield Occurrence("Changed", "what is wanted was changed")


def _generation(document: Document) -> int:
    return int(document["metadata"].get("generation") or 0)


def describe_grant(old: Document, new: Document) -> Iterator[Occurrence]:
    """Besides: whether the grant has an effect."""
    yield from describe(old, new)
    yield from _verdict(condition_of(old, "Enforced"), condition_of(new, "Enforced"), "Applying")


def describe_workspace(old: Document, new: Document) -> Iterator[Occurrence]:
    """Besides: whether its namespaces are its own, or why not."""
    yield from describe(old, new)
    yield from _verdict(condition_of(old, "Ready"), condition_of(new, "Ready"), "Creating")


def _verdict(before: Verdict, after: Verdict, passing: str) -> Iterator[Occurrence]:
    """A condition that has another status or reason now; `passing` is the reason of one that soon is otherwise again."""
    if after == NO_VERDICT or (after.status, after.reason) == (before.status, before.reason) or after.reason == passing:
        return
    yield Occurrence(
        after.reason or "NotReady",
        after.message,
        warning=after.status != "True" and after.reason not in ("Expired", "Away"),
    )


def delegated(delegation: Document | None) -> str | None:
    """A cell: `AppRelease shop/web on m1`."""
    if not delegation:
        return None
    of = delegation.get("of") or {}
    return f"{of.get('kind')} {of.get('namespace')}/{of.get('name')} on {joined(delegation.get('clusters'))}"


CREDENTIAL = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Credential",
    plural="credentials",
    singular="credential",
    owner="tenancy",
    type=v1alpha1.Credential,
    verbs=("create", "delete", "get", "list", "watch"),
    access=(Access(verbs=("delete", *READ), ties=(user_at("spec.user"),)),),
    columns=(
        NAME,
        Column(name="User", path="spec.user", description="Whom it speaks for."),
        Column(name="Groups", path="spec.groups", cell=joined, description="Their groups."),
        Column(name="Expires", path="status.expires", description="After this it is refused."),
        AGE,
        Column(
            name="Delegated",
            path="spec.delegation",
            cell=delegated,
            priority=1,
            description="Of a token that a service has: what it carries on, and where it is good.",
        ),
    ),
    listing=Listing(
        command="credentials",
        help="List credentials, without their secrets.\n\nExample: skerry credentials -o json",
        empty="No credentials. Make one: {skerry} credential create USER",
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
    type=grants.Workspace,
    verbs=EVERY_VERB,
    access=(READ_ON_HOST, read_by(OF_WORKSPACE), CHANGED_BY_ITS_ADMINS),
    events=describe_workspace,
    columns=(
        NAME,
        Column(name="Display Name", path="spec.displayName", description="Its name for people."),
        Column(name="Members", path="spec.members", cell=count, type="integer", description="How many belong to it."),
        Column(name="Clusters", path="spec.clusters", cell=clusters, description="Clusters that it may use."),
        Column(
            name="Ready",
            path="status.conditions",
            cell=condition("Ready", ""),
            description="Whether all namespaces that it names on members are its own.",
        ),
        AGE,
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Ready"),
            priority=1,
            description="How many are, and what of the others.",
        ),
    ),
    listing=Listing(
        command="workspaces",
        help="List workspaces. They are made with kubectl apply.\n\nExample: skerry workspaces -o wide",
        empty="No workspaces. Make one: kubectl apply -f workspace.yaml",
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
    type=grants.AccessGrant,
    verbs=EVERY_VERB,
    access=(
        READ_ON_HOST,
        read_by(subjects_at("spec.subjects"), giver_at("spec.clusters.names")),
        WRITTEN_BY_WHO_HOLDS,
        CLEARED_BY_WHO_COULD_GIVE,
    ),
    events=describe_grant,
    columns=(
        NAME,
        Column(name="Subjects", path="spec.subjects", cell=subjects, description="Whom it is for."),
        Column(name="Role", path="spec", cell=role, description="What they may do."),
        Column(name="Clusters", path="spec.clusters", cell=clusters, description="Where it holds."),
        Column(
            name="Enforced",
            path="status.conditions",
            cell=condition("Enforced"),
            description="Whether it has an effect.",
        ),
        Column(name="Expires", path="spec.expires", description="After this it holds no more."),
        AGE,
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Enforced"),
            priority=1,
            description="Why it has no effect.",
        ),
    ),
    listing=Listing(
        command="grants",
        help="List access grants: who may do what on which clusters.\n\nExample: skerry grants -o wide",
        empty="No access grants. Make one: kubectl apply -f grant.yaml",
    ),
)
SETTING = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Setting",
    plural="settings",
    singular="setting",
    owner="tenancy",
    type=v1alpha1.Setting,
    verbs=EVERY_VERB,
    access=(READ_ON_HOST,),
    events=describe,
    columns=(NAME, Column(name="Value", path="spec.value", description="Its value."), AGE),
    listing=Listing(
        command="settings",
        help="List what was set otherwise than by default. Settings are made with kubectl apply; kubectl explain "
        "setting.spec.value says which there are.\n\nExample: skerry settings -o yaml",
        empty="No settings: each has its default. What there is to set: kubectl explain setting.spec.value",
    ),
)

KINDS = (CREDENTIAL, WORKSPACE, ACCESS_GRANT, SETTING)
