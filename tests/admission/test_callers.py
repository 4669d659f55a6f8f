"""Owners answer writes that a proxy signed, and nothing else, whoever brings them; on a real bus."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from skerry import subjects
from skerry.admission import Admitted, Callers, Rules, Writes
from skerry.api.kinds import CREDENTIAL, WORKSPACE, Kind
from skerry.api.messages import AUDIT_ID, SIGNATURE, Caller, CertifyRequest, Write, WriteOptions, WriteRequest
from skerry.api.meta import Document
from skerry.bus import BucketConfig, Bus, Message
from skerry.bus.headers import encode_headers
from skerry.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from skerry.identity import nkey, requests
from skerry.identity.assertion import LIFETIME_S, Signer, make_record
from skerry.identity.nkey import KeyType
from skerry.identity.trust import pinned
from skerry.storage import Store
from skerry.storage.documents import KEPT_WRITE_IDS
from tests.fixtures.nats import NatsHost

ADMIN = Caller(user="admin", groups=("skerry:cluster-admin",))
CREATE, DELETE, PATCH = (subjects.write("tenancy", "workspaces", verb) for verb in ("create", "delete", "patch"))


class Recorded(Rules):
    """Admits everything and remembers whose it was."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.audit_ids: list[str] = []

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        self.callers.append(request.caller)
        self.audit_ids.append(request.audit_id)
        return Admitted(document)


class World:
    """Tenancy as an owner without rules, a proxy's bus, and the key that proxies' records are signed with."""

    def __init__(self, host: NatsHost, bus: Bus, stores: dict[Kind, Store], rules: Recorded) -> None:
        self.host, self.bus, self.stores, self.rules = host, bus, stores, rules
        self.headers: dict[str, str] = {}
        """Beside the signature."""

    async def send(self, subject: str, payload: bytes, signature: str | None) -> Any:
        """The answer to a message as it is."""
        headers = None if signature is None else {SIGNATURE: signature, **self.headers}
        return msgspec.json.decode((await self.bus.request(subject, payload, timeout_s=5, headers=headers)).data)

    async def signed(self, subject: str, payload: bytes) -> Any:
        return await self.send(subject, payload, self.host.sign(ADMIN, subject, payload))

    async def there(self, name: str, kind: Kind = WORKSPACE) -> bool:
        return await self.stores[kind].find(name) is not None


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    async with nats_host.bus("tenancy") as owner, nats_host.bus("proxy") as bus:
        await nats_host.make_buckets()
        bucket = await owner.bucket(subjects.RESOURCES)
        callers, rules = Callers(pinned(nats_host.trust_root)), Recorded()
        stores = {kind: Store(bucket, kind) for kind in (WORKSPACE, CREDENTIAL)}
        writes = [Writes(store, rules) for store in stores.values()]
        service = owner.serve("tenancy", "0", {k: v for each in writes for k, v in each.endpoints(callers).items()})
        await owner.ready()
        yield World(nats_host, bus, stores, rules)
        service.stop()


def create(name: str, kind: Kind = WORKSPACE) -> bytes:
    """The message of a create."""
    spec = {"user": "root"} if kind is CREDENTIAL else {}
    document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": spec}
    return msgspec.json.encode(Write(request_id=uuid.uuid4().hex, body=msgspec.Raw(msgspec.json.encode(document))))


def delete(name: str) -> bytes:
    return msgspec.json.encode(Write(request_id=uuid.uuid4().hex, name=name))


def patch(name: str, **labels: str) -> bytes:
    body = msgspec.Raw(msgspec.json.encode({"metadata": {"labels": labels}}))
    merge = "application/merge-patch+json"
    return msgspec.json.encode(Write(request_id=uuid.uuid4().hex, name=name, body=body, content_type=merge))


def a_name() -> str:
    return f"w{uuid.uuid4().hex[:12]}"


pytestmark = pytest.mark.integration


async def test_a_signed_write_is_its_callers(world: World) -> None:
    name = a_name()
    await world.signed(CREATE, create(name))
    assert world.rules.callers == [ADMIN]
    assert await world.there(name)


async def test_the_id_of_the_request_is_beside_its_caller(world: World) -> None:
    own = str(uuid.uuid4())
    for said in (own, "another", ""):
        world.headers = {AUDIT_ID: said}
        await world.signed(CREATE, create(a_name()))
    assert world.rules.audit_ids == [own, "", ""]


