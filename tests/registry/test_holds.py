"""Rules of pausing and cordoning, pure."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry import holds
from skerry.api.meta import Document

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""
LATER = "2026-01-01T02:00:00Z"
PAST = "2025-12-31T23:59:59Z"
MEMBER = {"role": "member", "connection": {"mode": "agent"}}


def cluster(role: str = "member", *, leaving: bool = False, **spec: Any) -> Document:
    metadata = {"name": "m1", **({"deletionTimestamp": PAST} if leaving else {})}
    return {"metadata": metadata, "spec": {**MEMBER, "role": role, **spec}}


def problems(current: Document, **spec: Any) -> dict[str, str]:
    """Field -> message, of a change to `spec`."""
    new = {**current, "spec": {**current["spec"], **spec}}
    return {each.field: each.message for each in holds.problems(current, new, NOW)}


@pytest.mark.parametrize(
    "spec",
    [
        {"paused": True},
        {"paused": True, "pause": {}},
        {"paused": True, "pause": {"until": LATER, "reason": "an upgrade"}},
        {"unschedulable": True, "cordon": {"reason": "full"}},
        {"unschedulable": True, "cordon": {"until": "2026-01-01T03:00:00.5+02:00"}},
        {"paused": False, "unschedulable": False},
    ],
)
def test_a_member_is_held_back_with_or_without_an_end_and_a_reason(spec: dict[str, Any]) -> None:
    assert problems(cluster(), **spec) == {}


@pytest.mark.parametrize("until", [PAST, "2026-01-01T00:00:00Z"])
def test_an_end_in_the_past_is_refused(until: str) -> None:
    found = problems(cluster(), paused=True, pause={"until": until})
    assert found == {"spec.pause.until": f'Invalid value: "{until}": must be in the future by the host\'s clock'}


@pytest.mark.parametrize(
    "until", ["", "tomorrow", "2026-01-02", "2026-01-01T02:00:00", "9" * 5000, "0001-01-01T00:00:00+23:00"]
)
def test_what_is_no_time_is_refused(until: str) -> None:
    found = problems(cluster(), unschedulable=True, cordon={"until": until})
    assert list(found) == ["spec.cordon.until"]
    assert len(found["spec.cordon.until"]) < 300


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2J", "x" * 257])
def test_a_reason_is_one_short_line_that_prints(reason: str) -> None:
    found = problems(cluster(), paused=True, pause={"reason": reason})
    assert "must be one line of at most 256 characters that print" in found["spec.pause.reason"]


def test_an_end_without_a_hold_is_refused() -> None:
    found = problems(cluster(), pause={"until": LATER})
    assert found == {"spec.pause": "Forbidden: it says until when and why a cluster is paused: set spec.paused too"}


def test_the_host_is_cordoned_but_not_paused() -> None:
    assert problems(cluster("host"), unschedulable=True) == {}
    assert problems(cluster("host"), paused=True) == {
        "spec.paused": "Forbidden: this is the host itself, and only members can be paused"
    }


def test_what_leaves_is_held_back_no_more() -> None:
    assert problems(cluster(leaving=True), unschedulable=True) == {
        "spec.unschedulable": "Forbidden: the cluster is being removed, and cannot be cordoned any more"
    }
    assert problems(cluster(leaving=True, paused=True), paused=False) == {}


def test_what_was_so_before_is_not_looked_at_again() -> None:
    """Or nobody could label a cluster in the second in which its pause ends."""
    held = cluster(paused=True, pause={"until": PAST})
    assert problems(held, region="eu") == {}


def test_what_ends_a_hold_ends_what_was_said_of_it() -> None:
    held = cluster(paused=True, pause={"until": LATER}, unschedulable=True, cordon={"reason": "full"})
    for over in ({**held["spec"], "paused": False}, {k: v for k, v in held["spec"].items() if k != "paused"}):
        spec = holds.tidied(held, {**held, "spec": over})["spec"]
        assert "pause" not in spec
        assert spec["cordon"] == {"reason": "full"}
    assert holds.tidied(held, held) is held


def test_a_hold_is_due_when_the_first_ends() -> None:
    assert holds.due(cluster(paused=True), NOW) is None
    assert holds.due(cluster(pause={"until": LATER}), NOW) is None
    assert holds.due(cluster(paused=True, pause={"until": "rubbish"}), NOW) is None
    assert holds.due(cluster(paused=True, pause="rubbish"), NOW) is None
    both = cluster(paused=True, pause={"until": LATER}, unschedulable=True, cordon={"until": "2026-01-01T01:00:00Z"})
    assert holds.due(both, NOW) == 3600
    assert holds.due(both, NOW + 10_000) == 0


def test_only_what_is_over_ends() -> None:
    both = cluster(paused=True, pause={"until": LATER}, unschedulable=True, cordon={"until": "2026-01-01T01:00:00Z"})
    after = holds.ended(both, NOW + 3600)
    assert after["spec"] == {**MEMBER, "paused": True, "pause": {"until": LATER}}
    assert holds.ended(after, NOW + 3600) == after
    assert holds.ended(after, NOW + 7200)["spec"] == MEMBER
