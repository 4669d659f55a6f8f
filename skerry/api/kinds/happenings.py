"""What happens to clusters and join tokens, as their Events tell it: from documents before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from skerry.api import v1alpha1
from skerry.api.agentlist import short_name
from skerry.api.conditions import (
    APPROVAL_DENIED,
    APPROVAL_PENDING,
    CERTIFICATE_VALID,
    CLEANED,
    CLOCK_SYNCED,
    CREDENTIALS_VALID,
    DESIRED_APPLIED,
    FLAPPING,
    JOINED,
    NO_VERDICT,
    REPAIRED,
    RIGHTS_COMPLETE,
    RIGHTS_MISSING,
    STREAMS_CUT,
    VERSION_SUPPORTED,
    Verdict,
    awaits_approval,
    changed_conditions,
)
from skerry.api.kinds.fleet import until_and_why
from skerry.api.kinds.kind import Occurrence
from skerry.api.kinds.paths import at
from skerry.api.meta import Document

_ROLE, _MODE = at("spec.role"), at("spec.connection.mode")


def describe_cluster(old: Document, new: Document) -> Iterator[Occurrence]:
    """What became of a Cluster."""
    if not new:
        yield Occurrence("Removed", "removed from the host; its credentials are revoked")
        return
    if not old:
        yield from _arrival(new)
        old = {"metadata": {}}
    elif _is_leaving(new) and not _is_leaving(old):
        yield Occurrence("Removing", "removal was asked for: its credentials are revoked and its requests cut")
    if 0 < _revision(old) < _revision(new):
        yield Occurrence("CredentialsReplaced", "the host was given another credential for it")
    yield from _verdicts(changed_conditions(old, new))
    if old.get("spec") != new.get("spec"):
        yield from _holds(old, new)
    yield from _ceiling(old, new)
    yield from _keys(old, new)


def _verdicts(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    """What its conditions tell; most changes change none."""
    if not changed:
        return
    yield from _troubles(changed)
    before, after = changed.get(JOINED, (NO_VERDICT, NO_VERDICT))
    if before.reason == APPROVAL_PENDING and after.status == "True":
        yield Occurrence("Approved", after.message)
    yield from _recoveries(changed)
    yield from _on_member(changed)
    before, after = changed.get("Ready", (NO_VERDICT, NO_VERDICT))
    if after.status == "True" and before.status != "True":
        yield Occurrence("Ready", after.message or "requests reach it")
    elif after.status != "True" and before.status == "True":
        yield Occurrence(
            "NotReady", f"{after.reason}: {after.message}" if after.message else after.reason, warning=True
        )


def _arrival(new: Document) -> Iterator[Occurrence]:
    if _ROLE(new) != "member":
        yield Occurrence("HostClaimed", "this is the host itself")
        return
    if awaits_approval(new):
        return  # its condition tells so
    mode = _MODE(new) or ""
    how = "joined through its agent" if mode == "agent" else f"joined; the host reaches it by {mode}"
    yield Occurrence("Joined", how)


def _is_leaving(document: Document) -> bool:
    return "deletionTimestamp" in document["metadata"]


def _troubles(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    for kind, (before, after) in changed.items():
        if after != before and (reason := _TROUBLES.get(kind, {}).get(after.reason)):
            yield Occurrence(reason, after.message, warning=True)


def _recoveries(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    """What is well again."""
    for kind in (CREDENTIALS_VALID, CERTIFICATE_VALID, CLOCK_SYNCED, VERSION_SUPPORTED):
        before, after = changed.get(kind, (NO_VERDICT, NO_VERDICT))
        if before.status == "False" and after.status == "True":
            yield Occurrence(kind, after.message)
    before, after = changed.get(FLAPPING, (NO_VERDICT, NO_VERDICT))
    if before.status == "True" and after.status == "False":
        yield Occurrence("Stable", after.message)


def _revision(document: Document) -> int:
    return int(_REVISION(document) or 0)


_REVISION = at("status.credentials.revision")
_TROUBLES = {
    JOINED: {reason: reason for reason in ("TakenOver", APPROVAL_PENDING, APPROVAL_DENIED)},
    CREDENTIALS_VALID: {
        "ExpiresSoon": "CredentialsExpireSoon",
        "Expired": "CredentialsExpired",
        "Refused": "CredentialsRefused",
    },
    CERTIFICATE_VALID: {"ExpiresSoon": "CertificateExpiresSoon", "Expired": "CertificateExpired"},
    CLOCK_SYNCED: {"Behind": "ClockBehind", "Ahead": "ClockAhead"},
    VERSION_SUPPORTED: {reason: reason for reason in ("KubernetesTooOld", "AgentTooOld", "AgentTooNew")},
    FLAPPING: {"ReadyChanges": "Flapping"},
    RIGHTS_COMPLETE: {REPAIRED: "RightsRepaired", RIGHTS_MISSING: "RightsMissing"},
}
"""Reasons of conditions that people are told of, whatever the status, each as often as its text changes, and the reasons of
their Events. A credential's or certificate's end is told 30, 7 and 1 day before; what was taken away on a member as repaired,
or as missing with the commands that mend it.
"""


def _holds(old: Document, new: Document) -> Iterator[Occurrence]:
    """Paused, cordoned, and the end of both."""
    for flag, detail, begun, ended in _HOLDS:
        was, is_ = (document.get("spec", {}).get(flag) is True for document in (old, new))
        if is_ and not was:
            yield Occurrence(begun[0], begun[1] + until_and_why(new.get("spec", {}).get(detail)))
        elif was and not is_:
            yield Occurrence(*ended)


_HOLDS = (
    (
        "paused",
        "pause",
        ("Paused", "nothing of the host's is applied on it or withdrawn from it"),
        ("Resumed", "what the host wants on it is applied and withdrawn again"),
    ),
    (
        "unschedulable",
        "cordon",
        ("Cordoned", "nothing new is placed on it"),
        ("Uncordoned", "new things may be placed on it again"),
    ),
)


def _ceiling(old: Document, new: Document) -> Iterator[Occurrence]:
    """What the member's own administrator changed in what the host may do there."""
    before, after = _CEILING(old), _CEILING(new)
    if before is not None and after is not None and before != after:
        now, was = (msgspec.convert(ceiling, v1alpha1.Ceiling).text for ceiling in (after, before))
        if now != was:
            yield Occurrence("CeilingChanged", f"its own administrator set its ceiling: {now} (before: {was})")


