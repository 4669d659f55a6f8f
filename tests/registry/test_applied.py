"""What a Cluster says of its desired state, by what is known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.registry import applied
from services.registry.applied import MemberView, Reported
from services.registry.model import Agent, MemberAgents, Now
from skerry.api.conditions import DESIRED_APPLIED, condition_of
from skerry.api.desired import Report
from skerry.api.messages import Heartbeat, Progress

NOW = Now(100.0, 1_700_000_000.0)


def cluster(ready: str = "True", **spec: Any) -> dict[str, Any]:
    """A member."""
    conditions = [{"type": "Ready", "status": ready, "reason": "r", "message": "m"}]
    return {"metadata": {"name": "m1"}, "spec": spec, "status": {"conditions": conditions}}


def report(applied: int = 7, **states: int) -> Reported:
    """Of epoch e."""
    return Reported.of(Report(epoch="e", applied=applied, counts={"tenancy": states}))


def known(report: Reported | None, last: int = 7, **more: Any) -> MemberView:
    """A member with a channel."""
    return MemberView(**{"epoch": "e", "last": last, "entries": 9, "report": report, "channel": True, **more})


@pytest.mark.parametrize(
    ("document", "state", "verdict", "figures"),
    [
        (cluster(), known(report(Applied=3, Withdrawn=1)), ("True", "Applied"), (3, 3, 0)),
        (cluster(), known(report()), ("True", "Applied"), (0, 0, 0)),
        (cluster(), known(report(Applied=3, Conflict=2, Failed=1, Waiting=0)), ("False", "Problems"), (6, 3, 3)),
        (cluster(), known(report(6, Applied=3)), ("False", "Applying"), (9, 0, 0)),
        (cluster(), known(None), ("False", "Applying"), (9, 0, 0)),
        (cluster(), known(report(Applied=3), epoch="another"), ("False", "Applying"), (9, 0, 0)),
        (cluster("False"), known(report(6, Applied=3)), ("False", "Behind"), (9, 0, 0)),
        (cluster("Unknown"), known(None), ("False", "Behind"), (9, 0, 0)),
        (cluster("False"), known(report(Applied=3)), ("True", "Applied"), (3, 3, 0)),
        (cluster(paused=True), known(report(Applied=3)), ("False", "Paused"), (3, 3, 0)),
        (cluster(paused=False), known(report(Applied=3)), ("True", "Applied"), (3, 3, 0)),
        (cluster(), known(None, channel=False), ("Unknown", "NotSupported"), (9, 0, 0)),
        (cluster(), known(report(Applied=3), channel=False), ("Unknown", "NotSupported"), (3, 3, 0)),
        (cluster(), known(report(Applied=3), channel=None), ("True", "Applied"), (3, 3, 0)),
    ],
)  # fmt: skip
def test_what_it_says(document: dict[str, Any], state: MemberView, verdict: Any, figures: Any) -> None:
    after = applied.observed(document, state, NOW)
    found = condition_of(after, DESIRED_APPLIED)
    assert (found.status, found.reason) == verdict
    assert after["status"]["desired"] == dict(zip(("entries", "applied", "problems"), figures, strict=True))
    assert applied.observed(after, state, Now(200.0, 1_800_000_000.0)) is after
    assert DESIRED_APPLIED not in repr(document)


def test_problems_are_named_by_state_the_most_first_without_what_a_member_says() -> None:
    after = applied.observed(cluster(), known(report(Failed=1, Conflict=2)), NOW)
    said = condition_of(after, DESIRED_APPLIED).message
    assert said == "entries are not in place: 2 Conflict, 1 Failed"


def test_figures_stay_while_something_is_applied() -> None:
    before = applied.observed(cluster(), known(report(Applied=3, Failed=1)), NOW)
    after = applied.observed(before, known(report(Applied=3), last=9), NOW)
    assert after["status"]["desired"] == {"entries": 9, "applied": 3, "problems": 1}


@pytest.mark.parametrize("state", [None, known(None, channel=None)])
def test_what_is_not_known_is_not_said(state: MemberView | None) -> None:
    document = cluster()
    assert applied.observed(document, state, NOW) is document


def beats(*desired: Progress | None) -> MemberAgents:
    """A member whose agents were heard just now."""
    member = MemberAgents(object="o", uid="u", since=Now(0.0, 0.0))
    for number, progress in enumerate(desired):
        beat = Heartbeat(agent=f"U{number}", epoch="1", version="1", desired=progress)
        member.agents[beat.agent, beat.epoch] = Agent(beat, NOW.mono, NOW.wall)
    return member


def test_an_agent_has_a_channel_when_it_says_so_and_none_when_it_is_silent_for_long() -> None:
    progress = Progress(epoch="e", applied=1)
    assert applied.channel(beats(None, progress), 1.0, NOW) == (True, None)
    assert applied.channel(beats(), 3.0, NOW) == (None, 3.0)
    assert applied.channel(beats(None), None, NOW) == (None, NOW.mono)
    assert applied.channel(beats(None), NOW.mono - applied.MUTE_S, NOW) == (False, NOW.mono - applied.MUTE_S)


def test_reports_are_summed_over_owners() -> None:
    counts = {"tenancy": {"Applied": 2, "Failed": 0}, "registry": {"Applied": 1}}
    summed = Reported.of(msgspec.structs.replace(Report(epoch="e", applied=1), counts=counts))
    assert summed.states == (("Applied", 3),)
