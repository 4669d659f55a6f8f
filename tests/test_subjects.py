"""Subjects and keys: nothing that a name holds can become a wildcard, another token or another object."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry import subjects
from skerry.errors import BadRequest

OF_MEMBER = (
    subjects.up,
    subjects.down,
    subjects.heartbeat,
    subjects.renew,
    subjects.connection,
    subjects.probe,
    subjects.quarantine,
    subjects.cut,
    lambda name: subjects.open_any(name, subjects.BULK),
    lambda name: subjects.agent_inbox(name, "agent"),
    lambda name: subjects.proxy_inbox(name, "proxy"),
)
NOT_LABELS = ("", "*", ">", "a.b", "a.>", "A", "a b", "a\n", "-a", "a-", "a" * 64, "é", "a\x00", "_")
NOT_TOKENS = ("", "*", ">", "a.b", "a b", "a\n", "a" * 129, "é", "$SYS")


@pytest.mark.parametrize("build", OF_MEMBER)
@pytest.mark.parametrize("name", NOT_LABELS)
def test_what_is_no_label_is_in_no_subject_of_a_member(build: Callable[[str], str], name: str) -> None:
    with pytest.raises(BadRequest, match="is not a DNS label"):
        build(name)


@pytest.mark.parametrize("name", ["a", "a1", "a-b", "0", "a" * 63])
def test_a_label_is_one_token_of_its_subject(name: str) -> None:
    for build in OF_MEMBER:
        assert subjects.member_of(build(name)) == name


@pytest.mark.parametrize("value", NOT_TOKENS)
def test_what_is_no_token_is_in_no_subject(value: str) -> None:
    for build in (
        subjects.join,
        lambda value: subjects.agent_inbox("m", value),
        lambda value: subjects.proxy_inbox("m", value),
        lambda value: subjects.endpoint(value, "x"),
        lambda value: subjects.write("registry", value, "create"),
        lambda value: subjects.write("registry", "clusters", value),
        lambda value: subjects.action("registry", "clusters", value, "get"),
        lambda value: subjects.event(value, "", "a", "b"),
        lambda value: subjects.event("a", "", "b", value),
    ):
        with pytest.raises(BadRequest, match="cannot be part of a subject"):
            build(value)


def test_an_event_names_its_object_as_one_token() -> None:
    assert subjects.event("cluster", "", "m1", "ready") == "event.cluster.m1.ready"
    assert subjects.event("apprelease", "team-a", "a.b >", "ready") == "event.apprelease.team-a.a=2Eb=20=3E.ready"


def test_endpoints_of_writes_and_actions_are_told_apart() -> None:
    assert subjects.write("registry", "clusters", "create") == "registry.clusters.create"
    assert subjects.action("registry", "clusters", "connection", "update") == "registry.clusters.connection-update"


def test_a_frame_is_read_as_it_was_addressed() -> None:
    there = subjects.to_agent("m", "agent", "proxy", "7")
    back = subjects.to_proxy("m", "proxy", "agent", "7")
    assert subjects.parse_frame(there) == ("m", "agent", "proxy", "7")
    assert subjects.parse_frame(back) == ("m", "proxy", "agent", "7")


@pytest.mark.parametrize(
    "subject", ["", "up.m.hb", "up.m.a.x.y.z", "down.m.s.x.y.z", "down.m.a.x.y", "down.m.a.x.y.z.q", "x.m.a.x.y.z"]
)
def test_what_is_no_frame_is_none(subject: str) -> None:
    assert subjects.parse_frame(subject) is None


@pytest.mark.parametrize(
    ("subject", "template"),
    [
        (subjects.connection("m1"), subjects.CONNECTIONS),
        (subjects.join("jti"), subjects.JOINS),
        (subjects.renew("m1"), subjects.OLD_RENEWALS),
        (subjects.renewal("m1"), subjects.RENEWALS),
        (subjects.desired_sync("m1"), subjects.DESIRED_SYNCS),
        (subjects.quarantine("m1"), subjects.QUARANTINES),
        (subjects.cut("m1"), subjects.CUTS),
        (subjects.heartbeat("m1"), subjects.HEARTBEATS),
        (subjects.JOINS, subjects.JOINS),
        (subjects.CERTIFY, subjects.CERTIFY),
        (subjects.write("tenancy", "credentials", "create"), "tenancy.credentials.create"),
        ("up", "up"),
        ("", ""),
    ],
)
def test_a_template_names_no_member(subject: str, template: str) -> None:
    assert subjects.template(subject) == template


def test_what_members_may_publish_is_known_by_its_subject() -> None:
    """What a user in a member's account or in JOIN may publish, and nothing that services call each other by."""
    theirs = (subjects.JOINS, subjects.RENEWALS, subjects.DESIRED_SYNCS, subjects.DESIRED_REPORTS, subjects.HEARTBEATS)
    ours = (subjects.CERTIFY, subjects.CONNECTIONS, subjects.PROBES, subjects.QUARANTINES, "upper.a", "joins.b")
    assert [subjects.from_members(each) for each in (*theirs, *ours)] == [True] * 5 + [False] * 6


PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(PARTS, PARTS, PARTS, PARTS)
def test_a_key_says_what_it_was_made_of(group: str, kind: str, namespace: str, name: str) -> None:
    key = subjects.key(group, kind, namespace, name)
    assert re.fullmatch(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+){3}", key)
    assert subjects.parse_key(key) == (
        "" if group == "_" else group,
        kind.lower(),
        "" if namespace == "_" else namespace,
        name,
    )


def test_no_group_and_no_namespace_are_a_token_too() -> None:
    assert subjects.key("", "Event", "", "a.b") == "_.event._.a=2Eb"
    assert subjects.parse_key("_.event._.a=2Eb") == ("", "event", "", "a.b")


@pytest.mark.parametrize("value", ["", "a", "a.b.c", "a.b.c.d.e", "a.b.c.=FF"])
def test_what_is_no_key_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        subjects.parse_key(value)
