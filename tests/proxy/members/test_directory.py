"""What the proxy looks up on every request, and what it is told of members that go."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.proxy.members.directory import Directory, MemberRoute
from skerry.api.identities import revocation_name
from skerry.api.kinds import KINDS, REVOCATION
from skerry.api.names import API_VERSION
from skerry.bus import Entry, Filled
from skerry.informer import Informer
from skerry.storage.documents import seal
from skerry.subjects import key
from tests.informer.entries import entry, purged


class World:
    """A directory, and what it told."""

    def __init__(self) -> None:
        self.informer = Informer(KINDS)
        self.changes = 0
        self.left: list[MemberRoute] = []
        self.directory = Directory(self.informer, self._changed, self.left.append)
        self.informer.take(entry("m1", 1, uid="one"))
        self.informer.take(entry("m2", 2, spec=direct(), uid="two"))
        self.informer.take(Filled(2))

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def world() -> World:
    return World()


def direct() -> dict[str, Any]:
    """The spec of a direct member."""
    return {"role": "member", "connection": {"mode": "direct"}}


def test_a_member_is_known_by_name_uid_and_way(world: World) -> None:
    assert (world.directory.uid("m1"), world.directory.uid("m2"), world.directory.uid("m3")) == ("one", "two", "")
    member = world.directory.member("m2")
    assert member is not None
    assert member.connection == "direct"


@pytest.mark.parametrize(
    "event",
    [
        entry("m2", 5, spec=direct(), uid="two", deleted=True),
        purged("m2", 5),
        entry("m2", 6, spec=direct(), uid="another"),
        entry("m2", 5, uid="two"),
        entry("m2", 5, spec=direct(), uid="two", metadata={"name": "m2", "deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ],
    ids=("deleted", "purged", "made anew", "by an agent now", "being removed"),
)
def test_who_goes_is_told_once(world: World, event: Entry) -> None:
    world.informer.take(event)
    world.informer.take(entry("m1", 9, uid="one"))
    assert [(each.name, each.uid, each.connection) for each in world.left] == [("m2", "two", "direct")]
    assert not world.directory.has(world.left[0])


def test_who_only_changes_does_not_go(world: World) -> None:
    ready = {"type": "Ready", "status": "False", "reason": "x", "message": "", "lastTransitionTime": "t"}
    world.informer.take(entry("m2", 5, spec=direct(), uid="two", status={"conditions": [ready]}))
    member = world.directory.member("m2")
    assert member is not None
    assert member.reason == "x"
    assert world.left == []
    assert world.changes == 3


@pytest.mark.parametrize(
    ("spec", "before"),
    [
        ({"user": "alice"}, math.inf),
        ({"user": "alice", "before": "2026-01-01T00:00:00Z"}, 1767225600.0),
        ({"user": "alice", "before": "yesterday"}, math.inf),
        ({"user": 7}, math.inf),
    ],
    ids=("all", "until then", "no time", "no user"),
)
def test_a_revocation_that_cannot_be_read_takes_everything_back(
    world: World, spec: dict[str, Any], before: float
) -> None:
    name = revocation_name("alice")
    document = {"apiVersion": API_VERSION, "kind": "Revocation", "metadata": {"name": name, "uid": "r"}, "spec": spec}
    world.informer.take(Entry(key(REVOCATION.group, REVOCATION.kind, "", name), seal(document, writes=("w",)), 5, 0.0))

    revoked = world.directory.revoked("alice")

    assert revoked is not None
    assert revoked.before == before
    assert world.directory.revoked("bob") is None
