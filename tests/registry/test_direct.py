"""Direct members on a real bus, with a stand-in for their API server that is real on the wire."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.registry import departing, prober
from skerry import subjects
from skerry.api.desired import Options
from skerry.api.kinds import CLUSTER
from skerry.api.messages import (
    SIGNATURE,
    Caller,
    CertifyAnswer,
    CertifyRequest,
    ConnectAnswer,
    ConnectRequest,
    Heartbeat,
    Write,
)
from skerry.api.meta import Document
from skerry.desired.applier import Applier
from skerry.desired.client import DesiredClient, Want
from skerry.errors import (
    AlreadyExists,
    BadGateway,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    StatusError,
    Unauthorized,
)
from skerry.http.exchange import Exchange
from skerry.identity import nkey
from skerry.identity.assertion import make_record
from skerry.identity.nkey import KeyPair, KeyType
from skerry.member import kubeconfig, membership, upstream
from skerry.member.bindings import binding
from skerry.member.identity import KUBE_SYSTEM
from skerry.member.kubeconfig import DirectConnection, flattened
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import BINDINGS, JSON, ApiServer
from tests.registry.conftest import DEADLINE_S, HOST_UID, Agent, Client, Running, client_of, connect

pytestmark = pytest.mark.integration


@asynccontextmanager
async def cluster(directory: Path, token: str = "the-hosts-token") -> AsyncIterator[ApiServer]:
    """A cluster of its own."""
    async with ApiServer(directory, uid=str(uuid.uuid4()), token=token) as api:
        yield api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """A cluster that wants to join."""
    async with cluster(tmp_path / "api") as made:
        yield made


def given(api: ApiServer) -> str:
    """Its kubeconfig as the command line sends it."""
    return flattened(kubeconfig.load(str(api.kubeconfig())))


async def certified(client: Client, proxy: str = "P1") -> tuple[KeyPair, str]:
    """A proxy's key and its record."""
    key = nkey.create(KeyType.USER)
    ask = CertifyRequest(proxy=proxy, key=key.public)
    reply = await client.bus.request(subjects.CERTIFY, msgspec.json.encode(ask), timeout_s=DEADLINE_S)
    return key, msgspec.json.decode(reply.data, type=CertifyAnswer).record


async def told(client: Client, name: str, record: str) -> bytes:
    """The sealed connection, as it is answered."""
    ask = msgspec.json.encode(ConnectRequest(record=record))
    reply = await client.bus.request(subjects.connection(name), ask, timeout_s=DEADLINE_S)
    return msgspec.json.decode(reply.data, type=ConnectAnswer).sealed


async def condition(client: Client, name: str, kind: str, reason: str, part: str = "") -> Document:
    """Wait until a condition has this reason, and `part` in its message: a look may have been under way."""
    async with asyncio.timeout(30):
        watch = client.cache.watch(CLUSTER)
        while True:
            for each in ((await client.cluster(name)) or {}).get("status", {}).get("conditions", []):
                if (each["type"], each["reason"]) == (kind, reason) and part in each["message"]:
                    return dict(each)
            watch.take()
            await watch.wait(0.2)


# Whose it is


async def test_an_action_is_believed_as_a_write_is_when_a_proxy_signed_it_for_this_once(
    nats_host: NatsHost, client: Client, api: ApiServer
) -> None:
    """Unsigned, signed for another verb or another name, and a second time: 401, and nothing happens."""
    body = msgspec.Raw(msgspec.json.encode({"spec": {"kubeconfig": given(api)}}))
    write = Write(request_id=uuid.uuid4().hex, name="signed", subresource="connection", body=body)
    create, update = (subjects.action("registry", "clusters", "connection", verb) for verb in ("create", "update"))
    payload, other = (msgspec.json.encode(msgspec.structs.replace(write, name=name)) for name in ("signed", "other"))
    signature = nats_host.sign(Caller(user="admin"), create, payload)
    for subject, data, headers in (
        (create, payload, {}),
        (create, payload, {SIGNATURE: nats_host.sign(Caller(user="admin"), update, payload)}),
        (update, payload, {SIGNATURE: signature}),
        (create, other, {SIGNATURE: signature}),
    ):
        with pytest.raises(Unauthorized):
            await client.bus.request(subject, data, timeout_s=DEADLINE_S, headers=headers)
    assert await client.cluster("signed") is None
    assert api.bindings == {}
    await client.bus.request(create, payload, timeout_s=DEADLINE_S, headers={SIGNATURE: signature})
    with pytest.raises(Unauthorized, match="used before"):
        await client.bus.request(create, payload, timeout_s=DEADLINE_S, headers={SIGNATURE: signature})