_CEILING = at("status.ceiling")


def _keys(old: Document, new: Document) -> Iterator[Occurrence]:
    """Who has its agents get other keys, or revoked one, and when that is done."""
    before, after = _REKEY(old) or {}, _REKEY(new) or {}
    if after and after.get("requested") != before.get("requested"):
        if after.get("by"):
            cut = ", and connections with those of now are cut" if after.get("atOnce") else ""
            yield Occurrence("RekeyRequested", f"{after['by']} has its agents get other keys{cut}")
        else:
            yield Occurrence("AgentRekeyed", "an agent got itself another key")
    elif before and not after:
        yield Occurrence("Rekeyed", "its agents have other keys; those of before are revoked")
    revoked = _REVOKED(new)
    if revoked and revoked != _REVOKED(old):
        agent = short_name(str(revoked.get("key", "")))
        yield Occurrence(
            "AgentRevoked", f"{revoked.get('by')} revoked agent {agent}: it is cut and stays out", warning=True
        )


_REKEY, _REVOKED = at("status.credentials.rekey"), at("status.credentials.revoked")


def _on_member(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    """Whether what is wanted on a member is in place: no longer, or again; of one that leaves, what ended with it."""
    before, after = changed.get(DESIRED_APPLIED, (NO_VERDICT, NO_VERDICT))
    cleaned = changed.get(CLEANED, (NO_VERDICT, NO_VERDICT))[1]
    cut = changed.get(STREAMS_CUT, (NO_VERDICT, NO_VERDICT))[1]
    if cut.status == "True":
        yield Occurrence(STREAMS_CUT, cut.message)
    if cleaned.status == "True":
        yield Occurrence(CLEANED, cleaned.message)
    if after.reason == "Left" and after != before:
        yield Occurrence("LeftOnCluster", after.message, warning=True)
    elif after.reason == "Problems" and after != before:
        yield Occurrence("DesiredProblems", after.message, warning=True)
    elif after.status == "True" and before.reason == "Problems":
        yield Occurrence("DesiredApplied", after.message)


def describe_join_token(old: Document, new: Document) -> Iterator[Occurrence]:
    """The uses of a JoinToken."""
    before = {each.get("key") for each in _AGENTS(old) or ()}
    for each in (_AGENTS(new) or ()) if old else ():
        if each.get("key") not in before:
            yield Occurrence("Used", f"cluster {each.get('name', '')} joined with it")


_AGENTS = at("status.agents")
