"""Conditions that more than one room speaks of, and how one is read from a document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from skerry.api.meta import Document
from skerry.api.times import rfc3339

RIGHTS_COMPLETE = "RightsComplete"
"""Condition: whether what joining made and verified on the member is still there."""
RIGHTS_MISSING = "RightsMissing"
"""Reason of the conditions Ready and RightsComplete when something that serving needs was taken away on the member."""
CREDENTIALS_VALID = "CredentialsValid"
"""Condition: whether the credential of the connection is good."""
JOINED = "Joined"
"""Condition: whether the cluster is this host's member."""
APPROVAL_PENDING, APPROVAL_DENIED = "ApprovalPending", "ApprovalDenied"
"""Reasons of Joined: somebody has to approve the cluster first; that was denied, or did not happen in time."""
AWAITING_APPROVAL = (APPROVAL_PENDING, APPROVAL_DENIED)
CERTIFICATE_VALID = "CertificateValid"
"""Condition: whether what the member's API server shows in TLS, and a client certificate that is shown to it, are good."""
QUARANTINED = "Quarantined"
"""Condition (True is bad): whether it is left alone for a while because it floods this host."""
VERSION_SUPPORTED = "VersionSupported"
"""Condition: whether Kubernetes and the agent are of versions that are tested."""
CLOCK_SYNCED = "ClockSynced"
"""Condition: whether its clock is that of the host. It warns, and takes nothing away."""
FLAPPING = "Flapping"
"""Condition (True is bad): whether Ready changed again and again."""
DESIRED_APPLIED = "DesiredApplied"
"""Condition: whether what the host's services want on the member is in place there."""
CLEANED = "Cleaned"
UNMARKED = "Unmarked"
"""Its reason where the cluster is not marked as this host's any more either."""
"""Condition of a Cluster that is removed: what the host's services had on the member was taken away there; how much, in its text."""
STREAMS_CUT = "StreamsCut"
"""Condition of a Cluster that is removed: live requests to it were cut; how many, in its text."""
REPAIRED = "Repaired"
"""Reason of RightsComplete when it was taken away and is there again."""


class Verdict(NamedTuple):
    """A condition without its times. `status` is "True", "False" or "Unknown"."""

    status: str
    reason: str
    message: str


NO_VERDICT = Verdict("Unknown", "", "")
"""Of a condition that is not there."""


def condition_of(document: Document, name: str) -> Verdict:
    """A stored condition; Unknown, without a reason, if there is none."""
    for condition in conditions_of(document):
        if condition.get("type") == name:
            return _verdict(condition)
    return NO_VERDICT


def awaits_approval(document: Document) -> bool:
    """True if a Cluster is there to be approved, and is no member yet: nothing of the host's goes there."""
    return condition_of(document, JOINED).reason in AWAITING_APPROVAL


def changed_conditions(old: Document, new: Document) -> dict[str, tuple[Verdict, Verdict]]:
    """The conditions that are not in `new` as in `old`, by type: as they were, as they are."""
    before, after = conditions_of(old), conditions_of(new)
    if before == after:
        return {}
    first, second = _by_type(before), _by_type(after)
    return {
        name: (_verdict(first.get(name)), _verdict(second.get(name)))
        for name in first | second
        if first.get(name) != second.get(name)
    }


def new_condition(kind: str, verdict: Verdict, now: float) -> Document:
    """A condition that changes at a time in Unix seconds."""
    return {
        "type": kind,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": rfc3339(now),
    }


def with_condition(conditions: object, new: Document) -> list[Document]:
    """Stored conditions with `new` in its place; the transition time moves with the status alone, fields unknown here stay."""
    after = listed(conditions)
    for place, old in enumerate(after):
        if old.get("type") == new["type"]:
            since = old if old.get("status") == new["status"] else new
            after[place] = {
                **old,
                **new,
                "lastTransitionTime": since.get("lastTransitionTime", new["lastTransitionTime"]),
            }
            return after
    return [*after, new]


def conditions_of(document: Document) -> Sequence[Document]:
    """All stored conditions that can be read."""
    status = document.get("status")
    return listed(status.get("conditions")) if isinstance(status, dict) else ()


def listed(conditions: object) -> list[Document]:
    """The conditions in what is stored as such: another version of this program may have put something else there."""
    return [each for each in conditions if isinstance(each, dict)] if isinstance(conditions, list) else []


def _by_type(conditions: Sequence[Document]) -> dict[str, Document]:
    """Of two of a type the first counts."""
    return {str(condition.get("type")): condition for condition in reversed(conditions)}


def _verdict(condition: Document | None) -> Verdict:
    if condition is None:
        return NO_VERDICT
    return Verdict(
        str(condition.get("status", "Unknown")), str(condition.get("reason", "")), str(condition.get("message", ""))
    )
