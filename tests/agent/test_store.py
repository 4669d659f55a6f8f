"""What an agent keeps, wherever it is: one contract of a directory and of a Secret, in which the same agent runs in several pods."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.agent.credentials import CredentialKeeper
from services.agent.model import HostClock
from services.agent.secret import SecretStorage
from services.agent.storage import Directory, Outrun, StateError, Storage
from services.agent.store import AgentStore, AnotherMembership, Membership, NewerState
from skerry.api.messages import RekeyOrder
from skerry.api.v1alpha1 import Ceiling
from skerry.errors import BadGateway, BadRequest, Forbidden
from skerry.identity import nkey
from skerry.identity.creds import Credentials
from skerry.identity.jwt import encode
from skerry.member.upstream import Upstream
from tests.member.apiserver import SECRET, ApiServer

MEMBERSHIP = Membership(
    member="m1",
    host="skerry",
    host_uid="h",
    servers=["tls://h:4222"],
    ca="pem",
    assertion_root="A",
    cluster_uid="uid-1",
    jti="j",
)
Place = Callable[[], Storage]
"""Another process at the same place."""


def user(pair: nkey.KeyPair, name: str = "m1") -> Credentials:
    account = nkey.create(nkey.KeyType.ACCOUNT)
    return Credentials(encode(account, pair.public, name, {"type": "user"}), pair.seed)


@pytest.fixture(params=["directory", "secret"])
def place(request: pytest.FixtureRequest, tmp_path: Path, secret: Place) -> Place:
    return secret if request.param == "secret" else lambda: Directory(tmp_path / "m1")


@pytest.fixture
def secret(upstream: Upstream) -> Place:
    """Pods of one agent."""
    return lambda: SecretStorage(upstream, *SECRET)


async def opened(place: Place) -> AgentStore:
    storage = place()
    await storage.reload()
    return AgentStore(storage)


async def joined(place: Place, membership: Membership = MEMBERSHIP) -> AgentStore:
    store = await opened(place)
    key = await store.own_key()
    await store.joined(membership, user(key), user(key, "renewal"))
    return store


# The contract


async def test_a_membership_survives(place: Place) -> None:
    store = await joined(place)
    again = await opened(place)
    assert again.membership() == store.membership() == MEMBERSHIP
    assert again.key().public == store.key().public == again.user().public
    assert again.user().jwt != again.renewal().jwt


async def test_the_key_is_stored_before_anything_else(place: Place) -> None:
    public = (await (await opened(place)).own_key()).public
    again = await opened(place)
    assert again.membership() is None
    assert (again.has_key, (await again.own_key()).public, again.key().public) == (True, public, public)


async def test_a_place_with_nothing_in_it_has_nothing(place: Place) -> None:
    store = await opened(place)
    assert (store.membership(), store.ceiling(), store.has_key, store.wants_rekey) == (None, None, False, False)
    with pytest.raises(StateError, match=r"seed.* is missing"):
        store.key()
    with pytest.raises(BadRequest, match="holds no NATS credentials"):
        store.user()


async def test_a_ceiling_outlives_the_membership(place: Place) -> None:
    store = await joined(place)
    await store.keep_ceiling(Ceiling(read_only=True, namespaces=["a"], desired="Access"))
    await store.forget()
    again = await opened(place)
    assert again.ceiling() == Ceiling(read_only=True, namespaces=["a"], desired="Access")
    assert (again.membership(), again.has_key) == (None, False)


async def test_another_key_takes_the_place_of_the_first(place: Place) -> None:
    store = await joined(place)
    new = await store.next_key()
    assert (store.wants_rekey, (await store.next_key()).public) == (True, new.public)
    await store.rekeyed(user(new), user(new))
    again = await opened(place)
    assert (again.key().public, again.user().public, again.renewal().public) == (new.public,) * 3
    assert not again.wants_rekey


@pytest.mark.parametrize("damage", [b"", b"SUxx"])
async def test_a_next_key_that_is_damaged_is_made_anew(place: Place, damage: bytes) -> None:
    store = await joined(place)
    await place_file(place, "seed.next", damage)
    store = await opened(place)
    assert store.wants_rekey
    assert (await store.next_key()).public == (await (await opened(place)).next_key()).public


async def test_a_rekey_that_somebody_died_in_is_finished_where_the_credentials_are_there(place: Place) -> None:
    store = await joined(place)
    new = await store.next_key()
    await store.finish_rekey()
    assert store.key().public != new.public
    await place_file(place, "user.creds", user(new).text())
    again = await opened(place)
    await again.finish_rekey()
    assert (again.key().public, again.wants_rekey) == (new.public, False)


async def test_renewed_credentials_of_a_key_that_was_replaced_are_not_kept(place: Place) -> None:
    store = await joined(place)
    await store.renewed(user(nkey.create(nkey.KeyType.USER)), None)
    assert store.user().public == store.key().public
    newer = user(store.key(), "newer")
    await store.renewed(newer, None)
    assert (await opened(place)).user().jwt == newer.jwt


async def test_a_removal_is_remembered_until_a_new_join(place: Place) -> None:
    store = await joined(place)
    await store.removed(MEMBERSHIP, "gone")
    membership = (await opened(place)).membership()
    assert membership is not None
    assert membership.removed == "gone"
    await store.forget()
    assert store.membership() is None


async def test_newer_state_is_refused_naming_both_versions(place: Place) -> None:
    await place_file(place, "agent.json", msgspec.json.encode({"format": 7, "later": True}))
    with pytest.raises(NewerState, match=r"format 7.*reads format 1.*newer skerry"):
        (await opened(place)).membership()


async def test_older_state_is_migrated_after_a_copy(place: Place, upstream: Upstream) -> None:
    await joined(place)
    storage = place()
    await storage.reload()
    older = msgspec.json.encode({**msgspec.json.decode(storage.read("agent.json") or b""), "format": 0})
    await storage.write({"agent.json": older})
    assert (await opened(place)).membership() == MEMBERSHIP, "a look changes nothing"
    for _ in range(2):
        store = AgentStore(storage)
        await store.open(upstream)
        assert store.membership() == MEMBERSHIP
        assert storage.read("agent.json.format-0") == older
        assert msgspec.json.decode(storage.read("agent.json") or b"")["format"] == 1
    await store.forget()
    assert storage.files().keys() <= {"lock"}


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"format": 1}', b'{"format": 0}', b'{"format": -1}', b'{"format": "0"}', b""]
)
async def test_damage_is_told_with_the_way_out(place: Place, text: bytes) -> None:
    await place_file(place, "agent.json", text)
    with pytest.raises(StateError, match="join again"):
        (await opened(place)).membership()


async def test_a_damaged_key_is_told_without_showing_it(place: Place) -> None:
    await place_file(place, "seed", b"SUAWRONG")
    with pytest.raises(StateError, match="damaged") as caught:
        (await opened(place)).key()
    assert "SUAWRONG" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format":2,"ceiling":{}}', "format 2; this version of skerry reads format 1"),
        ('{"format":1,"read_only":"yes","no_exec":false,"namespaces":[],"desired":"All"}', "--ceiling-off"),
        ('{"format":1,"read_only":true,"no_exec":false,"namespaces":[],"desired":"Some"}', "--ceiling-off"),
        ('{"format":1,"read_only":true}', "--ceiling-off"),
        (
            '{"format":1,"read_only":true,"no_exec":false,"namespaces":[],"desired":"All","no_secrets":1}',
            "--ceiling-off",
        ),
        ("", "--ceiling-off"),
    ],
)
async def test_a_ceiling_that_cannot_be_read_is_not_taken_for_an_open_one(
    place: Place, content: str, said: str
) -> None:
    await place_file(place, "ceiling.json", content.encode())
    with pytest.raises(StateError, match=said):
        (await opened(place)).ceiling()


async def place_file(place: Place, name: str, data: bytes) -> None:
    """As somebody else would."""
    storage = place()
    if isinstance(storage, Directory):
        storage.directory.mkdir(exist_ok=True)
    await storage.reload()
    await storage.write({name: data})


# A directory


async def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "m1")
    async with directory.locked():
        await joined(lambda: directory)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.directory.iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(directory.directory.stat().st_mode) == 0o700


async def test_nothing_half_made_is_left(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "state" / "agents" / "m1")

    async def fails() -> None:
        async with directory.locked():
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fails()
    assert list(tmp_path.iterdir()) == []


async def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    async with Directory(tmp_path / "m1").locked():
        with pytest.raises(StateError, match="another agent"):
            async with Directory(tmp_path / "m1").locked():
                pass


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="--state"):
        async with Directory(tmp_path / "file" / "m1").locked():
            pass


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "user.creds").mkdir()
    store = AgentStore(Directory(tmp_path))
    with pytest.raises(StateError, match="seed cannot be read"):
        store.key()
    with pytest.raises(BadRequest, match=r"user\.creds cannot be read"):
        store.user()


# Pods that share a Secret


async def test_who_is_slower_takes_the_key_of_the_faster(secret: Place) -> None:
    first, second = await opened(secret), await opened(secret)
    assert (await first.own_key()).public == (await second.own_key()).public


async def test_of_two_that_join_at_once_both_have_one_identity(secret: Place) -> None:
    first, second = await opened(secret), await opened(secret)
    for store in (first, second):
        key = await store.own_key()
        await store.joined(MEMBERSHIP, user(key), user(key))
    await first.refresh()
    assert first.key().public == second.key().public == first.user().public
    assert first.user().jwt == second.user().jwt


async def test_what_another_replica_renewed_is_seen(secret: Place) -> None:
    first = await joined(secret)
    second = await opened(secret)
    assert not await second.refresh()
    newer = user(first.key(), "newer")
    await first.renewed(newer, None)
    assert await second.refresh()
    assert second.user().jwt == newer.jwt


async def test_both_that_want_another_key_make_one(secret: Place) -> None:
    first = await joined(secret)
    second = await opened(secret)
    news = [await first.next_key(), await second.next_key()]
    assert news[0].public == news[1].public
    await first.rekeyed(user(news[0]), user(news[0]))
    await second.rekeyed(user(news[1]), user(news[1]))
    assert second.key().public == news[0].public == second.user().public


async def test_a_change_of_labels_is_no_other_pod(secret: Place, api: ApiServer) -> None:
    store = await joined(secret)
    api.relabel_secret({"team": "sea"})
    newer = user(store.key(), "newer")
    await store.renewed(newer, None)
    assert (await opened(secret)).user().jwt == newer.jwt
    assert api.secret["metadata"]["labels"]["team"] == "sea"


async def test_an_update_whose_answer_was_lost_happened(secret: Place, api: ApiServer) -> None:
    store = await joined(secret)
    newer = user(store.key(), "newer")
    api.lose_answers = 1
    with pytest.raises(BadGateway):
        await store.renewed(newer, None)
    await store.renewed(newer, None)
    assert (await opened(secret)).user().jwt == newer.jwt


@pytest.mark.parametrize("left", [{}, {"seed": "", "agent.json": ""}, {"agent.json": "e30="}, {"seed": "U1V4"}])
async def test_what_was_emptied_or_damaged_is_written_back_from_memory(
    secret: Place, api: ApiServer, left: dict[str, str]
) -> None:
    store = await joined(secret)
    data = dict(api.secret["data"])
    api.replace_secret({**data, **left} if left else {})
    assert not await store.refresh()
    assert api.secret["data"] == data
    assert (await opened(secret)).membership() == MEMBERSHIP


async def test_what_is_newer_or_of_another_membership_is_left_alone(secret: Place, api: ApiServer) -> None:
    store = await joined(secret)
    await place_file(secret, "agent.json", b'{"format": 9}')
    with pytest.raises(NewerState):
        await store.refresh()
    store = AgentStore(secret())
    await joined(secret, msgspec.structs.replace(MEMBERSHIP, jti="another"))
    first = await opened(secret)
    await joined(secret, msgspec.structs.replace(MEMBERSHIP, jti="third"))
    data = api.secret["data"]
    await first.removed(msgspec.structs.replace(MEMBERSHIP, jti="another"), "gone")
    assert api.secret["data"] == data
    first = await opened(secret)
    await joined(secret)
    with pytest.raises(AnotherMembership):
        await first.refresh()


async def test_an_update_by_somebody_who_does_not_know_is_outrun(secret: Place) -> None:
    one, other = secret(), secret()
    for storage in (one, other):
        await storage.reload()
    await one.write({"a": b"1"})
    with pytest.raises(Outrun):
        await other.write({"a": b"2"})
    assert other.read("a") == b"1"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Forbidden("secrets is forbidden"), "needs `get` and `update`"),
        (BadGateway("etcd is slow"), "cannot be read now"),
    ],
)
async def test_a_secret_that_cannot_be_read_says_why(
    secret: Place, api: ApiServer, error: Forbidden | BadGateway, says: str
) -> None:
    api.refuse["/api/v1/namespaces/skerry-system/secrets"] = error
    with pytest.raises((StateError, BadGateway), match=says):
        await opened(secret)


async def test_a_secret_that_is_not_there_says_who_makes_it(upstream: Upstream) -> None:
    with pytest.raises(StateError, match="install the agent's chart again"):
        await SecretStorage(upstream, SECRET[0], "other").reload()


async def test_what_was_copied_from_another_cluster_is_refused(secret: Place, upstream: Upstream) -> None:
    await joined(secret, msgspec.structs.replace(MEMBERSHIP, cluster_uid="another"))
    with pytest.raises(StateError, match=r"it was copied here; empty it \(kubectl patch secret"):
        await AgentStore(secret()).open(upstream)
    await joined(secret)
    await AgentStore(secret()).open(upstream)


async def test_a_replica_does_not_say_that_a_replaced_key_is_over_for_the_others(place: Place) -> None:
    store = await joined(place)
    own: Any = SimpleNamespace(nkeys={store.key().public})
    keeper = CredentialKeeper(store, MEMBERSHIP, HostClock(0.0), [own], 60.0)
    keeper.ordered(RekeyOrder(replaced={"UOLD": store.key().public}))
    assert keeper._over is not store.is_shared