# Joining


async def test_it_joins_and_its_credential_is_in_no_object(client: Client, api: ApiServer) -> None:
    made = await connect(client, "create", "near", given(api))
    assert made["spec"]["connection"] == {"mode": "direct"}
    assert made["status"]["uid"] == api.uid
    stored = await client.cluster("near")
    assert stored is not None
    assert api.token not in repr((made, stored))
    assert sorted(api.bindings) == ["skerry:admin", "skerry:cluster-admin", "skerry:edit", "skerry:view"]


async def test_a_dry_run_looks_and_stores_nothing(client: Client, api: ApiServer) -> None:
    made = await connect(client, "create", "tried", given(api), dry_run=True)
    assert made["status"]["uid"] == api.uid
    assert await client.cluster("tried") is None
    assert api.bindings == {}
    await connect(client, "create", "another-name", given(api))


async def test_one_cluster_has_one_name(client: Client, api: ApiServer, tmp_path: Path) -> None:
    await connect(client, "create", "first", given(api))
    with pytest.raises(Conflict, match="'first'"):
        await connect(client, "create", "second", given(api))
    with pytest.raises(AlreadyExists, match="skerry cluster set first"):
        await connect(client, "create", "first", given(api))
    async with cluster(tmp_path / "other") as other:
        with pytest.raises(AlreadyExists):
            await connect(client, "create", "first", given(other))


async def test_two_that_join_at_once_are_one(client: Client, api: ApiServer) -> None:
    text = given(api)
    answers = await asyncio.gather(
        *(connect(client, "create", name, text) for name in ("one", "two")), return_exceptions=True
    )
    failed = [answer for answer in answers if isinstance(answer, StatusError)]
    assert len(failed) == 1
    assert isinstance(failed[0], Conflict)


async def test_an_agent_cannot_join_a_direct_member(nats_host: NatsHost, client: Client, api: ApiServer) -> None:
    await connect(client, "create", "taken", given(api))
    with pytest.raises(Conflict, match="directly"):
        await Agent(nats_host, "taken", api.uid).join(await client.token("taken"))
    with pytest.raises(Conflict, match="'taken'"):
        await Agent(nats_host, "elsewhere", api.uid).join(await client.token("elsewhere"))


async def test_an_agent_member_cannot_be_made_direct(nats_host: NatsHost, client: Client, api: ApiServer) -> None:
    await Agent(nats_host, "tunnelled", api.uid).join(await client.token("tunnelled"))
    with pytest.raises(AlreadyExists):
        await connect(client, "create", "tunnelled", given(api))
    with pytest.raises(Conflict, match="not a direct member"):
        await connect(client, "update", "tunnelled", given(api))


async def test_a_cluster_of_another_host_is_taken_over_only_when_told_to(client: Client, api: ApiServer) -> None:
    api.annotations |= {"skerry.dev/host": "another", "skerry.dev/host-name": "elsewhere"}
    with pytest.raises(Conflict, match="elsewhere"):
        await connect(client, "create", "theirs", given(api))
    await connect(client, "create", "theirs", given(api), takeOver=True)
    assert api.annotations == {"skerry.dev/host": HOST_UID, "skerry.dev/host-name": "isle"}
    await condition(client, "theirs", "Joined", "DirectJoined")


async def test_a_cluster_whose_mark_cannot_be_written_is_not_taken_over(client: Client, api: ApiServer) -> None:
    """Both hosts would serve it, and neither would know."""
    api.annotations |= {"skerry.dev/host": "another"}
    api.unmarkable = True
    with pytest.raises(StatusError, match=r"cannot be taken over.*namespaces cannot be patched"):
        await connect(client, "create", "both", given(api), takeOver=True)
    assert await client.cluster("both") is None


async def test_a_member_that_another_host_took_over_is_let_go_and_served_again_when_it_is_taken_back(
    client: Client, api: ApiServer
) -> None:
    await connect(client, "create", "lost", given(api))
    await condition(client, "lost", "Ready", "Connected")
    api.annotations |= {"skerry.dev/host": "another", "skerry.dev/host-name": "elsewhere"}
    for kind in ("Ready", "Joined"):
        assert "'elsewhere' (UID another)" in (await condition(client, "lost", kind, "TakenOver"))["message"]
    await connect(client, "update", "lost", given(api), takeOver=True)
    await condition(client, "lost", "Ready", "Connected")
    await condition(client, "lost", "Joined", "DirectJoined")


