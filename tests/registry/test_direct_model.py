"""What the prober saw, as conditions; and when a credential ends."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import msgspec
import pytest

from services.registry import direct
from services.registry.direct import JoinFacts, ProbeResult, ProbeState
from services.registry.model import Now
from skerry.api.conditions import condition_of
from skerry.api.kinds.happenings import describe_cluster
from skerry.api.messages import Inventory
from skerry.http import certificates
from skerry.identity import x509
from skerry.member.kubeconfig import Target, Tls

NOW = Now(100.0, 1_800_000_000.0)
DAY = 86400.0
CERTIFICATE = x509.create_ca("near").certificate


def cluster(expires: float | None = None) -> dict[str, Any]:
    return direct.member("near", "object-uid", JoinFacts("cluster-uid", "v1.36.3"), expires, NOW)


def after(outcome: ProbeResult, expires: float | None = None, *, later_s: float = 0.0) -> dict[str, Any]:
    return direct.observed(cluster(expires), outcome, expires, Now(NOW.mono + later_s, NOW.wall + later_s))


def verdict(document: dict[str, Any], kind: str) -> tuple[str, str]:
    found = condition_of(document, kind)
    return found.status, found.reason


def test_a_member_that_joins_is_ready_because_it_was_looked_at() -> None:
    document = cluster()
    kinds = ("Joined", "Reachable", "Ready", "CredentialsValid")
    assert [verdict(document, kind)[0] for kind in kinds] == ["True"] * 4
    assert document["spec"] == {"role": "member", "connection": {"mode": "direct"}}
    assert direct.revision_of(document) == 1


def test_an_unchanged_state_is_an_unchanged_document() -> None:
    assert after(ProbeResult(ProbeState.READY, rtt_ms=3.2), later_s=1000) == cluster()


@pytest.mark.parametrize(
    ("outcome", "reachable", "ready"),
    [
        (ProbeResult(ProbeState.UNREACHABLE, "refused"), ("False", "Unreachable"), ("False", "Unreachable")),
        (ProbeResult(ProbeState.UNREADY, "etcd"), ("True", "Answers"), ("False", "APIServerNotReady")),
        (ProbeResult(ProbeState.WRONG, "another"), ("True", "Answers"), ("False", "WrongCluster")),
        (ProbeResult(ProbeState.REFUSED, "401"), ("True", "Answers"), ("False", "Refused")),
    ],
)
def test_each_trouble_has_its_own_reason(
    outcome: ProbeResult, reachable: tuple[str, str], ready: tuple[str, str]
) -> None:
    document = after(outcome)
    assert verdict(document, "Reachable") == reachable
    assert verdict(document, "Ready") == ready


def test_missing_rights_are_not_ready_and_say_how_to_give_them_back() -> None:
    document = after(ProbeResult(ProbeState.READY, missing="kubectl create clusterrolebinding"))
    assert verdict(document, "Ready") == verdict(document, "RightsComplete") == ("False", "RightsMissing")
    assert condition_of(document, "Ready").message == "kubectl create clusterrolebinding"
    assert [(news.reason, news.warning) for news in describe_cluster(cluster(), document)] == [
        ("RightsMissing", True),
        ("NotReady", True),
    ]


def test_what_was_repaired_is_an_event_once() -> None:
    document = after(ProbeResult(ProbeState.READY, repaired="ClusterRoleBinding skerry:view was missing"))
    assert verdict(document, "RightsComplete") == ("True", "Repaired")
    assert [news.message for news in describe_cluster(cluster(), document)] == [
        "ClusterRoleBinding skerry:view was missing"
    ]
    assert list(describe_cluster(document, document)) == []


def test_the_transition_time_moves_with_the_status_alone() -> None:
    down = after(ProbeResult(ProbeState.UNREACHABLE, "one"), later_s=60)
    still = direct.observed(down, ProbeResult(ProbeState.UNREACHABLE, "two"), None, Now(0.0, NOW.wall + 120))
    (before,) = [c for c in down["status"]["conditions"] if c["type"] == "Ready"]
    (now,) = [c for c in still["status"]["conditions"] if c["type"] == "Ready"]
    assert before["lastTransitionTime"] == now["lastTransitionTime"]
    assert now["message"] == "two"


def test_facts_of_the_past_stay_when_they_are_not_told() -> None:
    known = direct.observed(
        cluster(), ProbeResult(ProbeState.READY, version="v1.37.0", inventory=Inventory(nodes=3)), None, NOW
    )
    later = direct.observed(known, ProbeResult(ProbeState.UNREACHABLE, "x"), None, NOW)
    assert (later["status"]["nodes"], later["status"]["kubernetesVersion"]) == (3, "v1.37.0")


@pytest.mark.parametrize(
    ("left_s", "status", "reason", "says"),
    [
        (400 * DAY, "True", "Valid", "it ends at"),
        (29 * DAY, "True", "ExpiresSoon", "30 days"),
        (6 * DAY, "True", "ExpiresSoon", "7 days"),
        (3600.0, "True", "ExpiresSoon", "less than a day"),
        (-1.0, "False", "Expired", "skerry cluster set"),
    ],
)
def test_the_end_of_a_credential_is_told_before_it_comes(left_s: float, status: str, reason: str, says: str) -> None:
    found = direct.credentials(ProbeResult(ProbeState.READY), NOW.wall + left_s, NOW)
    assert (found.status, found.reason) == (status, reason)
    assert says in found.message


def test_a_refused_credential_that_has_ended_is_called_expired() -> None:
    document = after(ProbeResult(ProbeState.REFUSED, "401"), NOW.wall - 5)
    assert verdict(document, "Ready") == ("False", "Expired")


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ({"token": token(exp=1_900_000_000)}, 1_900_000_000),
        ({"token": token(sub="x")}, None),
        ({"token": token(exp=1e300)}, None),
        ({"token": token(exp="soon")}, None),
        ({"token": "opaque"}, None),
        ({"token": "a.b.c"}, None),
        ({"tls": Tls(certificate=CERTIFICATE, key=b"PEM")}, certificates.ends(CERTIFICATE)),
        ({"tls": Tls(certificate=CERTIFICATE, key=b"PEM"), "token": token(exp=1_820_000_000)}, 1_820_000_000),
        ({"tls": Tls(certificate=b"rubbish", key=b"PEM")}, None),
    ],
    ids=["exp", "no exp", "absurd exp", "exp of words", "opaque", "no claims", "certificate", "both", "rubbish"],
)
def test_when_a_credential_ends(target: dict[str, Any], end: float | None) -> None:
    found = Target(scheme="https", host="h", port=443, **target)
    assert direct.expires_of(found) == end


def news(before: dict[str, Any], after_: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(one.reason, one.warning) for one in describe_cluster(before, after_)]


def test_the_end_of_a_credential_is_an_event_30_7_and_1_day_before() -> None:
    expires = NOW.wall + 31 * DAY
    states = [
        direct.observed(cluster(expires), ProbeResult(ProbeState.READY), expires, Now(0.0, NOW.wall + days * DAY))
        for days in (0, 2, 3, 25, 26, 30.5, 32)
    ]
    told = [news(before, after_) for before, after_ in itertools.pairwise(states)]
    soon, ended = [("CredentialsExpireSoon", True)], [("CredentialsExpired", True)]
    assert told == [soon, [], soon, [], soon, ended]


def test_another_credential_is_an_event() -> None:
    assert news(cluster(), direct.credited(cluster(), 2, None)) == [("CredentialsReplaced", False)]


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        (ProbeState.READY, True), (ProbeState.UNREADY, True), (ProbeState.REFUSED, True),
        (ProbeState.UNREACHABLE, False), (ProbeState.WRONG, False), (ProbeState.TAKEN_OVER, False),
    ],
)  # fmt: skip
def test_nothing_is_written_to_a_cluster_that_is_not_ours_any_more(state: ProbeState, ours: bool) -> None:
    """One that another host had taken over got its bindings back, over connections of before."""
    assert direct.may_be_written_to(after(ProbeResult(state, "so"))) is ours
