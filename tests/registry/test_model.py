"""Presence, from events and two clocks to a verdict: tables, no bus."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.registry import clusters, model, verdicts
from services.registry.model import JOINED, LOST_S, SUSPECT_S, Connected, Now, PresenceStatus, PresenceTable
from skerry import heartbeats
from skerry.api.conditions import Verdict
from skerry.api.messages import Heartbeat
from skerry.api.v1alpha1 import Ceiling
from skerry.identity.natsconf import PING_MAX, PING_S

UID = "u1"
T0 = Now(1000.0, 1_800_000_000.0)


def at(seconds: float) -> Now:
    return Now(T0.mono + seconds, T0.wall + seconds)


def beat(**changes: Any) -> Heartbeat:
    fields: dict[str, Any] = {"agent": "UA", "epoch": "1", "version": "0.1.0", "cluster_uid": UID}
    return Heartbeat(**(fields | changes))


@pytest.fixture
def presence() -> PresenceTable:
    found = PresenceTable()
    found.know("m1", "o1", UID, T0, fresh=True)
    return found


READY = Verdict("True", "AgentConnected", "its agent is connected and its API server answers")
AWAY = Verdict("False", "HeartbeatLost", "no heartbeat of its agent since 2026-01-01T00:00:00Z")


def standing(presence: PresenceTable, seconds: float, stored: PresenceStatus) -> PresenceStatus:
    return presence.judge("m1", stored, at(seconds))


def verdict(presence: PresenceTable, seconds: float, stored: Verdict = JOINED) -> Verdict:
    return standing(presence, seconds, PresenceStatus(stored, 0)).ready


def restarted(*, heard: float = 0.0) -> PresenceTable:
    """A process that began to hear at `heard`, and knew nothing before."""
    found = PresenceTable()
    found.know("m1", "o1", UID, T0)
    found.listen(at(heard))
    return found


def test_a_joined_member_waits_for_its_first_heartbeat(presence: PresenceTable) -> None:
    assert verdict(presence, 1) == JOINED


def test_a_heartbeat_makes_it_ready(presence: PresenceTable) -> None:
    assert presence.heartbeat("m1", beat(), at(1)) == {"m1"}
    assert verdict(presence, 1).status == "True"


def test_an_unchanged_heartbeat_changes_nothing(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(), at(1))
    assert presence.heartbeat("m1", beat(rtt_ms=3.0), at(11)) == set()


@pytest.mark.parametrize(
    "change",
    [{"version": "0.2.0"}, {"nodes": 5}, {"healthy": False}, {"expires": 7}, {"missing": "x"}, {"repaired": "x"}],
)
def test_a_changed_fact_is_a_change(presence: PresenceTable, change: dict[str, Any]) -> None:
    presence.heartbeat("m1", beat(), at(1))
    assert presence.heartbeat("m1", beat(**change), at(11)) == {"m1"}


@pytest.mark.parametrize(("silence", "status"), [(34.9, "True"), (35.1, "False")])
def test_35_seconds_of_silence_are_the_limit(presence: PresenceTable, silence: float, status: str) -> None:
    presence.heartbeat("m1", beat(), at(0))
    assert verdict(presence, silence).status == status


def test_silence_says_since_when(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(), at(0))
    assert verdict(presence, 40) == verdict(presence, 400)
    assert model.at(T0.wall) in verdict(presence, 40).message


def test_the_last_connections_end_counts_after_two_and_a_half_seconds(presence: PresenceTable) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.connected("m1", "s/2", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 20).status == "True"
    assert presence.disconnected("m1", "s/2", at(20)) == {"m1"}
    assert model.due(presence.members["m1"], at(20)) == pytest.approx(SUSPECT_S)
    assert verdict(presence, 22.4).status == "True"
    assert verdict(presence, 22.6).reason == "AgentDisconnected"


def test_a_connection_that_falls_silent_is_called_away_within_15_s_also_if_it_had_just_said_something() -> None:
    assert (PING_MAX + 2) * PING_S + SUSPECT_S <= 15


def test_a_reconnect_in_time_is_no_outage(presence: PresenceTable) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    assert presence.connected("m1", "s/2", "UA") == {"m1"}
    assert verdict(presence, 10).status == "True"


def test_time_alone_changes_a_verdict_only_when_it_is_due(presence: PresenceTable) -> None:
    member = presence.members["m1"]
    presence.heartbeat("m1", beat(), at(1))
    presence.heartbeat("m1", beat(agent="UB"), at(11))
    assert model.due(member, at(12)) == pytest.approx(LOST_S - 12)  # since it is listened to
    assert model.due(member, at(LOST_S)) == pytest.approx(1)
    assert model.due(member, at(LOST_S + 1)) == pytest.approx(10)
    assert model.due(member, at(LOST_S + 11)) is None


def test_who_said_goodbye_is_waited_for_by_nobody(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(leaving=True), at(1))
    assert model.due(presence.members["m1"], at(LOST_S)) is None


def test_connections_that_nobody_saw_begin_give_more_patience() -> None:
    presence = restarted()
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 6).status == "True"
    presence.heartbeat("m1", beat(), at(11))
    assert verdict(presence, 20).status == "True"


def test_a_member_whose_change_came_before_its_joining_ended_is_counted_all_the_same() -> None:
    """Its Cluster is in the informer as soon as it is stored; its credential is given out later."""
    presence = PresenceTable()
    assert presence.know("m1", "o1", UID, T0)
    assert not presence.know("m1", "o1", UID, T0, fresh=True)
    presence.connected("m1", "c1", "UA")
    presence.heartbeat("m1", beat(), T0)
    presence.disconnected("m1", "c1", at(1))
    assert verdict(presence, 1 + SUSPECT_S, READY).reason == "AgentDisconnected"


def test_a_heartbeat_that_overtakes_the_word_of_its_connection_makes_nobody_patient_for_good(
    presence: PresenceTable,
) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    presence.heartbeat("m1", beat(epoch="2"), at(9))
    assert verdict(presence, 9, AWAY).status == "True"
    assert presence.connected("m1", "s/2", "UA") == set()
    presence.disconnected("m1", "s/2", at(12))
    assert verdict(presence, 12 + SUSPECT_S, READY).reason == "AgentDisconnected"


def test_who_spoke_over_a_connection_that_the_bus_never_told_of_is_waited_for(presence: PresenceTable) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.disconnected("m1", "s/1", at(2))
    presence.heartbeat("m1", beat(epoch="2"), at(9))
    presence.connected("m1", "s/2", "UB")
    presence.disconnected("m1", "s/2", at(12))
    assert verdict(presence, 12 + SUSPECT_S, READY).status == "True"


def test_a_stopped_agent_is_told_from_a_lost_one(presence: PresenceTable) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(1))
    presence.heartbeat("m1", beat(leaving=True), at(2))
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 2).reason == "AgentStopped"
    assert verdict(presence, 100).reason == "AgentStopped"


def test_one_of_two_agents_may_stop(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(agent="UA"), at(1))
    presence.heartbeat("m1", beat(agent="UB"), at(1))
    presence.heartbeat("m1", beat(agent="UA", leaving=True), at(2))
    assert verdict(presence, 3).status == "True"


def test_an_api_server_that_does_not_answer_is_not_ready_with_its_reason(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(healthy=False, message="connection refused"), at(1))
    assert verdict(presence, 1).reason == "APIServerUnreachable"
    assert "connection refused" in verdict(presence, 1).message


def test_an_agent_of_another_cluster_is_not_believed(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(cluster_uid="u2"), at(1))
    assert verdict(presence, 1).reason == "WrongCluster"


def test_another_cluster_is_told_in_the_agents_own_words(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(cluster_uid="u2", healthy=False, message="u2 is another cluster"), at(1))
    assert verdict(presence, 1) == Verdict("False", "WrongCluster", "u2 is another cluster")


def test_missing_rights_are_not_ready_and_say_how_to_give_them_back(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(missing="kubectl create clusterrolebinding"), at(1))
    assert verdict(presence, 1) == Verdict("False", "RightsMissing", "kubectl create clusterrolebinding")
    presence.heartbeat("m1", beat(missing=""), at(2))
    assert verdict(presence, 2).status == "True"


def test_one_agent_that_lacks_nothing_is_enough(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(agent="UA", missing="a right"), at(1))
    presence.heartbeat("m1", beat(agent="UB", missing=""), at(1))
    assert verdict(presence, 1).status == "True"


@pytest.mark.parametrize(
    ("message", "reason"), [("a right", "RightsMissing"), ("connection refused", "APIServerUnreachable")]
)
def test_an_agent_that_cannot_even_ask_says_whether_a_right_is_why(
    presence: PresenceTable, message: str, reason: str
) -> None:
    presence.heartbeat("m1", beat(healthy=False, missing="a right", message=message), at(1))
    assert verdict(presence, 1).reason == reason


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        ({}, "", ""),
        ({"missing": ""}, "True", "Complete"),
        ({"missing": "", "repaired": "a binding"}, "True", "Repaired"),
        ({"missing": "a right"}, "False", "RightsMissing"),
    ],
)
def test_what_a_look_at_rights_found_is_a_condition_and_an_agent_that_does_not_look_has_none(
    presence: PresenceTable, told: dict[str, Any], status: str, reason: str
) -> None:
    presence.heartbeat("m1", beat(**told), at(1))
    document = clusters.observed(
        {"metadata": {}}, presence.members["m1"], standing(presence, 1, PresenceStatus(JOINED, 0)), at(1)
    )
    found = {each["type"]: each for each in document["status"]["conditions"]}.get("RightsComplete", {})
    assert (found.get("status", ""), found.get("reason", "")) == (status, reason)


@pytest.mark.parametrize("stored", [PresenceStatus(READY, 2), PresenceStatus(AWAY, 0), PresenceStatus(JOINED, 0)])
def test_after_a_restart_what_is_stored_stands_until_something_is_heard(stored: PresenceStatus) -> None:
    assert standing(restarted(), 30, stored) == stored


def test_a_member_that_is_silent_after_a_restart_is_lost_when_it_could_be_heard_for_long_enough() -> None:
    presence = restarted(heard=100)
    assert standing(presence, 100 + LOST_S - 1, PresenceStatus(READY, 1)) == PresenceStatus(READY, 1)
    assert standing(presence, 100 + LOST_S, PresenceStatus(READY, 1)).ready.reason == "HeartbeatLost"
    assert standing(presence, 100 + LOST_S, PresenceStatus(READY, 1)).replicas == 0


def test_after_a_restart_a_member_that_was_away_stays_away_since_then() -> None:
    assert verdict(restarted(), 1, AWAY) == verdict(restarted(), 100, AWAY) == AWAY


def test_after_a_restart_one_beat_of_two_agents_does_not_lose_the_other() -> None:
    presence = restarted()
    presence.heartbeat("m1", beat(agent="UA"), at(5))
    assert standing(presence, 6, PresenceStatus(READY, 2)) == PresenceStatus(READY, 2)
    presence.heartbeat("m1", beat(agent="UA"), at(15))
    presence.heartbeat("m1", beat(agent="UA"), at(25))
    assert standing(presence, LOST_S, PresenceStatus(READY, 2)) == PresenceStatus(READY, 1)


@pytest.mark.parametrize("news", [{"healthy": False}, {"leaving": True}, {"cluster_uid": "another"}])
def test_after_a_restart_one_of_two_agents_does_not_speak_for_both(news: dict[str, Any]) -> None:
    presence = restarted()
    presence.heartbeat("m1", beat(agent="UA", **news), at(5))
    assert standing(presence, 6, PresenceStatus(READY, 2)) == PresenceStatus(READY, 2)
    assert standing(presence, 6, PresenceStatus(READY, 1)).ready.status == "False"
    presence.heartbeat("m1", beat(agent="UB"), at(8))
    assert standing(presence, 9, PresenceStatus(READY, 2)).ready == READY


def test_after_a_restart_a_disconnect_is_believed_after_the_longer_patience() -> None:
    presence = restarted()
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 13, READY) == READY
    assert verdict(presence, 15, READY).reason == "AgentDisconnected"


def test_who_was_told_all_connections_needs_no_longer_patience_after_a_restart() -> None:
    presence = restarted()
    assert presence.listed(1, [Connected("m1", "s/1", "UA"), Connected("other", "s/2", "UB")], 64) == set()
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 2 + SUSPECT_S - 0.1, READY) == READY
    assert verdict(presence, 2 + SUSPECT_S, READY).reason == "AgentDisconnected"


def test_a_connection_that_the_bus_tells_of_keeps_a_member_when_another_ends() -> None:
    presence = restarted()
    presence.disconnected("m1", "s/1", at(1))
    assert presence.listed(1, [Connected("m1", "s/1", "UA"), Connected("m1", "s/2", "UA")], 64) == {"m1"}
    assert verdict(presence, 15, READY) == READY
    presence.disconnected("m1", "s/2", at(16))
    assert verdict(presence, 16 + SUSPECT_S, READY).reason == "AgentDisconnected"


def test_what_ended_while_the_bus_was_asked_is_no_connection() -> None:
    presence = restarted()
    presence.disconnected("m1", "s/1", at(1))
    assert presence.listed(1, [Connected("m1", "s/1", "UA")], 64) == set()
    assert presence.members["m1"].connections == {}
    assert verdict(presence, 1 + SUSPECT_S, READY).reason == "AgentDisconnected"


def test_after_more_ends_than_the_pages_overlap_the_bus_is_asked_again() -> None:
    presence = restarted()
    for number in range(65):
        presence.disconnected("other", f"s/{100 + number}", at(1))
    assert presence.listed(1, [Connected("m1", "s/1", "UA")], 64) is None
    presence.disconnected("m1", "s/1", at(2))
    assert verdict(presence, 2 + SUSPECT_S, READY) == READY
    assert presence.listed(1, [], 64) == set()
    assert verdict(presence, 2 + SUSPECT_S, READY).reason == "AgentDisconnected"


def test_no_connection_at_a_start_is_no_end_of_one() -> None:
    """All agents are on their way back when the bus was restarted."""
    presence = restarted()
    presence.listed(1, [], 64)
    assert verdict(presence, LOST_S - 1, READY) == READY


def test_an_answer_about_another_time_of_listening_and_a_second_one_are_void() -> None:
    presence = restarted()
    presence.listen(at(5))
    presence.listed(1, [Connected("m1", "s/1", "UA")], 64)
    assert presence.members["m1"].connections == {}
    presence.listed(2, [], 64)
    presence.listed(2, [Connected("m1", "s/1", "UA")], 64)
    assert presence.members["m1"].connections == {}


def test_all_that_is_told_of_one_member_is_bounded() -> None:
    presence = restarted()
    presence.listed(1, [Connected("m1", f"s/{number}", "UA") for number in range(1000)], 64)
    assert len(presence.members["m1"].connections) == model.MAX_AGENTS


def test_agents_that_are_told_of_and_were_not_heard_may_be_well() -> None:
    """That all connections are known does not say that all agents were heard."""
    presence = restarted()
    presence.listed(1, [Connected("m1", "s/1", "UA"), Connected("m1", "s/2", "UB")], 64)
    presence.heartbeat("m1", beat(healthy=False, message="refused"), at(1))
    assert standing(presence, 1, PresenceStatus(READY, 2)) == PresenceStatus(READY, 2)


def test_who_is_heard_after_its_last_connection_has_one_that_nobody_knows() -> None:
    presence = restarted()
    presence.listed(1, [Connected("m1", "s/1", "UA")], 64)
    presence.disconnected("m1", "s/1", at(2))
    presence.heartbeat("m1", beat(), at(4))
    presence.disconnected("m1", "s/2", at(5))
    assert verdict(presence, 5 + SUSPECT_S + 1, READY).status == "True"


def test_an_own_outage_proves_nothing(presence: PresenceTable) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(), at(0))
    presence.listen(at(60))
    assert verdict(presence, 61, READY) == READY
    assert verdict(presence, 96, READY).reason == "HeartbeatLost"
    assert model.at(T0.wall) in verdict(presence, 96, READY).message


@pytest.mark.parametrize("ending", ["silent", "disconnected", "stopped"])
def test_an_own_outage_brings_nobody_back(presence: PresenceTable, ending: str) -> None:
    presence.connected("m1", "s/1", "UA")
    presence.heartbeat("m1", beat(leaving=ending == "stopped"), at(0))
    if ending == "disconnected":
        presence.disconnected("m1", "s/1", at(1))
    before = standing(presence, 40, PresenceStatus(READY, 1))
    assert before.ready.status == "False"
    presence.listen(at(41))
    assert standing(presence, 42, before) == standing(presence, 100, before) == before
    assert presence.heartbeat("m1", beat(), at(101)) == {"m1"}
    assert standing(presence, 101, before) == PresenceStatus(READY, 1)


def test_a_restarted_agent_is_one_and_a_copy_of_its_state_is_a_second(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(epoch="1"), at(0))
    presence.heartbeat("m1", beat(epoch="2"), at(5))
    assert standing(presence, 5, PresenceStatus(READY, 1)) == PresenceStatus(READY, 1)
    presence.heartbeat("m1", beat(epoch="1"), at(10))
    assert standing(presence, 10, PresenceStatus(READY, 1)) == PresenceStatus(READY, 2)


def test_who_was_killed_and_started_again_is_believed_when_it_says_goodbye(presence: PresenceTable) -> None:
    presence.connected("m1", "s/1", "UA", "1")
    presence.heartbeat("m1", beat(epoch="1"), at(0))
    presence.disconnected("m1", "s/1", at(1))
    presence.connected("m1", "s/2", "UA", "2")
    presence.heartbeat("m1", beat(epoch="2"), at(2))
    presence.heartbeat("m1", beat(epoch="2", leaving=True), at(3))
    assert standing(presence, 3, PresenceStatus(READY, 1)).ready.reason == "AgentStopped"


@pytest.mark.parametrize("again_s", [1.5, 2.5])
def test_a_replica_that_was_cut_for_a_moment_outlives_one_that_leaves(presence: PresenceTable, again_s: float) -> None:
    """Whether it is back before or after the other one began."""
    presence.connected("m1", "s/1", "UA", "1")
    presence.heartbeat("m1", beat(epoch="1"), at(0))
    presence.disconnected("m1", "s/1", at(1 if again_s < 2 else 2.2))
    for moment in sorted((again_s, 2.0)):
        if moment == again_s:
            presence.connected("m1", "s/3", "UA", "1")
        else:
            presence.connected("m1", "s/2", "UA", "2")
            presence.heartbeat("m1", beat(epoch="2"), at(2))
    presence.heartbeat("m1", beat(epoch="2", leaving=True), at(3))
    assert standing(presence, 3, PresenceStatus(READY, 1)) == PresenceStatus(READY, 1)


def test_who_has_another_connection_has_not_vanished(presence: PresenceTable) -> None:
    for connection in ("s/1", "s/2"):
        presence.connected("m1", connection, "UA", "1")
    presence.heartbeat("m1", beat(epoch="1"), at(0))
    presence.disconnected("m1", "s/1", at(1))
    presence.heartbeat("m1", beat(epoch="2"), at(2))
    presence.heartbeat("m1", beat(epoch="2", leaving=True), at(3))
    assert standing(presence, 3, PresenceStatus(READY, 1)) == PresenceStatus(READY, 1)


@pytest.mark.parametrize("leaver", ["1", "2"])
def test_of_two_replicas_with_one_key_either_may_leave_at_any_moment(presence: PresenceTable, leaver: str) -> None:
    presence.heartbeat("m1", beat(epoch="1"), at(0))
    presence.heartbeat("m1", beat(epoch="2"), at(5))
    presence.heartbeat("m1", beat(epoch=leaver, leaving=True), at(6))
    assert standing(presence, 6, PresenceStatus(READY, 1)) == PresenceStatus(READY, 1)
    presence.heartbeat("m1", beat(epoch="1" if leaver == "2" else "2", leaving=True), at(7))
    assert standing(presence, 7, PresenceStatus(READY, 1)).ready.reason == "AgentStopped"


@pytest.mark.parametrize(
    ("ready", "status", "reason"),
    [
        (JOINED, "Unknown", "AgentJoined"),
        (READY, "True", "AgentConnected"),
        (AWAY, "False", "HeartbeatLost"),
        (Verdict("False", "APIServerUnreachable", "refused"), "True", "AgentConnected"),
        (Verdict("False", "AgentStopped", "stopped"), "False", "AgentStopped"),
    ],
)
def test_a_member_is_reachable_when_an_agent_is_there_whatever_it_says(
    ready: Verdict, status: str, reason: str
) -> None:
    assert verdicts.reachable(ready)[:2] == (status, reason)


def test_an_agent_that_is_lost_beside_another_is_no_longer_counted(presence: PresenceTable) -> None:
    for seconds in (0, 10, 20, 30, 40):
        presence.heartbeat("m1", beat(agent="UA"), at(seconds))
    presence.heartbeat("m1", beat(agent="UB"), at(0))
    assert standing(presence, 40, PresenceStatus(READY, 2)) == PresenceStatus(READY, 1)


def test_only_members_take_part_in_the_admission_of_heartbeats(presence: PresenceTable) -> None:
    assert [presence.admits("m1", at(1)) for _ in range(100)].count(True) == heartbeats.PER_S
    assert not presence.admits("nobody", at(1))
    assert presence.admission.ignored("m1") == 90
    assert not presence.floods("nobody", at(1))
    presence.forget("m1", "o1")
    assert presence.admission.ignored("m1") == 0


def test_agents_per_member_are_bounded(presence: PresenceTable) -> None:
    for number in range(500):
        presence.heartbeat("m1", beat(agent=f"U{number}"), at(number))
    assert len(presence.members["m1"].agents) == model.MAX_AGENTS


def test_late_news_of_an_earlier_member_do_not_touch_its_successor(presence: PresenceTable) -> None:
    presence.know("m1", "o2", UID, at(1))
    presence.forget("m1", "o1")
    assert presence.members["m1"].object == "o2"


def test_an_end_beyond_all_calendars_is_no_end(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(expires=10**18), at(1))
    found = observed(presence, 1, document())
    assert "credentials" not in found["status"]


def test_unknown_members_leave_no_trace(presence: PresenceTable) -> None:
    assert presence.heartbeat("nobody", beat(), at(1)) == set()
    assert presence.connected("nobody", "s/1", "UA") == set()
    presence.disconnected("nobody", "s/1", at(1))
    assert list(presence.members) == ["m1"]


def document(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "m1"}, "spec": {"role": "member"}, "status": status}


def observed(presence: PresenceTable, seconds: float, before: dict[str, Any]) -> dict[str, Any]:
    """`before` with the status that is true then."""
    found = standing(presence, seconds, clusters.presence_of(before))
    return clusters.observed(before, presence.members["m1"], found, at(seconds))


def test_the_transition_time_moves_with_the_status_alone(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(healthy=False, message="one"), at(1))
    first = observed(presence, 1, document())
    presence.heartbeat("m1", beat(healthy=False, message="two"), at(11))
    second = observed(presence, 11, first)
    one, two = first["status"]["conditions"][0], second["status"]["conditions"][0]
    assert one["message"] != two["message"]
    assert one["lastTransitionTime"] == two["lastTransitionTime"]


def test_facts_outlive_the_agent(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(nodes=3, kubernetes_version="v1.36.3"), at(1))
    up = observed(presence, 1, document())
    down = observed(presence, 100, up)
    assert down["status"]["nodes"] == 3
    assert down["status"]["kubernetesVersion"] == "v1.36.3"
    assert down["status"]["agent"] == {"replicas": 0, "version": "0.1.0"}


def test_a_limit_that_is_taken_back_is_no_longer_shown_and_what_is_not_known_here_stays(
    presence: PresenceTable,
) -> None:
    presence.heartbeat("m1", beat(ceiling=Ceiling(namespaces=["a"])), at(0))
    before = document(ceiling={"readOnly": True, "desired": "Access", "future": 1})
    assert observed(presence, 1, before)["status"]["ceiling"] == {"namespaces": ["a"], "future": 1}


def test_what_a_member_says_of_itself_is_bounded(presence: PresenceTable) -> None:
    said = beat(kubernetes_version="v" * 999, nodes=-5, message="x\n" * 999, healthy=False, version="\x1b[31m")
    presence.heartbeat("m1", heartbeats.read(msgspec.json.encode(said)), at(1))
    found = observed(presence, 1, document())["status"]
    assert found["kubernetesVersion"] == "v" * 64
    assert found["agent"]["version"] == " [31m"
    assert "nodes" not in found
    assert len(found["conditions"][0]["message"]) < 700
    assert found["conditions"][0]["message"].isprintable()


def test_a_condition_keeps_its_place_among_others(presence: PresenceTable) -> None:
    """Or a beat of a member that was quarantined once would be a write."""
    presence.heartbeat("m1", beat(), at(1))
    others = [{"type": "Joined", "status": "True"}, {"type": "Ready"}, {"type": "Reachable"}, {"type": "Quarantined"}]
    found = observed(presence, 1, document(conditions=others))
    assert [each["type"] for each in found["status"]["conditions"]] == ["Joined", "Ready", "Reachable", "Quarantined"]
    assert observed(presence, 2, found) == found


def test_facts_wait_until_all_agents_were_heard() -> None:
    presence = restarted()
    before = document(agent={"version": "2", "replicas": 2}, nodes=7)
    before["status"]["conditions"] = [
        clusters.condition("Ready", READY, T0),
        clusters.condition("Reachable", verdicts.reachable(READY), T0),
    ]
    presence.heartbeat("m1", beat(agent="UA", version="1", nodes=3), at(5))
    assert observed(presence, 6, before) == before
    presence.heartbeat("m1", beat(agent="UB", version="2", nodes=3), at(7))
    assert observed(presence, 8, before)["status"]["nodes"] == 3


def test_a_process_that_has_another_key_is_no_second_agent(presence: PresenceTable) -> None:
    presence.heartbeat("m1", beat(agent="UA"), at(1))
    presence.heartbeat("m1", beat(agent="UB", replaces="UA"), at(2))
    presence.heartbeat("m1", beat(agent="UC", epoch="2", replaces="UB"), at(3))
    assert set(presence.members["m1"].agents) == {("UB", "1"), ("UC", "2")}
    assert standing(presence, 4, PresenceStatus(READY, 1)).replicas == 2
    presence.heartbeat("m1", beat(agent="UB", replaces="UA"), at(5))
    assert len(presence.members["m1"].agents) == 2