async def test_a_caller_in_the_message_is_nobody(world: World) -> None:
    payload = msgspec.json.encode({**msgspec.json.decode(create(a_name())), "caller": {"user": "root"}})
    await world.signed(CREATE, payload)
    assert world.rules.callers == [ADMIN]


async def refused(world: World, why: str, subject: str, payload: bytes, signature: str | None) -> None:
    """It is a Status 401, and nothing is stored."""
    with pytest.raises(Unauthorized, match=why) as caught:
        await world.send(subject, payload, signature)
    assert (caught.value.code, caught.value.reason) == (401, "Unauthorized")
    assert world.rules.callers == []


async def test_an_unsigned_write_is_refused(world: World) -> None:
    await refused(world, "not signed", CREATE, create(a_name()), None)
    await refused(world, "garbled", CREATE, create(a_name()), "QUJD")


async def test_what_another_host_or_an_uncertified_key_signed_is_refused(world: World) -> None:
    payload, key = create(a_name()), nkey.create(KeyType.USER)
    for root in (nkey.create(KeyType.ACCOUNT), key):
        foreign = Signer("P1", key, make_record(root, "P1", key.public, int(time.time()) + 3600))
        signature = requests.sign(foreign, ADMIN, CREATE, payload, time.time())
        await refused(world, "did not certify", CREATE, payload, signature)


@pytest.mark.parametrize("shift_s", [-61, -3600, 31, 3600])
async def test_an_expired_or_early_one_is_refused(world: World, shift_s: float) -> None:
    payload = create(a_name())
    signature = requests.sign(world.host.proxy, ADMIN, CREATE, payload, time.time() + shift_s)
    await refused(world, "out of date", CREATE, payload, signature)


async def test_a_redated_one_is_refused(world: World) -> None:
    payload = create(a_name())
    old = base64.b64decode(requests.sign(world.host.proxy, ADMIN, CREATE, payload, time.time() - 3600))
    record, record_signature, claims, signature = msgspec.msgpack.decode(old)
    fields = msgspec.msgpack.decode(claims)
    fields[5], fields[6] = int(time.time()), int(time.time()) + 60
    again = msgspec.msgpack.encode([record, record_signature, msgspec.msgpack.encode(fields), signature])
    await refused(world, "not signed by the proxy", CREATE, payload, base64.b64encode(again).decode())


async def test_a_retargeted_one_is_refused(world: World) -> None:
    """Another kind, another verb, and every field of the message."""
    name = a_name()
    payload = create(name)
    signature = world.host.sign(ADMIN, CREATE, payload)
    for subject in (subjects.write("tenancy", "credentials", "create"), DELETE, PATCH):
        await refused(world, "another request", subject, payload, signature)
    write = msgspec.json.decode(payload, type=Write)
    for changed in (
        {"name": "other"},
        {"namespace": "other"},
        {"subresource": "status"},
        {"request_id": "other"},
        {"content_type": "application/merge-patch+json"},
        {"options": WriteOptions(dry_run=True)},
        {"options": WriteOptions(field_manager="other")},
        {"body": msgspec.Raw(b"{}")},
    ):
        other = msgspec.json.encode(msgspec.structs.replace(write, **changed))
        await refused(world, "another request", CREATE, other, signature)
    assert not await world.there(name)


async def test_a_replayed_delete_does_not_delete_the_next_object_of_that_name(world: World) -> None:
    name = a_name()
    await world.signed(CREATE, create(name))
    payload = delete(name)
    signature = world.host.sign(ADMIN, DELETE, payload)
    await world.send(DELETE, payload, signature)
    await world.signed(CREATE, create(name))
    with pytest.raises(Unauthorized, match="used before"):
        await world.send(DELETE, payload, signature)
    assert await world.there(name)


async def test_a_replayed_patch_does_not_undo_what_came_after_it(world: World) -> None:
    name = a_name()
    await world.signed(CREATE, create(name))
    payload = patch(name, tier="gold")
    signature = world.host.sign(ADMIN, PATCH, payload)
    await world.send(PATCH, payload, signature)
    await world.signed(PATCH, patch(name, tier="tin"))
    with pytest.raises(Unauthorized, match="used before"):
        await world.send(PATCH, payload, signature)
    assert (await world.stores[WORKSPACE].get(name)).document()["metadata"]["labels"] == {"tier": "tin"}


