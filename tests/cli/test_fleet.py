"""Members of a host, counted for `skerry status`."""

from __future__ import annotations

from typing import Any

from skerry.cli.fleet import fleet


def cluster(role: str = "member", desired: Any = None, **conditions: str) -> dict[str, Any]:
    """`conditions`: type -> `Status:Reason`."""
    listed = [
        {"type": kind, "status": text.partition(":")[0], "reason": text.partition(":")[2]}
        for kind, text in conditions.items()
    ]
    status = {"conditions": listed} | ({} if desired is None else {"desired": desired})
    return {"metadata": {"name": "m"}, "spec": {"role": role}, "status": status}


def test_members_are_counted_by_why_they_are_not_ready() -> None:
    found = fleet(
        [
            cluster("host", Ready="True:Host"),
            cluster(Ready="True:AgentConnected"),
            cluster(Ready="False:AgentStopped"),
            cluster(Ready="False:AgentStopped"),
            cluster(Ready="Unknown:AgentJoined"),
            cluster(),
        ]
    )
    assert (found.total, found.ready) == (5, 1)
    assert found.states == {"AgentJoined": 1, "AgentStopped": 2, "Unknown": 1}


def test_what_is_held_back_and_what_warns_is_counted_beside() -> None:
    member = cluster(
        Ready="True:Connected", Flapping="True:ReadyChanges", ClockSynced="False:Behind", Quarantined="False:Lifted"
    )
    member["spec"] |= {"paused": True, "unschedulable": True}
    found = fleet([member])
    assert (found.ready, found.states) == (1, {"ClockSynced=False": 1, "Cordoned": 1, "Flapping": 1, "Paused": 1})


def test_problems_of_desired_state_are_summed() -> None:
    members = [
        cluster(desired={"problems": 3}),
        cluster(desired={"problems": 0}),
        cluster(desired={"problems": 2}),
        cluster(desired={"problems": "x"}),
    ]
    assert fleet(members).desired == {"members": 2, "entries": 5}
