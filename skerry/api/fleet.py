"""Members, counted by what their Clusters say: for people who look whether all is well. Pure."""

from __future__ import annotations

from collections import Counter

from skerry.api.conditions import condition_of
from skerry.api.messages import Message
from skerry.api.meta import Document

WARNINGS = ("Flapping", "Quarantined")
"""Conditions that are bad when they are True; others that warn are bad when they are False."""
_WELL = ("CredentialsValid", "CertificateValid", "VersionSupported", "ClockSynced", "RightsComplete")


class FleetRequest(Message, frozen=True, kw_only=True):
    """How are the members? `registry.fleet`."""


class NotInPlace(Message, frozen=True, kw_only=True, omit_defaults=False):
    """What members should have and do not, though it was tried."""

    members: int = 0
    entries: int = 0


class FleetSummary(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The members of a host, counted."""

    total: int = 0
    ready: int = 0
    states: dict[str, int] = {}
    """Those that are not ready, by reason; and all that are paused, cordoned, or warned of by a condition."""
    desired: NotInPlace = NotInPlace()
    leader: str = ""
    """Which replica of the registry writes, as far as the one that answers knows; empty: none."""


class FleetCount:
    """Counts one Cluster after the other; the host's own is no member."""

    def __init__(self) -> None:
        self._total = self._ready = self._members = self._entries = 0
        self._states: Counter[str] = Counter()

    def add(self, cluster: Document) -> None:
        """Count a Cluster."""
        if (cluster.get("spec") or {}).get("role") == "host":
            return
        self._total += 1
        self._ready += condition_of(cluster, "Ready").status == "True"
        self._states.update(_states(cluster))
        if problems := _problems(cluster):
            self._members += 1
            self._entries += problems

    def summary(self, leader: str = "") -> FleetSummary:
        """What was counted."""
        return FleetSummary(
            total=self._total,
            ready=self._ready,
            states=dict(sorted(self._states.items())),
            desired=NotInPlace(members=self._members, entries=self._entries),
            leader=leader,
        )


def _states(member: Document) -> list[str]:
    spec, ready = member.get("spec") or {}, condition_of(member, "Ready")
    states = [] if ready.status == "True" else [ready.reason or ready.status]
    states += [word for field, word in (("paused", "Paused"), ("unschedulable", "Cordoned")) if spec.get(field) is True]
    states += [kind for kind in WARNINGS if condition_of(member, kind).status == "True"]
    return states + [f"{kind}=False" for kind in _WELL if condition_of(member, kind).status == "False"]


def _problems(member: Document) -> int:
    count = ((member.get("status") or {}).get("desired") or {}).get("problems")
    return count if isinstance(count, int) else 0