class Replica:
    """Another process of the owner: its own memory of signatures, the same store."""

    def __init__(self, world: World) -> None:
        self._world, self._callers = world, Callers(pinned(world.host.trust_root))

    async def played(self, subject: str, payload: bytes, signature: str) -> Any:
        """Its answer to a message that the first replica has answered already."""
        kind = next(each for each in self._world.stores if subject.startswith(f"tenancy.{each.plural}."))
        answer = Writes(self._world.stores[kind], self._world.rules).endpoints(self._callers)[subject]
        connection: Any = None
        message = Message(connection, subject, "", payload, encode_headers({SIGNATURE: signature}))
        return msgspec.json.decode(await answer(message))


async def copied(world: World, subject: str, payload: bytes) -> str:
    """Have the first replica answer a request; its signature."""
    signature = world.host.sign(ADMIN, subject, payload)
    await world.send(subject, payload, signature)
    return signature


async def revision(world: World) -> int:
    return await world.stores[WORKSPACE]._bucket.last_revision()


@pytest.mark.parametrize("later", [0, 1, 2])
async def test_a_copy_played_to_another_replica_is_no_second_write(world: World, later: int) -> None:
    """The request id is in the object, with those of the writes before it: also where others came after it."""
    name = a_name()
    for subject, payload in ((CREATE, create(name)), (PATCH, patch(name, tier="gold"))):
        signature = await copied(world, subject, payload)
        for number in range(later):
            await world.signed(PATCH, patch(name, tier=f"tin-{number}"))
        before, document = await revision(world), (await world.stores[WORKSPACE].get(name)).document()
        assert (await Replica(world).played(subject, payload, signature))["object"] == document
        assert await revision(world) == before


async def test_a_copy_of_a_create_does_not_bring_back_what_was_deleted(world: World) -> None:
    name = a_name()
    payload = create(name)
    signature = await copied(world, CREATE, payload)
    await world.signed(DELETE, delete(name))
    with pytest.raises(Conflict, match="created it before, and it was deleted since"):
        await Replica(world).played(CREATE, payload, signature)
    assert not await world.there(name)


async def test_a_copy_of_a_delete_or_a_patch_is_not_done_to_the_next_object_of_that_name(world: World) -> None:
    name = a_name()
    await world.signed(CREATE, create(name))
    change, removal = patch(name, tier="gold"), delete(name)
    changed, removed = await copied(world, PATCH, change), await copied(world, DELETE, removal)
    await world.signed(CREATE, create(name))
    before = await revision(world)
    with pytest.raises(NotFound):
        await Replica(world).played(DELETE, removal, removed)
    await Replica(world).played(PATCH, change, changed)
    assert await revision(world) == before


async def test_a_copy_is_forgotten_with_the_third_write_after_it_and_good_for_a_minute_where_it_was_not_seen(
    world: World,
) -> None:
    """What does not hold (docs/security.md), so that nobody builds on it: only who listens as the owner has a copy."""
    name = a_name()
    await world.signed(CREATE, create(name))
    payload = patch(name, tier="gold")
    signature = await copied(world, PATCH, payload)
    for number in range(KEPT_WRITE_IDS):
        await world.signed(PATCH, patch(name, tier=f"tin-{number}"))
    with pytest.raises(Unauthorized, match="used before"):
        await world.send(PATCH, payload, signature)
    done = await Replica(world).played(PATCH, payload, signature)
    assert done["object"]["metadata"]["labels"] == {"tier": "gold"}
    late = Callers(pinned(world.host.trust_root), clock=lambda: time.time() + LIFETIME_S)
    with pytest.raises(Unauthorized, match="out of date"):
        late.read(Message(None, PATCH, "", payload, encode_headers({SIGNATURE: signature})), PATCH)  # type: ignore[arg-type]


async def test_a_proxy_that_repeats_a_request_signs_it_anew_and_has_one_write(world: World) -> None:
    name = a_name()
    payload = create(name)
    first, second = [await world.signed(CREATE, payload) for _ in range(2)]
    assert first["object"] == second["object"]
    change = patch(name, tier="gold")
    revisions = [(await world.signed(PATCH, change))["object"]["metadata"]["resourceVersion"] for _ in range(2)]
    assert revisions[0] == revisions[1]
    removal = delete(name)
    assert [(await world.signed(DELETE, removal))["gone"] for _ in range(2)] == [True, True]


