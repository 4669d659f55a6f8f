"""Rules of join tokens, pure: what a token may be for, who may use it, and what each refusal says."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.registry import clusters, tokens
from skerry.api.messages import JoinRequest
from skerry.errors import Forbidden, Invalid, Unauthorized

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER = "UKEY", "UOTHER"


def request(**changes: Any) -> JoinRequest:
    fields: dict[str, Any] = {
        "nkey": KEY,
        "name": "m1",
        "cluster_uid": "u1",
        "kubernetes_version": "v1.36.3",
        "agent_version": "0.1.0",
    }
    return JoinRequest(**(fields | changes))


def admitted(metadata: dict[str, Any] | None = None, **spec: Any) -> tokens.NewToken:
    """A token for m1, unless `spec` says otherwise."""
    spec = spec if "pattern" in spec else {"clusterName": "m1", **spec}
    document = {"apiVersion": "skerry.dev/v1alpha1", "kind": "JoinToken", "metadata": metadata or {}, "spec": spec}
    return tokens.admit_token(document, uuid.uuid4(), NOW)


def check(token: dict[str, Any], asked: JoinRequest, now: datetime = NOW) -> None:
    uid = tokens.parse_jti(tokens.jti_of(token))[1]
    tokens.check_token(token, uid, asked, now.timestamp())


def used(token: dict[str, Any], asked: JoinRequest, now: datetime = NOW) -> dict[str, Any]:
    """The token after this join."""
    check(token, asked, now)
    bound = tokens.bind_token(token, asked, now)
    assert bound is not None
    return bound


class TestMaking:
    def test_what_is_not_said_has_its_default(self) -> None:
        document = admitted().document
        assert document["spec"] == {"clusterName": "m1", "ttl": "1h"}
        assert document["status"] == {"expires": "2026-01-01T01:00:00Z", "used": False, "uses": 0}
        assert document["metadata"]["finalizers"] == [clusters.FINALIZER]

    @pytest.mark.parametrize(
        ("spec", "begins"),
        [({"clusterName": "m1"}, "m1-"), ({"pattern": "edge-*"}, "edge-"), ({"pattern": "*-x"}, "x-")],
    )
    def test_one_without_a_name_is_called_after_its_purpose(self, spec: dict[str, Any], begins: str) -> None:
        assert admitted(**spec).document["metadata"]["name"].startswith(begins)

    def test_everything_that_a_token_can_say(self) -> None:
        labels = {"site": "north"}
        made = admitted(pattern="edge-*", uses=50, ttl="12h", labels=labels)
        assert (made.spec.pattern, tokens.uses_of(made.spec), made.spec.labels) == ("edge-*", 50, labels)
        assert made.expires == (NOW + timedelta(hours=12)).timestamp()
        assert admitted(clusterUID="u1", ttl="1m").spec.cluster_uid == "u1"

    @pytest.mark.parametrize(
        ("spec", "field", "says"),
        [
            ({"clusterName": ""}, "spec.clusterName", "or spec.pattern for several"),
            ({"clusterName": "host"}, "spec.clusterName", "belongs to the host itself"),
            ({"clusterName": "A.b"}, "spec.clusterName", "DNS label"),
            ({"uses": 2}, "spec.uses", "works once"),
            ({"pattern": "*"}, "spec.pattern", "matches every name"),
            ({"pattern": "**"}, "spec.pattern", "matches every name"),
            ({"pattern": "h*"}, "spec.pattern", "matches host, the host's own name: narrow it, for example h-*"),
            ({"pattern": "*st"}, "spec.pattern", "the host's own name"),
            ({"pattern": "ho*st"}, "spec.pattern", "the host's own name"),
            ({"pattern": "edge"}, "spec.pattern", "one name"),
            ({"pattern": "-edge*"}, "spec.pattern", "no - at either end"),
            ({"pattern": "Edge-*"}, "spec.pattern", "a-z"),
            ({"pattern": "edge-?"}, "spec.pattern", "a-z"),
            ({"pattern": "edge-*" + "x" * 60}, "spec.pattern", "63"),
            ({"pattern": "edge-*", "clusterName": "m1"}, "spec.pattern", "not both"),
            ({"pattern": "edge-*", "uses": 0}, "spec.uses", "between 1 and 1000"),
            ({"pattern": "edge-*", "uses": 1001}, "spec.uses", "between 1 and 1000"),
            ({"pattern": "edge-*", "replica": True}, "spec.replica", "names its cluster"),
            ({"pattern": "edge-*", "uses": 2, "clusterUID": "u"}, "spec.clusterUID", "joins once"),
            ({"clusterUID": "a\nb"}, "spec.clusterUID", "kube-system"),
            ({"clusterUID": "u" * 129}, "spec.clusterUID", "kube-system"),
            ({"replica": True, "labels": {"a": "b"}}, "spec.labels", "label that"),
            ({"labels": {"-": "b"}}, "spec.labels", "name part"),
            ({"labels": {"a": "b c"}}, "spec.labels", "valid label"),
            ({"ttl": "25h"}, "spec.ttl", "between 1s and 24h"),
            ({"ttl": "soon"}, "spec.ttl", "a duration"),
        ],
    )
    def test_what_cannot_be_is_refused_by_field(self, spec: dict[str, Any], field: str, says: str) -> None:
        with pytest.raises(Invalid) as caught:
            admitted(**spec)
        assert [each.field for each in caught.value.details.causes] == [field]
        assert says in caught.value.message

    @pytest.mark.parametrize("metadata", [{"finalizers": ["a/b"]}, {"name": "a.b"}])
    def test_metadata_that_a_token_cannot_have(self, metadata: dict[str, Any]) -> None:
        with pytest.raises(Invalid, match="metadata"):
            admitted(metadata)


class TestFinding:
    def test_a_jti_finds_its_token_and_no_later_one_of_that_name(self) -> None:
        first, second = admitted().document, admitted({"name": "m1"}).document
        uid = tokens.parse_jti(tokens.jti_of(first))[1]
        assert tokens.check_token(first, uid, request(), NOW.timestamp()) is first
        for token in (second, None, {**first, "metadata": {**first["metadata"], "deletionTimestamp": "t"}}):
            with pytest.raises(Unauthorized, match="does not know the join token"):
                tokens.check_token(token, uid, request(), NOW.timestamp())

    @pytest.mark.parametrize("jti", ["", "x", "_", "a.b_1", "*_1", "_1"])
    def test_rubbish_is_no_jti(self, jti: str) -> None:
        assert tokens.parse_jti(jti)[0] == ""


class TestUsing:
    def test_the_last_second_counts(self) -> None:
        token = admitted(ttl="1h").document
        check(token, request(), NOW + timedelta(seconds=3599))
        with pytest.raises(Unauthorized, match="expired at 2026-01-01T01:00:00Z by the host's clock"):
            check(token, request(), NOW + timedelta(seconds=3600))

    def test_a_token_for_one_name_is_its_first_keys_alone(self) -> None:
        token = used(admitted().document, request())
        status = token["status"]
        assert (status["used"], status["uses"], status["usedBy"], status["made"]) == (True, 1, KEY, ["m1"])
        check(token, request())
        assert tokens.bind_token(token, request(), NOW) is None
        with pytest.raises(Forbidden, match=r"used already, by another agent \(key UKEY\)"):
            check(token, request(nkey=OTHER))

    def test_a_token_that_was_used_before_each_agent_was_written_down_is_still_its_keys(self) -> None:
        token = admitted().document
        token = {**token, "status": {**token["status"], "used": True, "usedBy": KEY}}
        check(token, request())
        assert tokens.bound_at(token, KEY) == 0
        with pytest.raises(Forbidden, match="used already"):
            check(token, request(nkey=OTHER))

    def test_a_token_for_a_pattern_works_as_often_as_it_says(self) -> None:
        token = admitted(pattern="edge-*", uses=2).document
        token = used(token, request(name="edge-1"))
        assert (token["status"]["used"], token["status"]["uses"]) == (False, 1)
        token = used(token, request(name="edge-7", nkey=OTHER))
        assert (token["status"]["used"], token["status"]["made"]) == (True, ["edge-1", "edge-7"])
        check(token, request(name="edge-1"))
        with pytest.raises(Forbidden, match=r"'edge-\*' is exhausted: 2 agents joined with it; make a new one"):
            check(token, request(name="edge-9", nkey="UTHIRD"))

    def test_an_agent_makes_one_cluster_with_a_token(self) -> None:
        token = used(admitted(pattern="edge-*", uses=50).document, request(name="edge-1"))
        with pytest.raises(Forbidden, match="joined as 'edge-1' with this token: use --name edge-1"):
            check(token, request(name="edge-2"))

    def test_a_replica_makes_no_cluster(self) -> None:
        assert "made" not in used(admitted(replica=True).document, request())["status"]

    @pytest.mark.parametrize(
        ("spec", "asked", "says"),
        [
            ({}, {"name": "m2"}, "for a cluster named 'm1', not 'm2': use --name m1"),
            ({"pattern": "edge-*"}, {"name": "m1"}, r"named 'edge-\*', which 'm1' is not: use another --name"),
            ({"pattern": "edge-*"}, {"name": "edge-"}, "is not"),
            ({"pattern": "edge-*"}, {"name": "edge-*"}, "is not"),
            ({"clusterUID": "u2"}, {}, "kube-system UID u2, this one has u1"),
        ],
    )
    def test_what_it_is_not_for_is_refused(self, spec: dict[str, Any], asked: dict[str, str], says: str) -> None:
        with pytest.raises(Forbidden, match=says):
            check(admitted(**spec).document, request(**asked))

    def test_no_token_makes_a_host_whatever_is_stored(self) -> None:
        token = admitted(pattern="edge-*").document
        token["spec"]["pattern"] = "h*"
        with pytest.raises(Forbidden, match="belongs to the host itself"):
            check(token, request(name="host"))

    def test_an_agent_that_was_removed_since_does_not_come_back_with_its_token(self) -> None:
        token = used(admitted(ttl="24h").document, request(), NOW)
        bound = tokens.bound_at(token, KEY)
        assert bound == NOW.timestamp()
        assert tokens.bound_at(token, OTHER) is None
        tokens.check_repeat("m1", bound, bound - 1)
        with pytest.raises(Unauthorized, match="was removed since this agent joined with this token: make a new one"):
            tokens.check_repeat("m1", bound, bound + 1)
