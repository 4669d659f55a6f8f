"""Presence, from events and two clocks to a verdict: tables, no bus."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry import clusters, model
from services.registry.model import FLOOD_BEATS, JOINED, RESTARTED, Now, Presence, Verdict
from skerry.api.messages import Heartbeat

UID = "u1"
T0 = Now(1000.0, 1_800_000_000.0)


def at(seconds: float) -> Now:
    return Now(T0.mono + seconds, T0.wall + seconds)


def beat(**changes: Any) -> Heartbeat:
    fields: dict[str, Any] = {"agent": "UA", "epoch": "1", "version": "0.1.0", "cluster_uid": UID}
    return Heartbeat(**(fields | changes))


@pytest.fixture
def presence() -> Presence:
    found = Presence()
    found.know("m1", "o1", UID, JOINED, T0, fresh=True)
    return found


def verdict(presence: Presence, seconds: float) -> Verdict:
    found = presence.judge("m1", at(seconds))
    assert found is not None
    return found


def test_a_joined_member_waits_for_its_first_heartbeat(presence: Presence) -> None:
    assert verdict(presence, 1) == JOINED


def test_a_heartbeat_makes_it_ready(presence: Presence) -> None:
    assert presence.heartbeat("m1", beat(), at(1)) == {"m1"}
    assert verdict(presence, 1).status == "True"


def test_an_unchanged_heartbeat_changes_nothing(presence: Presence) -> None:
    presence.heartbeat("m1", beat(), at(1))
    assert presence.heartbeat("m1", beat(rtt_ms=3.0), at(11)) == set()


@pytest.mark.parametrize("change", [{"version": "0.2.0"}, {"nodes": 5}, {"healthy": False}, {"expires": 7}])
def test_a_changed_fact_is_a_change(presence: Presence, change: dict[str, Any]) -> None:
    presence.heartbeat("m1", beat(), at(1))
    assert presence.heartbeat("m1", beat(**change), at(11)) == {"m1"}


@pytest.mark.parametrize(("silence", "status"), [(34.9, "True"), (35.1, "False")])
def test_35_seconds_of_silence_are_the_limit(presence: Presence, silence: float, status: str) -> None:
    presence.heartbeat("m1", beat(), at(0))
    assert verdict(presence, silence).status == status


def test_silence_says_since_when(presence: Presence) -> None:
    presence.heartbeat("m1", beat(), at(0))
    assert verdict(presence, 40) == verdict(presence, 400)
    assert model.at(T0.wall) in verdict(presence, 40).message


def test_the_last_connections_end_counts_after_two_and_a_half_seconds(presence: Presence) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.connected("m1", "s/2", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 20).status == "True"
    presence.disconnected("m1", "s/2", at(20))
    assert verdict(presence, 22.4).status == "True"
    assert verdict(presence, 22.6).reason == "AgentDisconnected"
    assert presence.tick() == {"m1"}


def test_a_reconnect_in_time_is_no_outage(presence: Presence) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    presence.connected("m1", "s/2", "UA")
    assert verdict(presence, 10).status == "True"
    assert presence.tick() == set()


def test_connections_that_nobody_saw_begin_give_more_patience() -> None:
    presence = Presence()
    presence.know("m1", "o1", UID, RESTARTED, T0)
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 6).status == "True"
    presence.heartbeat("m1", beat(), at(11))
    assert verdict(presence, 20).status == "True"


def test_a_stopped_agent_is_told_from_a_lost_one(presence: Presence) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.heartbeat("m1", beat(leaving=True), at(2))
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 2).reason == "AgentStopped"
    assert verdict(presence, 100).reason == "AgentStopped"


def test_one_of_two_agents_may_stop(presence: Presence) -> None:
    presence.heartbeat("m1", beat(agent="UA"), at(1))
    presence.heartbeat("m1", beat(agent="UB"), at(1))
    presence.heartbeat("m1", beat(agent="UA", leaving=True), at(2))
    assert verdict(presence, 3).status == "True"


def test_an_api_server_that_does_not_answer_is_not_ready_with_its_reason(presence: Presence) -> None:
    presence.heartbeat("m1", beat(healthy=False, message="connection refused"), at(1))
    assert verdict(presence, 1).reason == "APIServerUnreachable"
    assert "connection refused" in verdict(presence, 1).message


def test_an_agent_of_another_cluster_is_not_believed(presence: Presence) -> None:
    presence.heartbeat("m1", beat(cluster_uid="u2"), at(1))
    assert verdict(presence, 1).reason == "WrongCluster"


def test_after_a_restart_nothing_is_claimed_until_the_grace_has_passed() -> None:
    presence = Presence()
    presence.know("m1", "o1", UID, RESTARTED, T0)
    assert verdict(presence, 30) == RESTARTED
    assert verdict(presence, 36).reason == "HeartbeatLost"


def test_after_a_restart_a_member_that_was_away_stays_away_since_then() -> None:
    away = Verdict("False", "HeartbeatLost", "no heartbeat of its agent since 2026-01-01T00:00:00Z")
    presence = Presence()
    presence.know("m1", "o1", UID, away, T0)
    assert verdict(presence, 1) == verdict(presence, 100) == away


def test_an_own_outage_proves_nothing(presence: Presence) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(0))
    presence.blind(at(60))
    assert verdict(presence, 61).status == "True"
    assert verdict(presence, 96).status == "False"


def test_a_flood_is_counted_and_ignored(presence: Presence) -> None:
    assert [presence.admits("m1", at(1)) for _ in range(100)].count(True) == 10
    assert presence.members["m1"].floods == 90
    assert presence.admits("m1", at(2))


def test_a_flood_that_is_no_accident_is_said_once(presence: Presence) -> None:
    for _ in range(FLOOD_BEATS + 10):
        presence.admits("m1", at(1))
    assert presence.floods("m1")
    assert not presence.floods("m1")


def test_a_slow_drizzle_beyond_the_rate_is_no_flood(presence: Presence) -> None:
    for minute in range(1, 100):
        for _ in range(15):
            presence.admits("m1", at(61 * minute))
    assert not presence.floods("m1")


def test_agents_per_member_are_bounded(presence: Presence) -> None:
    for number in range(500):
        presence.heartbeat("m1", beat(agent=f"U{number}"), at(number))
    assert len(presence.members["m1"].agents) == model.MAX_AGENTS


def test_late_news_of_an_earlier_member_do_not_touch_its_successor(presence: Presence) -> None:
    presence.know("m1", "o2", UID, JOINED, at(1))
    presence.forget("m1", "o1")
    assert presence.members["m1"].object == "o2"


def test_an_end_beyond_all_calendars_is_no_end(presence: Presence) -> None:
    presence.heartbeat("m1", beat(expires=10**18), at(1))
    found = clusters.observed(document(), presence.members["m1"], verdict(presence, 1), at(1))
    assert "credentials" not in found["status"]


def test_unknown_members_leave_no_trace(presence: Presence) -> None:
    assert presence.heartbeat("nobody", beat(), at(1)) == set()
    assert presence.connected("nobody", "s/1", "UA") == set()
    presence.disconnected("nobody", "s/1", at(1))
    assert list(presence.members) == ["m1"]


def document(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "m1"}, "spec": {"role": "member"}, "status": status}


def test_the_transition_time_moves_with_the_status_alone(presence: Presence) -> None:
    presence.heartbeat("m1", beat(healthy=False, message="one"), at(1))
    first = clusters.observed(document(), presence.members["m1"], verdict(presence, 1), at(1))
    presence.heartbeat("m1", beat(healthy=False, message="two"), at(11))
    second = clusters.observed(first, presence.members["m1"], verdict(presence, 11), at(11))
    [one], [two] = first["status"]["conditions"], second["status"]["conditions"]
    assert one["message"] != two["message"]
    assert one["lastTransitionTime"] == two["lastTransitionTime"]


def test_facts_outlive_the_agent(presence: Presence) -> None:
    presence.heartbeat("m1", beat(nodes=3, kubernetes_version="v1.36.3"), at(1))
    up = clusters.observed(document(), presence.members["m1"], verdict(presence, 1), at(1))
    down = clusters.observed(up, presence.members["m1"], verdict(presence, 100), at(100))
    assert down["status"]["nodes"] == 3
    assert down["status"]["kubernetesVersion"] == "v1.36.3"
    assert down["status"]["agent"] == {"replicas": 0, "version": "0.1.0"}


def test_what_a_member_says_of_itself_is_bounded(presence: Presence) -> None:
    presence.heartbeat("m1", beat(kubernetes_version="v" * 9999, nodes=-5, message="x" * 9999, healthy=False), at(1))
    found = clusters.observed(document(), presence.members["m1"], verdict(presence, 1), at(1))
    assert len(found["status"]["kubernetesVersion"]) == 64
    assert "nodes" not in found["status"]
    assert len(found["status"]["conditions"][0]["message"]) < 700
