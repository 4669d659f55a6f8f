"""Conditions that follow from a status, for agent and direct members alike."""

from __future__ import annotations

from typing import Any

import pytest

import skerry
from services.registry.conditions import LOOK_S, derived, due
from services.registry.model import TAKEN_OVER, Now, at
from services.registry.verdicts import DAY_S
from skerry.api.conditions import CERTIFICATE_VALID, CREDENTIALS_VALID, JOINED, VERSION_SUPPORTED, condition_of

NOW = Now(100.0, 1_800_000_000.0)
MONTH_S = 30 * DAY_S


def cluster(
    mode: str = "agent", role: str = "member", left_s: float | None = 20 * DAY_S, **status: Any
) -> dict[str, Any]:
    credentials = {} if left_s is None else {"credentials": {"expires": at(NOW.wall + left_s)}}
    fields = {"kubernetesVersion": "v1.36.3", "agent": {"version": skerry.__version__}, **credentials, **status}
    return {"metadata": {"name": "m"}, "spec": {"role": role, "connection": {"mode": mode}}, "status": fields}


def reasons(document: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in document["status"].get("conditions", [])}


def test_a_member_with_an_agent_has_all_of_them() -> None:
    assert reasons(derived(cluster(), NOW, MONTH_S)) == {
        VERSION_SUPPORTED: "Supported",
        CERTIFICATE_VALID: "NoCertificate",
        CREDENTIALS_VALID: "Valid",
    }


def test_of_a_direct_member_the_prober_says_what_becomes_of_its_credential() -> None:
    assert reasons(derived(cluster("direct"), NOW, MONTH_S)) == {VERSION_SUPPORTED: "Supported"}


def test_what_stands_there_is_not_written_again_and_nothing_is_said_of_the_host() -> None:
    once = derived(cluster(), NOW, MONTH_S)
    assert derived(once, Now(900.0, NOW.wall + 800), MONTH_S) is once
    host = cluster("none", role="host")
    assert derived(host, NOW, MONTH_S) is host


def test_an_agent_that_is_away_past_its_credential_is_told_of_by_time_alone() -> None:
    document = derived(cluster(left_s=60.0), NOW, MONTH_S)
    assert due(document, NOW, MONTH_S) == pytest.approx(60.0, abs=1.0)
    later = derived(document, Now(200.0, NOW.wall + 61), MONTH_S)
    assert condition_of(later, CREDENTIALS_VALID)[:2] == ("False", "Expired")
    assert due(later, Now(200.0, NOW.wall + 61), MONTH_S) is None


def test_far_moments_are_looked_at_each_hour_for_clocks_are_set() -> None:
    assert due(cluster(), NOW, MONTH_S) == LOOK_S
    assert due(cluster(left_s=None), NOW, MONTH_S) is None
    assert due(cluster("direct"), NOW, MONTH_S) is None
    assert due(cluster(credentials={"expires": "soon"}), NOW, MONTH_S) is None
    assert CREDENTIALS_VALID not in reasons(derived(cluster(left_s=None), NOW, MONTH_S))


READY = {"type": "Ready", "status": "True", "reason": "AgentReady", "message": "well"}
TAKEN = {"type": "Ready", "status": "False", "reason": TAKEN_OVER, "message": "host b has it"}


@pytest.mark.parametrize(("mode", "reason"), [("agent", "AgentJoined"), ("direct", "DirectJoined")])
def test_a_member_that_another_host_took_over_is_joined_again_once_it_is_taken_back(mode: str, reason: str) -> None:
    taken = derived(cluster(mode, conditions=[TAKEN]), NOW, MONTH_S)
    assert condition_of(taken, JOINED)[:3] == ("False", TAKEN_OVER, "host b has it")
    others = [each for each in taken["status"]["conditions"] if each["type"] != "Ready"]
    away = derived(cluster(mode, conditions=[{**READY, "status": "Unknown"}, *others]), NOW, MONTH_S)
    assert condition_of(away, JOINED).reason == TAKEN_OVER
    back = derived(cluster(mode, conditions=[READY, *others]), NOW, MONTH_S)
    assert condition_of(back, JOINED)[:2] == ("True", reason)
