"""What a preflight found, as a document."""

from __future__ import annotations

import pytest

from skerry.checks.preflightreport import MissingReplica, PlacedReplica, PreflightCheck, Verdict, report
from skerry.demand import amounts
from skerry.installation import installation
from skerry.placement import Missing, Placed, Places


def test_replicas_are_numbered_those_with_a_place_first() -> None:
    places = Places(
        "none",
        [Placed("skerry-controller-manager", "a"), Placed("skerry-tower", "a")],
        [Missing("skerry-controller-manager", "b", amounts({"cpu": "30m"})), Missing("skerry-nats", "", {})],
    )
    document = report(installation("host", {}), [], places)
    controller, tower, nats = document.workloads
    assert controller.placed == [PlacedReplica(replica=0, node="a")]
    assert controller.missing == [MissingReplica(replica=1, node="b", cpu="30m", memory="0")]
    assert (tower.placed, tower.missing) == ([PlacedReplica(replica=0, node="a")], [])
    assert nats.missing == [MissingReplica(replica=0, node="", cpu="0", memory="0")]
    assert tower.requests == {"cpu": "100m", "memory": "128Mi"}


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ([], "pass"),
        (["pass", "warn"], "warn"),
        (["warn", "unknown", "pass"], "unknown"),
        (["unknown", "fail", "warn"], "fail"),
    ],
)
def test_the_worst_is_the_verdict(states: list[Verdict], verdict: str) -> None:
    checks = [PreflightCheck(name="x", state=state, message="") for state in states]
    assert report(installation("agent", {}), checks, Places("certain", [], [])).verdict == verdict
