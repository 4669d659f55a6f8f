"""A thief of a member's credential, beside a federation at work: it sees that member's slice and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.bus import Connection, Message, connect
from skerry.bus import Settings as BusSettings
from skerry.errors import StatusError
from skerry.identity import creds
from tests.e2e.federation import Host

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]


@pytest.fixture
async def thief(federation: Host) -> AsyncIterator[Connection]:
    """A connection with what lies in the state directory of member one's agent."""
    state = federation.directory / "agent-one" / "agents" / "one"
    membership = json.loads((state / "agent.json").read_text())
    servers = tuple(each for each in membership["servers"] if federation.addresses[0] in each)
    settings = BusSettings(servers=servers, ca_pem=membership["ca"], name="thief")
    connection = await connect(settings, creds.load(state / "user.creds"))
    yield connection
    connection.abort()


async def _heard(connection: Connection, subject: str, federation: Host) -> list[Message]:
    """What arrives on `subject` while both members are used; nothing, if the subscription is refused."""
    heard: list[Message] = []
    try:
        await connection.subscribe(subject, heard.append)
    except StatusError:
        return heard
    for member in ("one", "two"):
        assert await asyncio.to_thread(federation.serves, member)
    return heard


@pytest.mark.parametrize(
    "subject", [">", "down.two.>", "up.two.>", "up.>", "event.>", "$SYS.>", "$KV.>", "$JS.>", "_INBOX.>", "registry.>"]
)
async def test_a_stolen_credential_hears_nothing_of_another_member(
    federation: Host, thief: Connection, subject: str
) -> None:
    heard = await _heard(thief, subject, federation)
    assert [message.subject for message in heard if ".two" in message.subject or message.subject.startswith("$")] == []
    assert all(message.subject.startswith("down.one.") for message in heard)


@pytest.mark.parametrize("subject", ["up.two.hb", "down.two.open.i", "registry.clusters.delete", "$JS.API.INFO"])
async def test_a_stolen_credential_cannot_speak_for_another_member(
    federation: Host, thief: Connection, subject: str
) -> None:
    with pytest.raises(StatusError):
        await thief.request(subject, b"{}", timeout_s=3)


def test_no_secret_is_readable_by_others(federation: Host) -> None:
    roots = [federation.state, federation.directory / "agent-one"]
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    secret = ("seed", "token", "creds", ".key", ".nk", "kubeconfig")
    exposed = [path for path in files if path.name.endswith(secret) and path.stat().st_mode & 0o077]
    assert files
    assert exposed == []


def test_no_log_holds_a_token(federation: Host) -> None:
    admin = json.loads(federation.admin.read_text())["users"][0]["user"]
    secrets = [Path(admin["tokenFile"]).read_text().strip() if "tokenFile" in admin else admin["token"]]
    secrets += [agent.log.with_name("token").read_text() for agent in federation.agents]
    logs = [*(federation.state / "host" / "logs").glob("*.log"), *(agent.log for agent in federation.agents)]
    for log in logs:
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log
        assert "Bearer " not in text, log