async def test_a_cluster_of_this_host_is_no_stranger(client: Client, api: ApiServer) -> None:
    api.annotations |= {"skerry.dev/host": HOST_UID}
    await connect(client, "create", "ours", given(api))


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"tokenFile": "/etc/shadow"}, "names a file"),
        ({"client-certificate": "/etc/shadow", "client-key": "/etc/shadow"}, "names a file"),
        ({"exec": {"command": "id", "apiVersion": "client.authentication.k8s.io/v1"}}, "exec plugin"),
        ({"token": "two words"}, "cannot carry"),
        ({"client-certificate-data": "bm8=", "client-key-data": "bm8="}, "client certificate"),
        ({}, "no credential"),
    ],
)
async def test_a_kubeconfig_reads_and_runs_nothing_on_the_host(
    client: Client, api: ApiServer, user: dict[str, Any], says: str
) -> None:
    document = msgspec.json.decode(given(api))
    document["users"][0]["user"] = user
    with pytest.raises(BadRequest, match=says):
        await connect(client, "create", "hostile", msgspec.json.encode(document).decode())
    assert api.seen == []


@pytest.mark.parametrize("name", ["host", "UPPER", "a.b", "*", ">", "x" * 64])
async def test_names_are_labels_and_not_the_hosts(client: Client, api: ApiServer, name: str) -> None:
    with pytest.raises(StatusError) as caught:
        await connect(client, "create", name, given(api))
    assert caught.value.code in (400, 422)


async def test_plain_http_is_refused(client: Client) -> None:
    text = flattened(kubeconfig.Target(scheme="http", host="127.0.0.1", port=1, token="t"))
    with pytest.raises(BadRequest, match="without TLS"):
        await connect(client, "create", "plain", text)


async def test_what_this_host_cannot_reach_does_not_join(client: Client, api: ApiServer) -> None:
    text = given(api)
    await api.__aexit__()
    with pytest.raises(BadGateway, match="cannot be reached"):
        await connect(client, "create", "far", text)
    assert await client.cluster("far") is None


async def test_a_refused_credential_is_not_mistaken_for_the_callers(client: Client, api: ApiServer) -> None:
    text = given(api)
    api.token = "another"
    with pytest.raises(BadRequest, match="refuses the credential"):
        await connect(client, "create", "stale", text)


async def test_a_credential_that_may_not_bind_is_refused_and_leaves_nothing(client: Client, api: ApiServer) -> None:
    api.refuse[BINDINGS] = Forbidden("you may not")
    with pytest.raises(BadGateway, match="cannot be made"):
        await connect(client, "create", "weak", given(api))
    assert await client.cluster("weak") is None
    api.refuse.clear()
    await connect(client, "create", "strong", given(api))


# What proxies are told


async def test_a_certified_proxy_is_told_and_nobody_else_can_read_it(client: Client, api: ApiServer) -> None:
    made = await connect(client, "create", "told", given(api))
    key, record = await certified(client)
    sealed = await told(client, "told", record)
    assert api.token.encode() not in sealed
    found = msgspec.json.decode(key.unseal(sealed), type=DirectConnection)
    assert (found.cluster, found.revision) == (made["metadata"]["uid"], 1)
    assert (found.target.token, found.target.port) == (api.token, api.port)
    with pytest.raises(BadRequest, match="another key"):
        nkey.create(KeyType.USER).unseal(sealed)


async def test_a_record_that_the_registry_did_not_sign_is_told_nothing(client: Client, api: ApiServer) -> None:
    await connect(client, "create", "kept", given(api))
    key = nkey.create(KeyType.USER)
    forged = make_record(nkey.create(KeyType.ACCOUNT), "P1", key.public, int(time.time()) + 60)
    for record in (forged, "rubbish", ""):
        with pytest.raises(Unauthorized):
            await told(client, "kept", record)


async def test_only_direct_members_have_a_connection(nats_host: NatsHost, client: Client) -> None:
    await Agent(nats_host, "agented").join(await client.token("agented"))
    _, record = await certified(client)
    with pytest.raises(Conflict):
        await told(client, "agented", record)
    with pytest.raises(NotFound):
        await told(client, "nobody", record)


# Rotation and removal


async def test_another_credential_counts_and_another_cluster_is_refused(
    client: Client, api: ApiServer, tmp_path: Path
) -> None:
    await connect(client, "create", "turning", given(api))
    api.token = "the-next-token"
    after = await connect(client, "update", "turning", given(api))
    assert after["status"]["credentials"]["revision"] == 2
    key, record = await certified(client)
    found = msgspec.json.decode(key.unseal(await told(client, "turning", record)), type=DirectConnection)
    assert (found.revision, found.target.token) == (2, "the-next-token")
    async with cluster(tmp_path / "other") as other:
        with pytest.raises(Conflict, match="another cluster"):
            await connect(client, "update", "turning", given(other))
    with pytest.raises(NotFound):
        await connect(client, "update", "missing", given(api))


