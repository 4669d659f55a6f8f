"""What the registry keeps of members is readable by it alone, and only where it was put."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from nacl.secret import SecretBox

from services.registry.secrets import BUCKET, ClusterClaim, Evicted, MemberSecret, Secrets
from skerry.bus import Bucket, BucketConfig
from skerry.errors import InternalError
from skerry.identity.keyfiles import make_secrets_key
from skerry.storage.sealed import Keyring
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
KEY = bytes(range(SecretBox.KEY_SIZE))
SEED = "SA-not-for-anybody"


@pytest.fixture
async def bucket(nats_host: NatsHost) -> AsyncIterator[Bucket]:
    """The bucket `secrets`."""
    async with nats_host.bus("registry") as bus:
        yield await bus.bucket(BUCKET, create=BucketConfig())


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    (tmp_path / "secrets.key").write_bytes(KEY)
    return Keyring(tmp_path / "secrets.key")


@pytest.fixture
def secrets(bucket: Bucket, keyring: Keyring) -> Secrets:
    return Secrets(bucket, keyring)


def name() -> str:
    return f"m-{uuid.uuid4().hex[:12]}"


def member(**fields: object) -> MemberSecret:
    return msgspec.convert({"cluster": "uid", "account": "A", "seed": SEED, **fields}, MemberSecret)


async def test_what_lies_in_the_bucket_is_not_readable(bucket: Bucket, secrets: Secrets) -> None:
    which = name()
    await secrets.change(which, lambda _: member())
    entry = await bucket.get(f"member.{which}")
    assert entry is not None
    assert SEED.encode() not in (entry.value or b"")
    assert await secrets.member(which) == member()
    assert SEED not in repr(member())


async def test_a_value_that_was_moved_to_another_key_is_refused(bucket: Bucket, secrets: Secrets) -> None:
    which, other = name(), name()
    await secrets.change(which, lambda _: member())
    entry = await bucket.get(f"member.{which}")
    assert entry is not None
    await bucket.create(f"member.{other}", entry.value or b"")
    with pytest.raises(InternalError, match="cannot be decrypted"):
        await secrets.member(other)


@pytest.mark.parametrize("value", [b"", b"x", b"x" * 100])
async def test_rubbish_and_another_key_are_refused(
    bucket: Bucket, secrets: Secrets, tmp_path: Path, value: bytes
) -> None:
    which, other = name(), name()
    await bucket.create(f"member.{which}", value or b"{}")
    await secrets.change(other, lambda _: member())
    with pytest.raises(InternalError, match=r"or secrets\.key was replaced"):
        await secrets.member(which)
    make_secrets_key(tmp_path / "another")
    with pytest.raises(InternalError, match=r"or secrets\.key was replaced"):
        await Secrets(bucket, Keyring(tmp_path / "another" / "secrets.key")).member(other)


async def test_a_change_is_made_on_what_is_there_by_then(bucket: Bucket, secrets: Secrets, keyring: Keyring) -> None:
    which, other, calls = name(), secrets, 0
    await secrets.change(which, lambda _: member())

    class Overtaken(Secrets):
        async def _write(self, key: str, value: object, revision: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                await other.change(which, lambda before: msgspec.structs.replace(before or member(), agents={"B": 2.0}))
            await super()._write(key, value, revision)

    def joined(before: MemberSecret | None) -> MemberSecret:
        kept = before or member()
        return msgspec.structs.replace(kept, agents={**kept.agents, "A": 1.0})

    after = await Overtaken(bucket, keyring).change(which, joined)
    assert (after.agents, calls) == ({"A": 1.0, "B": 2.0}, 2)


async def test_the_first_claim_of_a_cluster_holds(secrets: Secrets) -> None:
    uid = f"../{uuid.uuid4()}.>"  # from a member: whatever it holds
    assert await secrets.claim(uid, "a", 1.0) == ClusterClaim(name="a", at=1.0)
    assert await secrets.claim(uid, "b", 2.0) == ClusterClaim(name="a", at=1.0)
    claim, revision = await secrets.claimed(uid)
    assert claim == ClusterClaim(name="a", at=1.0)
    await secrets.unclaim(uid, revision)
    await secrets.unclaim(uid, revision)
    assert await secrets.claim(uid, "b", 3.0) == ClusterClaim(name="b", at=3.0)
    await secrets.unclaim(uid, revision)
    assert (await secrets.claimed(uid))[0] == ClusterClaim(name="b", at=3.0)


async def test_a_member_that_changed_since_it_was_buried_stays(secrets: Secrets) -> None:
    which = name()
    buried = await secrets.change(which, lambda _: member())
    later = await secrets.change(which, lambda _: member(account="B"))
    await secrets.drop(which, buried)
    assert await secrets.member(which) == later
    await secrets.drop(which, later)
    await secrets.drop(which, later)
    assert await secrets.member(which) is None


async def test_the_proof_that_ends_agents_is_not_the_tombstone(secrets: Secrets) -> None:
    account, agent = name(), name()
    evicted = Evicted(name="m", account=account, jwt="tombstone", at=1.0)
    await secrets.bury(evicted, [agent])
    await secrets.bury(msgspec.structs.replace(evicted, at=2.0), [agent])
    assert await secrets.evicted(account) == evicted
    assert await secrets.evicted(agent) == msgspec.structs.replace(evicted, jwt="")


async def test_all_members_are_read_page_by_page_but_those_that_cannot_be(bucket: Bucket, secrets: Secrets) -> None:
    names = [name() for _ in range(520)]  # a page has 500 at most
    for each in names:
        await secrets.change(each, lambda _, account=each: member(account=account))  # type: ignore[misc]
    gone, spoilt, moved = names[:3]
    await secrets.drop(gone, member(account=gone))
    for key, value in ((spoilt, b"rubbish"), (moved, (await bucket.get(f"member.{names[3]}")).value)):  # type: ignore[union-attr]
        entry = await bucket.get(f"member.{key}")
        assert entry is not None
        await bucket.update(f"member.{key}", value or b"", entry.revision)
    read = [(each, secret.account) async for each, secret in secrets.members() if each in names]
    assert sorted(read) == sorted((each, each) for each in names[3:])
