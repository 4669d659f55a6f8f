"""What an AccessGrant says of itself: its state on each cluster, and the condition Enforced. Pure.

Enforced is said of what is: proxies decide by a grant as soon as it is stored, and what it needs on a member is in place there
by the member's own last report. A member that is away is named, and holds nothing back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from skerry.api.conditions import DESIRED_APPLIED, Verdict, condition_of
from skerry.api.desired import Problem, Report, State
from skerry.api.grants import GrantedCluster
from skerry.api.messages import HOST
from skerry.api.meta import Document
from skerry.api.text import clean

MOST = 100
"""Clusters of a selector that are listed."""
NAMED = 5
"""Clusters that a message names."""
MESSAGE = 256


class Standing(StrEnum):
    """How a grant stands on one cluster; of several the condition tells the first that some cluster has."""

    CLUSTER_REPLACED = "ClusterReplaced"
    NO_CLUSTER = "NoCluster"
    NOT_SUPPORTED = "NotSupported"
    PROBLEM = "Problem"
    WAITING = "Waiting"
    APPLYING = "Applying"
    AWAY = "Away"
    ENFORCED = "Enforced"


class Placement(NamedTuple):
    """What the registry has of ours for one member."""

    uid: str
    """Of its Cluster."""
    epoch: str
    revisions: Mapping[str, int]
    """By key."""
    problem: str = ""
    """Why not all that is wanted was taken, for people."""


class Member(NamedTuple):
    """What is known of one Cluster."""

    uid: str
    document: Document
    placement: Placement | None = None
    report: Report | None = None
    """What it said last about what is wanted there."""


class Stand(NamedTuple):
    """How a grant stands on a cluster, and why so."""

    standing: Standing
    message: str = ""


def stand(bound: str | None, name: str, member: Member | None, keys: Sequence[str], *, narrow: bool) -> Stand:
    """On a cluster: `bound` is the UID that the grant is bound to by name (None: it comes by a selector), `keys` are what it
    needs there, `narrow` says that it is for namespaces.
    """
    if member is None:
        return Stand(Standing.NO_CLUSTER, "there is no such cluster (yet)")
    if bound is not None and bound != member.uid:
        return Stand(
            Standing.CLUSTER_REPLACED,
            "another cluster has the name now, and gets nothing until the grant is written again",
        )
    reason = condition_of(member.document, DESIRED_APPLIED).reason
    if reason in ("NotSupported", "Left") or (not reason and name == HOST):
        return _without_channel(name, narrow=narrow)
    ready = condition_of(member.document, "Ready")
    if ready.status != "True":
        return Stand(Standing.AWAY, ready.message or "it is not ready")
    if (member.document.get("spec") or {}).get("paused") is True:
        return Stand(Standing.WAITING, "the cluster is paused: nothing is brought in place there")
    return _in_place(member, keys)


def _without_channel(name: str, *, narrow: bool) -> Stand:
    if narrow:
        return Stand(
            Standing.NOT_SUPPORTED, f"{name} keeps no bindings of the host: only roles in the whole cluster hold there"
        )
    return Stand(Standing.ENFORCED)


def _in_place(member: Member, keys: Sequence[str]) -> Stand:
    placement = member.placement
    if not keys:
        return Stand(Standing.ENFORCED)
    if placement is None or placement.uid != member.uid:
        return Stand(Standing.APPLYING)
    missing = [key for key in keys if key not in placement.revisions]
    if missing:
        return Stand(Standing.PROBLEM, placement.problem) if placement.problem else Stand(Standing.APPLYING)
    last = max(placement.revisions[key] for key in keys)
    return _reported(member.report, placement.epoch, last, keys)


def _reported(report: Report | None, epoch: str, last: int, keys: Sequence[str]) -> Stand:
    """By the member's own words: `last` is the revision up to which it has to have tried."""
    if report is None or report.epoch != epoch or report.applied < last:
        return Stand(Standing.APPLYING)
    problem = next((each for each in report.problems if each.key in keys), None)
    if problem is not None:
        return _problem(problem)
    if report.more:
        return Stand(
            Standing.PROBLEM, f"it has {len(report.problems) + report.more} problems: skerry desired tells which"
        )
    return Stand(Standing.ENFORCED)


def _problem(problem: Problem) -> Stand:
    message = clean(problem.message or problem.state, MESSAGE)
    if problem.state is State.WAITING:
        return Stand(Standing.WAITING, message)
    return Stand(Standing.APPLYING) if problem.state is State.PENDING else Stand(Standing.PROBLEM, message)


def verdict(stands: Mapping[str, Stand], expired: str) -> Verdict:
    """The condition Enforced; `expired` is when it ended, if it did."""
    if expired:
        return Verdict("False", "Expired", f"it ended at {expired}")
    if not stands:
        return Verdict("False", Standing.NO_CLUSTER, "no cluster is selected")
    by = _by_standing(stands)
    message = "; ".join(_part(each, names, stands) for each, names in reversed(by.items()))
    held_up = [each for each in by if each not in (Standing.ENFORCED, Standing.AWAY)]
    enforced = Standing.ENFORCED in by
    if not held_up:
        return Verdict("True", "Enforced", message) if enforced else Verdict("False", "Away", message)
    if Standing.APPLYING in held_up:
        return Verdict("False", "Applying", message)
    return Verdict("False", "Partly" if enforced or len(held_up) > 1 else str(held_up[0]), message)


def _by_standing(stands: Mapping[str, Stand]) -> dict[Standing, list[str]]:
    """Names of clusters; of standings that some cluster has, in their order."""
    by = {each: [name for name, stand in stands.items() if stand.standing is each] for each in Standing}
    return {each: names for each, names in by.items() if names}


def _part(standing: Standing, names: list[str], stands: Mapping[str, Stand]) -> str:
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    if standing is Standing.ENFORCED:
        return f"on {listed}"
    why = stands[names[0]].message
    return f"{_WORDS[standing]} on {listed}" + (f" ({why})" if why else "")


_WORDS = {
    Standing.APPLYING: "being put in place",
    Standing.AWAY: "when it is back",
    Standing.WAITING: "waiting",
    Standing.PROBLEM: "not in place",
    Standing.NOT_SUPPORTED: "not",
    Standing.NO_CLUSTER: "not",
    Standing.CLUSTER_REPLACED: "not",
}


def listed(stands: Mapping[str, Stand], bound: Mapping[str, str] | None) -> list[Document]:
    """`status.clusters`: all that a grant names, in their order, with the UID that each is bound to; of a selector's, which is
    bound to nothing, some, those first that lack something.
    """
    entries: Iterable[tuple[str, Stand]] = stands.items()
    if bound is None:
        worst = {each: place for place, each in enumerate(Standing)}
        entries = sorted(entries, key=lambda entry: (worst[entry[1].standing], entry[0]))[:MOST]
    return [_entry(name, each, (bound or {}).get(name, "")) for name, each in entries]


def _entry(name: str, each: Stand, uid: str) -> Document:
    entry = GrantedCluster(name=name, uid=uid, state=each.standing, message=each.message)
    return {field: value for field in ("name", "uid", "state", "message") if (value := str(getattr(entry, field)))}
