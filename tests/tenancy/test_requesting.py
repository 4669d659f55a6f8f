"""AccessRequests on a real bus, decided by two replicas of tenancy: one grant each, made once, gone with its request."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from services.tenancy import requests
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.kinds import ACCESS_GRANT, ACCESS_REQUEST, CLUSTER, EVENT, SETTING, Kind
from skerry.api.messages import SIGNATURE, Caller, Write, WriteAnswer, WriteOptions
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import BucketConfig, Bus
from skerry.errors import BadRequest, Conflict, Forbidden, NotFound, StatusError
from skerry.service import Process
from skerry.storage import Store, make_bucket
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving

pytestmark = pytest.mark.integration
ADMIN = ("skerry:cluster-admin",)


class World:
    """Two replicas of tenancy, and what the front door asks them."""

    def __init__(self, host: NatsHost, bus: Bus, process: Process, stores: dict[Kind, Store], clusters: Store) -> None:
        self.host, self.bus, self.process, self.stores, self.clusters = host, bus, process, stores, clusters

    async def ask(self, subject: str, write: Write, user: str, groups: tuple[str, ...] = ()) -> bytes:
        payload = msgspec.json.encode(write)
        signature = self.host.sign(Caller(user=user, groups=groups), subject, payload)
        return (await self.bus.request(subject, payload, timeout_s=15, headers={SIGNATURE: signature})).data

    async def create(self, user: str, name: str = "", **spec: Any) -> tuple[Document, WriteAnswer]:
        """Ask for edit in namespace shop on m1 for an hour."""
        base = {
            "clusters": {"names": ["m1"]},
            "namespaces": ["shop"],
            "role": "edit",
            "duration": "1h",
            "reason": "INC",
        }
        metadata = {"name": name} if name else {"generateName": "req-"}
        document = {"apiVersion": ACCESS_REQUEST.api_version, "kind": ACCESS_REQUEST.kind, "metadata": metadata}
        body = msgspec.Raw(msgspec.json.encode(document | {"spec": base | spec}))
        subject = subjects.write("tenancy", ACCESS_REQUEST.plural, "create")
        answer = msgspec.json.decode(
            await self.ask(subject, Write(request_id=uuid.uuid4().hex, body=body), user), type=WriteAnswer
        )
        return msgspec.json.decode(answer.object), answer

    async def act(self, name: str, what: str, user: str, groups: tuple[str, ...] = ADMIN, **body: str) -> Document:
        """Approve, deny or end."""
        write = Write(
            request_id=uuid.uuid4().hex, name=name, subresource=what, body=msgspec.Raw(msgspec.json.encode(body))
        )
        subject = subjects.action("tenancy", ACCESS_REQUEST.plural, what, "create")
        document: Document = msgspec.json.decode(await self.ask(subject, write, user, groups))
        return document

    async def request(self, name: str) -> Document:
        return (await self.stores[ACCESS_REQUEST].get(name)).document()

    async def state(self, name: str, state: str) -> Document:
        """Wait for a state; the status."""
        async with asyncio.timeout(20):
            while (await self.request(name))["status"]["state"] != state:
                await asyncio.sleep(0.05)
        status: Document = (await self.request(name))["status"]
        return status

    async def no_grant(self, name: str) -> None:
        """Wait until there is none."""
        async with asyncio.timeout(20):
            while await self.stores[ACCESS_GRANT].find(name) is not None:
                await asyncio.sleep(0.05)

    async def store(self, name: str, *, approved_for_s: float = 3600.0, at: float = 0.0, **status: Any) -> None:
        """A request that was approved a moment ago, by a replica which then died."""
        now = at or time.time()
        approval = {"by": "bob", "at": rfc3339(now)}
        document = {
            "metadata": {"name": name},
            "spec": {
                "clusters": {"names": ["m1"]},
                "role": "edit",
                "duration": "1h",
                "reason": "x",
                "pendingFor": "24h",
            },
            "status": {
                "state": "Approved",
                "requestedBy": "alice",
                "approvals": [approval],
                "ends": rfc3339(now + approved_for_s),
                **status,
            },
        }
        await self.stores[ACCESS_REQUEST].create(document)

    @asynccontextmanager
    async def setting(self, name: str, value: str) -> AsyncIterator[None]:
        await self.stores[SETTING].create({"metadata": {"name": name}, "spec": {"value": value}})
        try:
            yield
        finally:
            await self.stores[SETTING].delete(name)

    @asynccontextmanager
    async def grant(
        self, name: str, user: str, role: str, cluster: str, namespaces: list[str] | None = None, expires: str = ""
    ) -> AsyncIterator[None]:
        """A grant, once tenancy knows of it."""
        uid = (await self.clusters.get(cluster)).uid
        spec = {
            "subjects": [{"kind": "User", "name": user}],
            "clusters": {"names": [cluster]},
            "role": role,
            **({"namespaces": namespaces} if namespaces else {}),
            **({"expires": expires} if expires else {}),
        }
        store = self.stores[ACCESS_GRANT]
        await store.create(
            {"metadata": {"name": name}, "spec": spec, "status": {"clusters": [{"name": cluster, "uid": uid}]}}
        )
        try:
            yield
        finally:
            await store.delete(name)

    async def told(self, name: str) -> set[str]:
        """Reasons of the Events about a request so far."""
        bucket = await make_bucket(self.bus, subjects.EVENTS)
        async with asyncio.timeout(5):
            keys = [key async for key in _keys(bucket)]
        store = Store(bucket, EVENT)
        reasons = set()
        for namespace, event in keys:
            document = (await store.get(event, namespace)).document()
            if (
                document["involvedObject"].get("name") == name
                and document["involvedObject"]["kind"] == ACCESS_REQUEST.kind
            ):
                reasons.add(f"{document['reason']}: {document['message']}")
        return reasons


async def _keys(bucket: Any) -> AsyncIterator[tuple[str, str]]:
    from skerry.bus import Entry, Filled

    async with bucket.watch() as watch:
        async for event in watch:
            if isinstance(event, Entry):
                _, _, namespace, name = subjects.parse_key(event.key)
                yield namespace, name
            elif isinstance(event, Filled):
                return


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    async with (
        serving(nats_host, (SERVICE, TenancySettings())) as process,
        serving(nats_host, (SERVICE, TenancySettings())),
        nats_host.bus("proxy") as proxy,
        nats_host.bus("tenancy") as tenancy,
        nats_host.bus("registry") as registry,
    ):
        bucket = await tenancy.bucket(subjects.RESOURCES, create=BucketConfig())
        stores = {kind: Store(bucket, kind) for kind in (ACCESS_REQUEST, ACCESS_GRANT, SETTING)}
        clusters = Store(await registry.bucket(subjects.RESOURCES), CLUSTER)
        for name in ("m1", "host"):
            await clusters.create(
                {
                    "metadata": {"name": name},
                    "spec": {"role": "member", "connection": {"mode": "agent"}},
                    "status": {"uid": f"uid-{name}"},
                }
            )
        try:
            yield World(nats_host, proxy, process, stores, clusters)
        finally:
            for name in ("m1", "host"):
                await clusters.delete(name)
            for item in process.informer.list(ACCESS_REQUEST):
                await stores[ACCESS_REQUEST].delete(item.name)


async def refused(attempt: Awaitable[object], error: type[StatusError], text: str) -> None:
    with pytest.raises(error) as caught:
        await attempt
    assert text in caught.value.message


async def test_what_is_approved_is_a_grant_of_its_own_bound_to_the_cluster_and_ends_with_the_request(
    world: World,
) -> None:
    document, _ = await world.create("alice")
    name = document["metadata"]["name"]
    assert document["status"]["requestedBy"] == "alice"
    done = await world.act(name, "approve", "bob", duration="30m", comment="go")
    assert (done["kind"], done["status"]["state"], done["status"]["grant"]) == ("AccessRequest", "Approved", name)
    grant = (await world.stores[ACCESS_GRANT].get(name)).document()
    assert grant["spec"]["expires"] == done["status"]["ends"]
    assert [each["name"] for each in grant["status"]["clusters"] if each["uid"]] == ["m1"]
    assert requests.made_of(grant, document["metadata"]["uid"])
    again, answer = await world.create("alice", duration="2h")
    assert (again["metadata"]["name"], answer.created) == (name, False)
    assert answer.warnings == (
        f"accessrequest {name} covers this and is approved until {done['status']['ends']}: nothing new was made",
    )
    await refused(world.act(name, "approve", "carol"), Conflict, "approved by bob")
    await refused(world.act(name, "deny", "carol"), Conflict, "nothing is left to deny")
    over = await world.act(name, "end", "alice", (), comment="done")
    assert over["status"]["message"] == "ended by alice: done"
    assert await world.stores[ACCESS_GRANT].find(name) is None
    await refused(world.act(name, "end", "alice", ()), Conflict, "is over already")
    async with asyncio.timeout(20):
        while len(await world.told(name)) < 4:
            await asyncio.sleep(0.1)
    assert await world.told(name) == {
        "Requested: alice asks for edit in namespace shop on m1 for 1h: INC",
        "ApprovedBy: approved by bob: go",
        f"Approved: until {done['status']['ends']}",
        "Ended: ended by alice: done",
    }


async def test_of_two_replicas_that_approve_at_once_one_does_and_there_is_one_grant(world: World) -> None:
    for _ in range(10):
        document, _ = await world.create("alice")
        name = document["metadata"]["name"]
        people = [f"bob{number}" for number in range(6)]
        answers = await asyncio.gather(*(world.act(name, "approve", user) for user in people), return_exceptions=True)
        done = [each for each in answers if isinstance(each, dict)]
        assert len(done) == 1
        assert all(isinstance(each, Conflict) for each in answers if not isinstance(each, dict))
        status = (await world.request(name))["status"]
        assert len(status["approvals"]) == 1
        grant = (await world.stores[ACCESS_GRANT].get(name)).document()
        assert grant["spec"]["expires"] == status["ends"]
        await world.act(name, "end", "alice", ())
        assert await world.stores[ACCESS_GRANT].find(name) is None


async def test_who_ends_while_somebody_approves_has_nothing_afterwards(world: World) -> None:
    for _ in range(10):
        document, _ = await world.create("alice")
        name = document["metadata"]["name"]
        await asyncio.gather(
            world.act(name, "approve", "bob"), world.act(name, "end", "alice", ()), return_exceptions=True
        )
        assert (await world.request(name))["status"]["state"] == "Ended"
        await world.no_grant(name)


async def test_a_grant_is_made_once_whoever_died_before_or_after(world: World) -> None:
    await world.store("died-before")
    async with asyncio.timeout(20):
        while not (await world.request("died-before"))["status"].get("grant"):
            await asyncio.sleep(0.05)
    grant = await world.stores[ACCESS_GRANT].get("died-before")

    await world.stores[ACCESS_REQUEST].modify(  # died between the grant and saying so
        "died-before", lambda now: {**now, "status": {k: v for k, v in now["status"].items() if k != "grant"}}
    )
    async with asyncio.timeout(20):
        while not (await world.request("died-before"))["status"].get("grant"):
            await asyncio.sleep(0.05)
    assert (await world.stores[ACCESS_GRANT].get("died-before")).uid == grant.uid

    await world.stores[ACCESS_GRANT].delete("died-before")  # somebody revokes it
    assert (await world.state("died-before", "Ended"))["message"] == "its grant was deleted"
    assert await world.stores[ACCESS_GRANT].find("died-before") is None

    await world.store("revoked-unsaid", at=time.time() - 5)
    await world.state("revoked-unsaid", "Approved")
    await asyncio.wait_for(_made(world, "revoked-unsaid"), 20)
    await world.stores[ACCESS_GRANT].delete("revoked-unsaid")
    await world.state("revoked-unsaid", "Ended")
    await world.process.informer.current()
    await world.stores[ACCESS_REQUEST].modify(  # as if nobody had said that it was made, and it is gone already
        "revoked-unsaid",
        lambda now: {
            **now,
            "status": {k: v for k, v in now["status"].items() if k != "grant"}
            | {"state": "Approved", "ends": rfc3339(time.time() + 3600)},
        },
    )
    assert (await world.state("revoked-unsaid", "Ended"))["message"] == "its grant was deleted"
    assert await world.stores[ACCESS_GRANT].find("revoked-unsaid") is None


async def _made(world: World, name: str) -> None:
    while await world.stores[ACCESS_GRANT].find(name) is None:
        await asyncio.sleep(0.05)


async def test_a_grant_of_somebody_else_is_left_alone(world: World) -> None:
    grant = {"metadata": {"name": "taken"}, "spec": {"subjects": [], "clusters": {"names": ["m9"]}, "role": "view"}}
    await world.stores[ACCESS_GRANT].create(grant)
    try:
        await refused(world.create("alice", "taken"), Conflict, "ask under another name")
        await world.store("taken")
        status = await world.state("taken", "Ended")
        assert "not of this request" in status["message"]
        assert (await world.stores[ACCESS_GRANT].get("taken")).document()["spec"]["role"] == "view"
    finally:
        await world.stores[ACCESS_GRANT].delete("taken")


async def test_time_ends_what_is_approved_and_what_waits_and_forgets_what_is_over(world: World) -> None:
    await world.store("soon", approved_for_s=3)
    await asyncio.wait_for(_made(world, "soon"), 20)
    async with asyncio.timeout(20):
        while not any(each.startswith("EndsSoon: ") for each in await world.told("soon")):
            await asyncio.sleep(0.1)
    assert (await world.state("soon", "Ended"))["message"] == "its time is over"
    await world.no_grant("soon")
    await world.store("waited", state="Pending", approvals=[], ends=rfc3339(time.time() + 1))
    assert (await world.state("waited", "Expired"))["message"] == "nobody approved it within 24h"
    await world.store("old", state="Denied", ends=rfc3339(time.time() - requests.KEPT_S))
    async with asyncio.timeout(20):
        while await world.stores[ACCESS_REQUEST].find("old") is not None:
            await asyncio.sleep(0.05)


async def test_a_request_that_is_deleted_takes_its_grant_along(world: World) -> None:
    document, _ = await world.create("alice")
    name = document["metadata"]["name"]
    await world.act(name, "approve", "bob")
    await world.stores[ACCESS_REQUEST].delete(name)
    await world.no_grant(name)


async def test_settings_say_who_how_many_and_how_long(world: World) -> None:
    document, _ = await world.create("bob")
    name = document["metadata"]["name"]
    await refused(world.act(name, "approve", "bob"), Forbidden, "access.self-approval")
    await refused(world.act(name, "approve", "carol", duration="9h"), BadRequest, "must be between 1s and 8h")
    async with world.setting("access.approvals", "2"):
        assert (await world.act(name, "approve", "carol"))["status"]["message"] == "waits for approval: 1 of 2"
        await refused(world.act(name, "approve", "carol"), Conflict, "approved by carol already")
        async with world.setting("access.self-approval", "true"):
            done = (await world.act(name, "approve", "bob"))["status"]
    assert done["state"] == "Approved"
    assert [each.get("own", False) for each in done["approvals"]] == [False, True]
    async with world.setting("access.longest", "10h"):
        await world.create("dave", duration="10h")


async def test_only_who_could_give_it_decides_and_a_dry_run_decides_nothing(world: World) -> None:
    document, _ = await world.create("alice")
    name = document["metadata"]["name"]
    for what in ("approve", "deny", "end"):
        for groups in ((), ("skerry:edit",), ("org:shop",)):
            await refused(world.act(name, what, "mallory", groups), NotFound, f'"{name}" not found')
    async with world.grant("reader", "vera", "view", "host"), world.grant("narrow", "nora", "admin", "m1", ["shop"]):
        await refused(
            world.act(name, "approve", "vera", ()), Forbidden, "may not approve it: it takes admin in the whole of m1"
        )
        await refused(
            world.act(name, "approve", "nora", ()), NotFound, "not found"
        )  # admin of a namespace gives nothing
    async with world.grant("cluster", "carl", "admin", "m1", expires=rfc3339(time.time() + 1800)):
        await refused(world.act(name, "approve", "carl", ()), Forbidden, "an end that is not after")
        done = await world.act(name, "approve", "carl", (), duration="10m")
        assert done["status"]["state"] == "Approved"
    await world.act(name, "end", "alice", ())
    strong, _ = await world.create("alice", role="cluster-admin", namespaces=[])
    async with world.grant("cluster", "carl", "admin", "m1"):
        await refused(world.act(strong["metadata"]["name"], "approve", "carl", ()), NotFound, "not found")
    document, _ = await world.create("alice")
    name = document["metadata"]["name"]
    write = Write(
        request_id="dry", name=name, subresource="approve", body=msgspec.Raw(b"{}"), options=WriteOptions(dry_run=True)
    )
    subject = subjects.action("tenancy", ACCESS_REQUEST.plural, "approve", "create")
    answer = msgspec.json.decode(await world.ask(subject, write, "bob", ADMIN))
    assert answer["status"]["state"] == "Approved"
    assert (await world.request(name))["status"]["state"] == "Pending"
    assert await world.stores[ACCESS_GRANT].find(name) is None
    assert (await world.act(name, "deny", "bob", comment="no"))["status"]["message"] == "denied by bob: no"


async def test_a_user_has_a_bounded_number_of_requests(world: World) -> None:
    for number in range(requests.MAX_PENDING):
        await world.create("eve", namespaces=[f"n{number}"])
    await refused(world.create("eve", namespaces=["more"]), StatusError, "skerry request end req-")
    await eventually(lambda: not world.process.problem, 5)