async def test_removal_needs_no_member_and_destroys_the_credential(
    client: Client, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departing, "DEADLINE_S", 1.0)
    text = given(api)
    await connect(client, "create", "leaver", text)
    await api.__aexit__()
    await client.write(CLUSTER, "delete", "leaver")
    async with asyncio.timeout(DEADLINE_S):  # it is waited for what may be cleaned there, and not for ever
        while await client.cluster("leaver") is not None:
            await asyncio.sleep(0.1)
    _, record = await certified(client)
    with pytest.raises(NotFound):
        await told(client, "leaver", record)
    await api.__aenter__()
    await connect(client, "create", "leaver-again", given(api))


# The prober


async def test_the_prober_tells_proxies_and_counts_nodes(client: Client, api: ApiServer) -> None:
    beats: asyncio.Queue[tuple[str, Heartbeat]] = asyncio.Queue()
    heard = client.bus.subscribe(
        subjects.PROBES,
        lambda message: beats.put_nowait((message.subject, msgspec.json.decode(message.data, type=Heartbeat))),
    )
    await connect(client, "create", "looked-at", given(api))
    async with asyncio.timeout(DEADLINE_S):
        subject, beat = await beats.get()
        while subject != "probe.looked-at":
            subject, beat = await beats.get()
        while ((await client.cluster("looked-at")) or {})["status"].get("nodes") != 3:
            await client.cache.current()
    heard.stop()
    assert beat.rtt_ms is not None
    assert beat.cluster_uid == api.uid


