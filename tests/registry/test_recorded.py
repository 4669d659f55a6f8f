"""A host of before: its backup and the key of its secrets, recorded at version 0.1.0 before writes were signed.

`recorded/host.backup` holds the host, an agent member `far` that had joined, a Workspace and an AccessGrant. Do not make it
anew: it is what older hosts have.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from services.registry.secrets import BUCKET, Secrets
from services.registry.service import SERVICE as REGISTRY
from services.registry.settings import RegistrySettings
from services.tenancy.service import SERVICE as TENANCY
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.api.messages import Write, WriteAnswer
from skerry.identity import nkey
from skerry.identity.creds import Credentials
from skerry.identity.federation import MemberAccount
from skerry.identity.nkey import KeyType
from skerry.storage import archive
from skerry.storage.documents import utc_now
from skerry.storage.sealed import Keyring
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving
from tests.registry.conftest import Agent, Client, client_of

pytestmark = pytest.mark.integration

BACKUP = archive.decode(Path(__file__).with_name("recorded").joinpath("host.backup").read_bytes())
SECRETS_KEY = bytes.fromhex("9934671118ae44d7f2b895d415b877b20f8e7d51ee1a74c31d9ead32a179503c")
"""Of the recorded host, which exists no more."""


@pytest.fixture
async def upgraded(fresh_nats_host: NatsHost, tmp_path: Path) -> AsyncIterator[Client]:
    """What a proxy has of the recorded host, served by today's registry and tenancy."""
    host, key = fresh_nats_host, tmp_path / "secrets.key"
    key.touch(0o600)
    key.write_bytes(SECRETS_KEY)
    async with host.open_bus("restore") as bus:
        await archive.restore(bus, BACKUP, utc_now(), lambda done, of: None)
    settings = RegistrySettings(
        keys_dir=host.keys_dir,
        host_uid=BACKUP.header.host,
        host_name="skerry",
        bus_public=list(host.servers),
        secrets_key_file=key,
    )
    services = (REGISTRY, settings), (TENANCY, TenancySettings())
    async with serving(host, *services, user="controller-manager"), client_of(host) as client:
        yield client


async def test_its_objects_are_there_and_take_signed_writes(upgraded: Client) -> None:
    assert {item.name for item in upgraded.cache.list(CLUSTER)} == {"host", "far"}
    patch = msgspec.Raw(msgspec.json.encode({"spec": {"displayName": "changed"}}))
    write = Write(request_id=uuid.uuid4().hex, name="harbour", body=patch, content_type="application/merge-patch+json")
    answer = await upgraded.ask(subjects.write("tenancy", WORKSPACE.plural, "patch"), write)
    document = msgspec.json.decode(msgspec.json.decode(answer, type=WriteAnswer).object)
    assert document["spec"]["displayName"] == "changed"


async def test_its_members_come_back_to_their_own_accounts(
    upgraded: Client, fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    """The account and the agent's key are those of the recording; only the user JWT is newer, as after a renewal."""
    host = fresh_nats_host
    async with host.bus("registry") as bus:
        kept = await Secrets(await bus.bucket(BUCKET), Keyring(tmp_path / "secrets.key")).member("far")
    assert kept is not None
    [_] = kept.agents
    account = MemberAccount(name="far", public=kept.account, seed=kept.seed.encode(), jwt="")
    agent = Agent(host, "far", key=nkey.create(KeyType.USER))
    credentials = Credentials(host.authority.member_user(account, agent.key.public), agent.key.seed)
    async with host.connection(credentials, "far") as connection:
        await agent.beat_until_answered(connection)
    await upgraded.ready("far", "True")