async def test_refusals_are_logged_and_told_once_a_minute_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    now, told = time.time(), list[tuple[str, str]]()
    callers = Callers(
        pinned(nkey.create(KeyType.ACCOUNT).public), lambda: now, lambda subject, why: told.append((subject, why))
    )
    caplog.set_level(logging.WARNING)

    def reasons() -> list[str]:
        caplog.clear()
        for signature in ("", "QUJD", "", "QUJD"):
            with pytest.raises(Unauthorized):
                callers.read(_message(signature), CREATE)
        return [record.__dict__["reason"] for record in caplog.records]

    assert len(reasons()) == 2
    assert [subject for subject, _ in told] == [CREATE, CREATE]
    now += 59
    assert reasons() == []
    now += 1
    assert len(reasons()) == 2


def _message(signature: str, data: bytes = b"{}") -> Any:
    made = Message.__new__(Message)
    made.subject, made.data, made._headers = CREATE, data, f"NATS/1.0\r\n{SIGNATURE}: {signature}\r\n\r\n".encode()
    return made


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[" * 100_000, b'{"requestId":1}', b'{"requestId":"\xff"}'])
def test_what_is_signed_and_no_write_is_a_bad_request(nats_host: NatsHost, data: bytes) -> None:
    with pytest.raises(BadRequest, match="not a write request"):
        Callers(pinned(nats_host.trust_root)).read(_message(nats_host.sign(ADMIN, CREATE, data), data), CREATE)


# What the credential of a service is worth


@pytest.mark.parametrize("service", ["tenancy", "registry"])
async def test_no_service_may_have_a_key_certified(nats_host: NatsHost, service: str) -> None:
    ask = msgspec.json.encode(CertifyRequest(proxy="P1", key=nkey.create(KeyType.USER).public))
    async with nats_host.connection(nats_host.service(service)) as connection:
        with pytest.raises(Forbidden):
            await connection.request(subjects.CERTIFY, ask, timeout_s=2)


@pytest.mark.parametrize("service", ["tenancy", "registry"])
async def test_no_service_may_ask_for_a_write(world: World, service: str) -> None:
    async with world.host.connection(world.host.service(service)) as connection:
        with pytest.raises(Forbidden):
            await connection.request(CREATE, create(a_name()), timeout_s=2)
    assert world.rules.callers == []


async def test_a_proxys_user_alone_does_not_make_an_administrator(world: World) -> None:
    """Its bus credential may publish writes; without a certified key each of them is refused."""
    name, thief = a_name(), nkey.create(KeyType.USER)
    payload = create(name, CREDENTIAL)
    subject = subjects.write("tenancy", "credentials", "create")
    own = Signer("P1", thief, make_record(thief, "P1", thief.public, int(time.time()) + 3600))
    for signature in (None, requests.sign(own, ADMIN, subject, payload, time.time())):
        with pytest.raises(Unauthorized):
            await world.send(subject, payload, signature)
    assert not await world.there(name, CREDENTIAL)


async def test_what_a_service_makes_the_bus_deliver_to_an_owner_is_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The bus checks no subject that JetStream delivers to: the registry has it push what it stored to tenancy's endpoint.

    Without signatures this was a write as an administrator.
    """
    name, subject = a_name(), subjects.write("tenancy", "credentials", "create")
    async with world.host.bus("registry") as thief:
        await thief.bucket("registry", create=BucketConfig())
        connection = await thief.connection(5)
        payload = create(name, CREDENTIAL)
        stored = await connection.request("$KV.registry.forged", payload, timeout_s=5)
        consumer = {
            "stream_name": "KV_registry",
            "config": {
                "name": "thief",
                "deliver_subject": subject,
                "deliver_group": "tenancy",
                "ack_policy": "none",
                "deliver_policy": "all",
                "filter_subject": "$KV.registry.forged",
            },
        }
        caplog.set_level(logging.WARNING)
        made = await connection.request(
            "$JS.API.CONSUMER.CREATE.KV_registry.thief.$KV.registry.forged",
            msgspec.json.encode(consumer),
            timeout_s=5,
        )
        assert b"error" not in stored.data
        assert b"error" not in made.data, made.data
        async with asyncio.timeout(10):
            while not any(record.__dict__.get("subject") == subject for record in caplog.records):
                await asyncio.sleep(0.01)
    assert world.rules.callers == []
    assert not await world.there(name, CREDENTIAL)
