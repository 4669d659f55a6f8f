"""What an agent believes is what its root says, kept before it is used; what no root of it signed changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.storage import Directory
from services.agent.store import AgentStore, Membership
from services.agent.trust import MembershipTrust
from skerry.identity import nkey
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyType
from skerry.identity.trust import make_statement

OLD, NEW = (nkey.create(KeyType.ACCOUNT) for _ in range(2))
BOTH = (OLD.public, NEW.public)


@pytest.fixture
async def store(tmp_path: Path) -> AgentStore:
    made = AgentStore(Directory(tmp_path))
    user = Credentials("h.e30.s", (await made.own_key()).seed)
    membership = Membership(
        member="m1", host="h", host_uid="u", servers=[], ca="", assertion_root=OLD.public, cluster_uid="c"
    )
    await made.joined(membership, user, user)
    return made


def trust(store: AgentStore) -> MembershipTrust:
    membership = store.membership()
    assert membership is not None
    return MembershipTrust(store, membership)


async def test_a_root_follows_another_over_restarts(store: AgentStore) -> None:
    one = trust(store)
    assert one() == (OLD.public,)
    assert await one.told(make_statement(BOTH, OLD.sign))
    assert one() == trust(store)() == BOTH
    assert all(one.is_signed(b"x", key.sign(b"x")) for key in (OLD, NEW))
    await one.told(make_statement((NEW.public,), NEW.sign))
    assert one() == trust(store)() == (NEW.public,)
    assert not one.is_signed(b"x", OLD.sign(b"x"))
    membership = store.membership()
    assert membership is not None
    assert membership.assertion_root == NEW.public
    assert one.problem == ""


async def test_who_was_away_is_told_to_join_anew_and_believes_what_it_did(store: AgentStore) -> None:
    one = trust(store)
    assert [await one.told(make_statement((NEW.public,), NEW.sign)) for _ in range(2)] == [True, False]
    assert one() == (OLD.public,)
    assert "cluster remove m1; skerry token create m1" in one.problem
    assert not await one.told("")
    assert one.problem == ""


async def test_a_root_that_cannot_be_kept_is_not_believed(store: AgentStore) -> None:
    one = trust(store)
    await store.forget()
    assert not await one.told(make_statement(BOTH, OLD.sign))
    assert one() == (OLD.public,)