async def test_a_restart_of_the_registry_is_no_news_of_a_member_that_answers(
    fresh_nats_host: NatsHost, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        await connect(client, "create", "steady", given(api))
        async with asyncio.timeout(DEADLINE_S):
            while ((await client.cluster("steady")) or {})["status"].get("nodes") != 3:
                await client.cache.current()
        del api.bindings["skerry:view"]
        await condition(client, "steady", "RightsComplete", "Repaired")
        before = await client.cluster("steady")
    async with client_of(fresh_nats_host) as client:
        looks: asyncio.Queue[object] = asyncio.Queue()
        client.bus.subscribe(subjects.PROBES, looks.put_nowait)
        async with Running(fresh_nats_host).running(), asyncio.timeout(DEADLINE_S):
            for _ in range(3):
                await looks.get()
            assert await client.cluster("steady") == before


async def test_an_api_server_that_is_slow_lives(
    client: Client, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer is within its time. A look as a whole was held against one: a member that answered was called away."""
    monkeypatch.setattr(upstream, "CALL_S", 2.0)
    monkeypatch.setattr(prober, "VERSION_EVERY", 1)
    beats: asyncio.Queue[Heartbeat] = asyncio.Queue()
    client.bus.subscribe(
        subjects.probe("slow"), lambda message: beats.put_nowait(msgspec.json.decode(message.data, type=Heartbeat))
    )
    await connect(client, "create", "slow", given(api))
    ready = await condition(client, "slow", "Ready", "Connected")
    api.delays_s = dict.fromkeys(("/readyz", KUBE_SYSTEM), 1.1)
    async with asyncio.timeout(120):
        while ((await beats.get()).rtt_ms or 0.0) < 2200:  # the question which cluster it is, and the call itself
            pass
    assert await condition(client, "slow", "Ready", "Connected") == ready
    api.delays_s.clear()


async def test_an_outage_is_seen_told_and_over(client: Client, api: ApiServer) -> None:
    await connect(client, "create", "flaky", given(api))
    await api.__aexit__()
    down = await condition(client, "flaky", "Ready", "Unreachable")
    assert "this host cannot reach it" in down["message"]
    await api.__aenter__()
    await condition(client, "flaky", "Ready", "Connected")


async def test_another_cluster_at_the_same_address_is_noticed(client: Client, api: ApiServer) -> None:
    await connect(client, "create", "swapped", given(api))
    api.uid = "somebody-else"
    found = await condition(client, "swapped", "Ready", "WrongCluster")
    assert "somebody-else" in found["message"]


async def test_another_cluster_is_told_with_both_uids_and_heals_by_itself(client: Client, api: ApiServer) -> None:
    joined = api.uid
    await connect(client, "create", "rebuilt", given(api))
    await api.replaced("somebody-else")
    found = await condition(client, "rebuilt", "Ready", "WrongCluster")
    for part in ("somebody-else", joined, "skerry cluster set rebuilt", "skerry cluster remove rebuilt"):
        assert part in found["message"]
    assert set(api.targets) == {KUBE_SYSTEM.encode()}
    await api.replaced(joined)
    await condition(client, "rebuilt", "Ready", "Connected")


async def test_a_binding_that_was_deleted_is_made_again_and_told(client: Client, api: ApiServer) -> None:
    await connect(client, "create", "tidied", given(api))
    await condition(client, "tidied", "RightsComplete", "Complete")
    del api.bindings["skerry:cluster-admin"]
    found = await condition(client, "tidied", "RightsComplete", "Repaired")
    assert "ClusterRoleBinding skerry:cluster-admin" in found["message"]
    assert "skerry:cluster-admin" in api.bindings


async def test_rights_that_were_taken_away_are_named_until_they_are_back(client: Client, api: ApiServer) -> None:
    await connect(client, "create", "narrowed", given(api))
    del api.bindings["skerry:edit"]
    api.refuse[BINDINGS] = Forbidden("RBAC says no")
    command = "kubectl create clusterrolebinding skerry:edit --clusterrole=edit --group=skerry:edit"
    await condition(client, "narrowed", "Ready", "RightsMissing", command)
    api.refuse.clear()
    await condition(client, "narrowed", "Ready", "Connected")
    api.refuse[KUBE_SYSTEM] = Forbidden("RBAC says no")
    await condition(client, "narrowed", "Ready", "RightsMissing", "allow this host's account `get`")


async def test_a_credential_that_is_no_longer_taken_is_named(client: Client, api: ApiServer) -> None:
    await connect(client, "create", "revoked", given(api))
    api.token = "another"
    await condition(client, "revoked", "CredentialsValid", "Refused")
    await connect(client, "update", "revoked", given(api))
    await condition(client, "revoked", "CredentialsValid", "NoExpiry")


# Beside what entries keep in place


@pytest.fixture
async def owner(nats_host: NatsHost) -> AsyncIterator[DesiredClient]:
    """Tenancy."""
    async with nats_host.bus("tenancy") as bus:
        yield DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")


async def tried(owner: DesiredClient, name: str) -> None:
    """Wait until an applier has tried what is wanted, and failed: the stand-in knows no apply."""
    async with asyncio.timeout(60):
        while (report := await owner.status(name)) is None or not report.problems:
            await asyncio.sleep(0.05)


async def test_a_look_that_makes_a_binding_right_is_over_before_everything_is_withdrawn(
    client: Client, api: ApiServer, owner: DesiredClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the binding would be there again when the member is gone."""
    withdraw_all, begun = Applier.withdraw_all, asyncio.Event()

    async def noted(applier: Applier, order: str, **more: Any) -> None:
        begun.set()
        await withdraw_all(applier, order, **more)

    monkeypatch.setattr(Applier, "withdraw_all", noted)
    await connect(client, "create", "leaver", given(api))
    await owner.put("leaver", Want({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
    await tried(owner, "leaver")
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def held(exchange: Exchange) -> None:
        document = msgspec.json.decode(await exchange.body(1 << 20))
        asked.set()
        await go_on.wait()
        api.bindings[document["metadata"]["name"]] = document
        await exchange.respond(201, JSON, b"{}")

    api.routes[BINDINGS] = held
    for name in ("skerry:view", "skerry:edit"):
        del api.bindings[name]
    async with asyncio.timeout(60):
        await asked.wait()
        await client.write(CLUSTER, "delete", "leaver")
        await asyncio.sleep(1.0)  # orders come every quarter of a second
        assert not begun.is_set()
        go_on.set()
        await begun.wait()
        while await client.cluster("leaver") is not None:
            await asyncio.sleep(0.05)
    assert "skerry:edit" not in api.bindings


async def test_what_an_entry_keeps_in_place_is_only_looked_at(
    client: Client, api: ApiServer, owner: DesiredClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is there; afterwards the look repairs again."""
    monkeypatch.setattr(membership, "KEPT_S", 0.1)
    await connect(client, "create", "beside", given(api))
    result = await owner.put("beside", Want(binding("view"), Options(adopt="Same")))
    await tried(owner, "beside")
    del api.bindings["skerry:view"]
    await condition(client, "beside", "Ready", "RightsMissing", "kubectl create clusterrolebinding skerry:view")
    assert "skerry:view" not in api.bindings
    await owner.withdraw("beside", result.key)
    await condition(client, "beside", "Ready", "Connected")
    assert "skerry:view" in api.bindings
