"""Inspection credentials on a real bus: what the `nats` tool shows with one, how one ends, and that nothing moves by it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from skerry import inspected, subjects
from skerry.api.identities import revocation_name
from skerry.api.kinds import CLUSTER, INSPECTION_CREDENTIAL, REVOCATION
from skerry.api.meta import Document
from skerry.errors import Invalid, Unauthorized
from skerry.identity import creds
from skerry.identity.creds import Credentials
from skerry.identity.resolver import Resolver
from skerry.storage import Store
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Client

pytestmark = pytest.mark.integration

Nats = Callable[..., Awaitable[str]]


async def made(client: Client, name: str, **spec: str) -> Document:
    return await client.write(INSPECTION_CREDENTIAL, "create", document={"metadata": {"name": name}, "spec": spec})


def credentials(document: Document) -> Credentials:
    return creds.parse(document["status"]["creds"].encode(), "the answer")


@pytest.fixture
async def nats(nats_host: NatsHost, client: Client, nats_program: Path, tmp_path: Path) -> AsyncIterator[Nats]:
    """The `nats` tool with a credential."""
    document = await made(client, "tool")
    (tmp_path / "creds").write_text(document["status"]["creds"])
    (tmp_path / "ca").write_text(document["status"]["ca"])

    async def run(*words: str, code: int | None = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            nats_program, "--server", document["status"]["servers"][0], "--creds", tmp_path / "creds", "--tlsca",
            tmp_path / "ca", "--inbox-prefix", document["status"]["inboxPrefix"], "--timeout", "2s", *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(tmp_path), "PATH": "", "NO_COLOR": "1"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(DEADLINE_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert code in (None, process.returncode), output.decode()
        return output.decode()

    yield run
    await client.write(INSPECTION_CREDENTIAL, "delete", "tool")


async def test_the_tool_shows_services_streams_and_what_is_stored(nats: Nats, client: Client) -> None:
    assert "registry" in await nats("micro", "ls")
    assert "registry" in await nats("micro", "ping", "registry")
    assert "registry.proxies.certify" in await nats("micro", "info", "registry")
    assert "KV_resources" in await nats("stream", "ls", "-a")
    assert "skerry=2Edev.cluster._.host" in await nats("stream", "subjects", "KV_resources")
    assert "resources" in await nats("kv", "ls")
    shown = await nats("kv", "get", "resources", subjects.key(CLUSTER.group, CLUSTER.kind, "", "host"), "--raw")
    assert json.loads(shown)["object"]["metadata"]["name"] == "host"


async def test_the_tool_hears_each_write(nats: Nats, client: Client) -> None:
    async def write() -> None:
        for number in itertools.count():
            await client.token(f"heard-{number}")

    writes = asyncio.create_task(write())
    try:
        heard = await nats("sub", "$KV.resources.skerry=2Edev.jointoken.>", "--count", "1", "--raw")
    finally:
        writes.cancel()
    assert json.loads(heard)["object"]["kind"] == "JoinToken"


REFUSED = (
    "kv put resources skerry=2Edev.cluster._.host {}",
    "kv del resources skerry=2Edev.cluster._.host -f",
    "kv watch resources",
    "kv get secrets host",
    "stream rm KV_resources -f",
    "stream get KV_secrets 1",
    "stream add MINE --defaults --subjects mine",
    "consumer add KV_resources c --defaults --pull",
    "sub up.> --count 1",
    "sub down.> --count 1",
    "pub up.m1.hb {}",
    "req registry.fleet {}",
)
"""What changes something, makes something on the server, shows secrets, or is between members and the host."""


async def test_what_would_change_something_or_show_a_secret_is_refused(nats: Nats, client: Client) -> None:
    before = client.cache.get(CLUSTER, "host")
    texts = await asyncio.gather(*(nats(*words.split(), code=None) for words in REFUSED))
    allowed = [words for words, text in zip(REFUSED, texts, strict=True) if "permissions violation" not in text.lower()]
    assert allowed == []
    await client.cache.current()
    assert client.cache.get(CLUSTER, "host") == before


HOST_KEY = subjects.key(CLUSTER.group, CLUSTER.kind, "", "host")
ASKED = [each.replace(">", "PING").replace("*", "x") for each in inspected.ASKED]
LANDINGS = (
    f"$KV.resources.{HOST_KEY}",
    "$KV.secrets.host",
    "down.m1.desired.x",
    "up.m1.hb",
    "registry.fleet",
    "$JS.API.STREAM.DELETE.KV_resources",
    "$JS.API.STREAM.PURGE.KV_resources",
)
"""Where an answer would do harm if it landed there."""


async def test_no_answer_lands_on_a_subject_of_the_host(nats_host: NatsHost, client: Client) -> None:
    """With a user in HOST an answer of JetStream to `$KV.resources.<key>` wrote over a Cluster."""
    document = await made(client, "hostile")
    await client.cache.current()
    before, landed = client.cache.get(CLUSTER, "host"), []
    async with (
        nats_host.connection(nats_host.anybody()) as host,
        nats_host.connection(credentials(document)) as hostile,
    ):
        for landing in LANDINGS:
            await host.subscribe(landing, lambda message: landed.append(message.subject))
        for asked in ASKED:
            for landing in LANDINGS:
                hostile.publish_now(asked, b"", reply=landing)
        await hostile.flush()
        assert (await hostile.request("$SRV.PING", timeout_s=DEADLINE_S)).data  # what was asked before was answered too
        await client.token("after")
        await host.flush()
        assert host.denied == 0
    assert landed == []
    assert len(ASKED) * len(LANDINGS) >= 100
    assert client.cache.get(CLUSTER, "host") == before


async def test_what_its_user_has_is_taken_back_with_it(nats_host: NatsHost, client: Client) -> None:
    document = await made(client, "taken-back")
    async with nats_host.connection(credentials(document)) as cut, nats_host.bus("tenancy") as tenancy:
        store = Store(await tenancy.bucket(subjects.RESOURCES), REVOCATION)
        await store.create(
            {
                "apiVersion": REVOCATION.api_version,
                "kind": REVOCATION.kind,
                "metadata": {"name": revocation_name("admin")},
                "spec": {"user": "admin", "disabled": True},
            }
        )
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.shield(cut.lost)
        await store.delete(revocation_name("admin"))


async def test_it_ends_within_a_second_when_it_is_revoked_and_others_stay(nats_host: NatsHost, client: Client) -> None:
    mine, others = await made(client, "mine"), await made(client, "others")
    async with (
        nats_host.connection(credentials(mine)) as cut,
        nats_host.connection(credentials(others)) as kept,
    ):
        started = time.monotonic()
        await client.write(INSPECTION_CREDENTIAL, "delete", "mine")
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.shield(cut.lost)
        assert time.monotonic() - started < 1.0
        await kept.flush()
    with pytest.raises(Unauthorized):
        async with nats_host.connection(credentials(mine)):
            pass
    await client.cache.current()
    assert client.cache.get(INSPECTION_CREDENTIAL, "mine") is None


async def test_a_secret_is_in_no_object_and_in_no_dry_run(nats_host: NatsHost, client: Client) -> None:
    document = await made(client, "kept")
    await client.cache.current()
    stored = client.cache.get(INSPECTION_CREDENTIAL, "kept")
    assert stored is not None
    assert set(stored.document()["status"]) == {"expires"}
    assert stored.document()["spec"] == {"user": "admin", "ttl": "8h"}
    assert document["status"]["creds"] not in str(stored.document())
    tried = await client.write(INSPECTION_CREDENTIAL, "create", document={"metadata": {"name": "tried"}}, dry_run=True)
    assert "creds" not in tried["status"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [({"ttl": "25h"}, "spec.ttl"), ({"ttl": "soon"}, "spec.ttl"), ({"user": "bob"}, "spec.user")],
)
async def test_what_it_may_not_say_is_named(client: Client, spec: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        await made(client, "wrong", **spec)
    assert [each.field for each in caught.value.details.causes] == [field]


async def test_a_bus_that_lost_its_account_is_given_it_again(nats_host: NatsHost, client: Client) -> None:
    document = await made(client, "lost")
    public = credentials(document).account
    async with nats_host.connection(nats_host.system()) as system:
        resolver = Resolver(system)
        await resolver.delete(nats_host.authority, [public])

        async def held() -> bool:
            return public in await resolver.accounts()

        assert not await held()
        async with asyncio.timeout(DEADLINE_S):
            while not await held():
                await asyncio.sleep(0.2)
    async with nats_host.connection(credentials(document)) as connection:
        await connection.request("$SRV.PING", timeout_s=DEADLINE_S)
