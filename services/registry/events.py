"""What the registry tells people about Clusters and join tokens, derived from stored changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.registry import clusters, direct
from services.registry.model import REPAIRED, RIGHTS_MISSING
from skerry.api.kinds import CLUSTER, JOIN_TOKEN, Kind
from skerry.controller.news import Means, News
from skerry.storage.documents import Document


def of_cluster(old: Document, new: Document) -> Iterator[News]:
    """From a Cluster before and after; an empty document is none."""
    if not new:
        yield News("Removed", "removed from the host; its credentials are revoked")
        return
    if not old:
        yield _arrival(new)
        old = {"metadata": {}}
    elif clusters.is_leaving(new) and not clusters.is_leaving(old):
        yield News("Removing", "removal was asked for: its credentials are revoked and its requests cut")
    yield from _of_credentials(old, new)
    yield from _of_rights(old, new)
    before, after = clusters.ready_of(old), clusters.ready_of(new)
    if after.status == "True" and before.status != "True":
        yield News("Ready", after.message or "requests reach it")
    elif after.status != "True" and before.status == "True":
        yield News("NotReady", f"{after.reason}: {after.message}" if after.message else after.reason, warning=True)


def _of_credentials(old: Document, new: Document) -> Iterator[News]:
    """Of a direct member: replaced, about to end (its text changes 30, 7 and 1 day before), ended, refused."""
    before, after = (direct.condition_of(document, "CredentialsValid") for document in (old, new))
    if 0 < direct.revision_of(old) < direct.revision_of(new):
        yield News("CredentialsReplaced", "the host was given another credential for it")
    if after.reason in _CREDENTIAL_NEWS and after != before:
        yield News(_CREDENTIAL_NEWS[after.reason], after.message, warning=True)


def _of_rights(old: Document, new: Document) -> Iterator[News]:
    """What was taken away on a member: repaired, or missing with the commands that mend it."""
    before, after = (direct.condition_of(document, clusters.RIGHTS) for document in (old, new))
    if after.reason in _RIGHTS_NEWS and after != before:
        yield News(_RIGHTS_NEWS[after.reason], after.message, warning=True)


_RIGHTS_NEWS = {REPAIRED: "RightsRepaired", RIGHTS_MISSING: "RightsMissing"}
_CREDENTIAL_NEWS = {
    "ExpiresSoon": "CredentialsExpireSoon",
    "Expired": "CredentialsExpired",
    "Refused": "CredentialsRefused",
}


def _arrival(new: Document) -> News:
    if not clusters.is_member(new):
        return News("HostClaimed", "this is the host itself")
    mode = new.get("spec", {}).get("connection", {}).get("mode", "")
    return News("Joined", "joined through its agent" if mode == "agent" else f"joined; the host reaches it by {mode}")


def of_token(old: Document, new: Document) -> Iterator[News]:
    """From a JoinToken before and after."""
    used_before, used = (document.get("status", {}).get("used") for document in (old, new))
    if used and not used_before and old:
        cluster = new.get("spec", {}).get("clusterName", "")
        yield News("Used", f"cluster {cluster} joined with it")


MEANINGS: Mapping[Kind, Means] = {CLUSTER: of_cluster, JOIN_TOKEN: of_token}
