"""What people are told about Clusters and join tokens: from documents before and after."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from skerry.api.kinds import JOIN_TOKEN, Occurrence
from skerry.api.kinds.happenings import describe_cluster, describe_join_token
from skerry.api.meta import Document


def member(ready: str, reason: str = "", message: str = "", **metadata: Any) -> Document:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    spec = {"role": "member", "connection": {"mode": "agent"}}
    return {"metadata": {"name": "m1", **metadata}, "spec": spec, "status": {"conditions": [condition]}}


def reasons(old: Document, new: Document) -> list[str]:
    return [each.reason for each in describe_cluster(old, new)]


def test_a_new_member_has_joined() -> None:
    assert reasons({}, member("Unknown", "Joined")) == ["Joined"]
    assert reasons({}, member("True")) == ["Joined", "Ready"]


def test_readiness_is_told_when_it_changes() -> None:
    assert reasons(member("Unknown"), member("True")) == ["Ready"]
    assert reasons(member("True"), member("True", message="another")) == []
    lost = list(describe_cluster(member("True"), member("False", "AgentSilent", "no heartbeat for 40 s")))
    assert lost == [Occurrence("NotReady", "AgentSilent: no heartbeat for 40 s", warning=True)]
    assert reasons(member("False"), member("Unknown")) == []


def test_removal_is_told_when_it_begins_and_ends() -> None:
    leaving = member("True", deletionTimestamp="2026-01-01T00:00:00Z")
    assert reasons(member("True"), leaving) == ["Removing"]
    assert reasons(leaving, leaving) == []
    assert reasons(leaving, {}) == ["Removed"]


def test_another_ceiling_is_told_with_the_one_before() -> None:
    def limited(**ceiling: Any) -> Document:
        document = member("True")
        return {**document, "status": {**document["status"], "ceiling": ceiling}}

    open_, sealed = limited(), limited(readOnly=True, desired="Access", namespaces=["a", "b"])
    (told,) = describe_cluster(open_, sealed)
    assert told == Occurrence(
        "CeilingChanged", "its own administrator set its ceiling: read-only, namespaces a b (before: open)"
    )
    assert reasons(sealed, limited(noExec=True)) == ["CeilingChanged"]
    assert reasons(member("True"), sealed) == [], "what was not known before did not change"
    assert reasons(open_, limited(readOnly=False, noExec=False, namespaces=[], desired="All", later=1)) == []
    assert reasons(limited(desired="Other"), limited(desired="Other")) == []


def test_who_had_keys_replaced_and_whom_somebody_revoked_is_told_once() -> None:
    def keyed(**credentials: Any) -> Document:
        document = member("True")
        return {**document, "status": {**document["status"], "credentials": credentials}}

    asked = keyed(rekey={"requested": "t1", "by": "jane", "pending": ["UA"]})
    (told,) = describe_cluster(keyed(), asked)
    assert told == Occurrence("RekeyRequested", "jane has its agents get other keys")
    half = keyed(rekey={"requested": "t1", "by": "jane", "pending": [], "replaced": [{"key": "UA", "by": "UB"}]})
    assert reasons(asked, half) == []
    assert reasons(half, keyed()) == ["Rekeyed"]
    (told,) = describe_cluster(asked, keyed(rekey={"requested": "t2", "by": "jo", "atOnce": True, "pending": ["UA"]}))
    assert told.message == "jo has its agents get other keys, and connections with those of now are cut"
    assert reasons(keyed(), keyed(rekey={"requested": "t1", "replaced": [{"key": "UA"}]})) == ["AgentRekeyed"]
    revoked = keyed(revoked={"key": "UABCDEFGHIJKL", "by": "jane", "at": "t1"})
    (told,) = describe_cluster(keyed(), revoked)
    assert told == Occurrence("AgentRevoked", "jane revoked agent UABCDEFGHI: it is cut and stays out", warning=True)
    assert reasons(revoked, {**revoked, "metadata": {"name": "m1", "labels": {}}}) == []


@pytest.mark.parametrize(
    ("kind", "reason", "event", "recovered"),
    [
        ("ClockSynced", "Behind", "ClockBehind", "ClockSynced"),
        ("ClockSynced", "Ahead", "ClockAhead", "ClockSynced"),
        ("VersionSupported", "KubernetesTooOld", "KubernetesTooOld", "VersionSupported"),
        ("VersionSupported", "AgentTooNew", "AgentTooNew", "VersionSupported"),
        ("CertificateValid", "Expired", "CertificateExpired", "CertificateValid"),
        ("CredentialsValid", "Expired", "CredentialsExpired", "CredentialsValid"),
    ],
)
def test_trouble_with_a_condition_is_told_and_its_end(kind: str, reason: str, event: str, recovered: str) -> None:
    def with_(status: str, reason: str) -> Document:
        document = member("True")
        new = {"type": kind, "status": status, "reason": reason, "message": "m"}
        return {**document, "status": {**document["status"], "conditions": [*document["status"]["conditions"], new]}}

    assert reasons(member("True"), with_("True", "Fine")) == []
    (told,) = describe_cluster(with_("True", "Fine"), with_("False", reason))
    assert told == Occurrence(event, "m", warning=True)
    assert reasons(with_("False", reason), with_("False", reason)) == []
    assert list(describe_cluster(with_("False", reason), with_("True", "Fine"))) == [Occurrence(recovered, "m")]


def test_flapping_is_told_when_it_begins_and_ends() -> None:
    def flapping(status: str, reason: str) -> Document:
        document = member("True")
        new = {"type": "Flapping", "status": status, "reason": reason, "message": "m"}
        return {**document, "status": {**document["status"], "conditions": [*document["status"]["conditions"], new]}}

    assert reasons(member("True"), flapping("True", "ReadyChanges")) == ["Flapping"]
    assert reasons(flapping("True", "ReadyChanges"), flapping("False", "Stable")) == ["Stable"]


def test_a_join_token_tells_each_use() -> None:
    spec = {"pattern": "edge-*", "uses": 3}
    first, second = [{"key": key, "name": name, "at": "t"} for key, name in (("U1", "edge-1"), ("U2", "edge-2"))]
    states: list[Document] = [
        {"spec": spec, "status": {"used": False, **status}}
        for status in ({}, {"agents": [first]}, {"agents": [first, second]})
    ]
    told = [[each.message for each in describe_join_token(*pair)] for pair in pairwise(states)]
    assert told == [["cluster edge-1 joined with it"], ["cluster edge-2 joined with it"]]
    assert list(describe_join_token({}, states[2])) == []
    assert list(describe_join_token(states[2], {})) == []


@pytest.mark.parametrize(
    ("spec", "status", "cells"),
    [
        ({"clusterName": "m1"}, {}, ["m1", "0/1"]),
        ({"clusterName": "m1"}, {"used": True}, ["m1", "1/1"]),
        ({"pattern": "edge-*", "uses": 50}, {"uses": 2, "made": ["edge-1", "edge-7"]}, ["edge-*", "2/50"]),
    ],
)
def test_a_row_of_a_join_token_says_for_whom_it_is_and_how_often_it_was_used(
    spec: Document, status: Document, cells: list[str]
) -> None:
    token = {"metadata": {"name": "t"}, "spec": spec, "status": status}
    columns = {column.name: column for column in JOIN_TOKEN.columns}
    shown = [columns[name].read(token) for name in ("Cluster", "Uses")]
    assert shown == cells
