"""Delegations, asked of tenancy over the bus: for whom an object says, without what they have no more, and by nobody else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from services.appstore.delegations import asking, is_revoked
from services.tenancy import delegating, model
from services.tenancy.rules import new_token
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from services.tenancy.writers import strong_groups
from skerry import subjects
from skerry.api.delegations import LIFE_S, DelegationAnswer, DelegationRequest, DelegationSubject
from skerry.api.identities import revocation_name
from skerry.api.kinds import APP_RELEASE, CLUSTER, CREDENTIAL, KINDS, REVOCATION
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import Bus
from skerry.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, StatusError
from skerry.storage import Item, Store, utc_now
from skerry.storage.documents import item
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving

AT = "2026-01-02T00:00:00Z"
SUBJECT = DelegationSubject(kind="AppRelease", namespace="shop", name="web", uid="u")
REQUEST = DelegationRequest(of=SUBJECT, user="alice", groups=("org:shop",), at=AT, clusters=("m1",))


def changed(request: DelegationRequest, **more: Any) -> DelegationRequest:
    return msgspec.structs.replace(request, **more)


# What can be no request


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"user": ""}, "nobody is called"),
        ({"user": "system:admin"}, "nobody is called"),
        ({"user": "Skerry:appstore"}, "nobody is called"),
        ({"user": "serviceaccount:system:x"[:15]}, "nobody is called"),
        ({"groups": ("system:masters",)}, "reserved"),
        ({"groups": ("ok", "skerry:ns:shop:admin")}, "reserved"),
        ({"groups": ("SKERRY:cluster-admin",)}, "reserved"),
        ({"groups": ("skerry:host-view",)}, "reserved"),
        ({"groups": ("skerry:namespaces",)}, "reserved"),
        ({"groups": tuple(f"g{number}" for number in range(501))}, "501 groups"),
        ({"clusters": ()}, "at least one"),
        ({"clusters": ("*",)}, "no name for all"),
        ({"clusters": ("m1", ">")}, "no name for all"),
        ({"clusters": ("m1,m2",)}, "no name for all"),
        ({"at": "yesterday"}, "no time"),
        ({"at": ""}, "no time"),
        ({"at": "2026-01-03T00:02:00Z"}, "was not yet"),
    ],
)
def test_what_no_object_can_be_behind_is_refused(more: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        delegating.checked(changed(REQUEST, **more), 1767398400.0)


@pytest.mark.parametrize("user", ["alice", "serviceaccount:ci:robot", "auth0|7"])
def test_people_and_service_accounts_have_delegations(user: str) -> None:
    assert delegating.checked(changed(REQUEST, user=user), 1767398400.0) == 1767312000.0


@pytest.mark.parametrize("kind", ["Workspace", "AppInstance", "Secret", "apprelease"])
def test_kinds_that_do_not_say_who_changed_them_have_none(kind: str) -> None:
    with pytest.raises(BadRequest, match="says who changed it"):
        delegating.kind_of(DelegationSubject(kind=kind, name="x", uid="u"))
    assert [each.kind for each in KINDS if each.actor] == ["AppRelease"]


@pytest.mark.parametrize(
    ("metadata", "spec", "field"),
    [
        ({}, {"delegation": {"of": msgspec.to_builtins(SUBJECT), "at": AT, "clusters": ["m1"]}}, "spec.delegation"),
        ({"labels": {"skerry.dev/delegation": "appstore"}}, {}, "metadata.labels"),
    ],
)
def test_nobody_makes_one_as_a_credential(metadata: Document, spec: Document, field: str) -> None:
    with pytest.raises(Invalid, match=field):
        model.admit({"metadata": metadata, "spec": {"user": "alice", **spec}}, new_token(), utc_now())


# Asked over the bus


class World:
    """Tenancy, and what is stored."""

    def __init__(self, bus: Bus, stores: dict[str, Store]) -> None:
        self.ask, self.stores = asking(bus), stores
        self.made: list[tuple[Store, Item]] = []

    async def store(self, kind: str, name: str, namespace: str = "", **document: Any) -> Item:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        item = await self.stores[kind].create({"metadata": metadata, **document})
        self.made.append((self.stores[kind], item))
        return item

    async def release(
        self, name: str, user: str = "alice", groups: tuple[str, ...] = (), at: str = AT
    ) -> DelegationRequest:
        """A release that somebody changed, and the question for their delegation."""
        actor = {"user": user, "groups": list(groups), "at": at}
        item = await self.store("AppRelease", name, "shop", spec={}, status={"actor": actor})
        subject = DelegationSubject(kind="AppRelease", namespace="shop", name=name, uid=item.uid)
        return DelegationRequest(of=subject, user=user, groups=groups, at=at, clusters=("m1",))

    async def credential(self, user: str, *groups: str, ends_s: float = 3600.0, **spec: Any) -> Item:
        status = {"expires": rfc3339(time.time() + ends_s)}
        return await self.store(
            "Credential", model.name_of(new_token()), spec={"user": user, "groups": list(groups), **spec}, status=status
        )

    async def stored(self, answer: DelegationAnswer) -> Document:
        return (await self.stores["Credential"].get(model.name_of(answer.token))).document()


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    async with (
        serving(nats_host, (SERVICE, TenancySettings())),
        nats_host.bus("appstore") as bus,
        nats_host.open_bus("anybody") as everybody,
    ):
        bucket = await everybody.bucket(subjects.RESOURCES)
        kinds = (APP_RELEASE, CLUSTER, CREDENTIAL, REVOCATION)
        found = World(bus, {kind.kind: Store(bucket, kind) for kind in kinds})
        await found.store("Cluster", "m1", spec={"role": "member", "connection": {"mode": "agent"}})
        yield found
        for store, item in found.made:
            with suppress(NotFound):
                await store.delete(item.name, item.namespace, policy="Background")


integration = pytest.mark.integration


@integration
async def test_a_token_for_minutes_is_a_credential_that_says_what_it_is_for(world: World) -> None:
    request = await world.release("web", groups=("org:shop", "skerry:auditor"))
    before = time.time()
    answer = await world.ask(request)
    assert model.is_token(answer.token)
    assert before + LIFE_S <= answer.expires <= time.time() + LIFE_S
    stored = await world.stored(answer)
    assert stored["metadata"]["labels"] == {"skerry.dev/delegation": "appstore"}
    of = {"kind": "AppRelease", "namespace": "shop", "name": "web", "uid": request.of.uid}
    assert stored["spec"] == {
        "user": "alice",
        "groups": ["org:shop"],  # groups of the host alone are nothing on a member
        "ttl": "20m",
        "delegation": {"of": of, "at": AT, "clusters": ["m1"]},
    }
    assert answer.token not in str(stored)
    assert answer.lost == ()


@integration
async def test_the_object_itself_has_to_say_what_is_asked(world: World) -> None:
    request = await world.release("web", groups=("org:shop",))
    forged: list[tuple[dict[str, Any], type[StatusError]]] = [
        ({"user": "bob"}, Conflict),
        ({"groups": ("org:shop", "org:root")}, Conflict),
        ({"groups": ()}, Conflict),
        ({"at": "2026-01-02T00:00:01Z"}, Conflict),
        ({"of": msgspec.structs.replace(request.of, uid="another")}, NotFound),
        ({"of": msgspec.structs.replace(request.of, name="none")}, NotFound),
        ({"of": msgspec.structs.replace(request.of, namespace="")}, NotFound),
        ({"of": msgspec.structs.replace(request.of, kind="Workspace")}, BadRequest),
        ({"clusters": ("m1", "m9")}, NotFound),
        ({"clusters": ("*",)}, BadRequest),
    ]
    for more, error in forged:
        with pytest.raises(error):
            await world.ask(changed(request, **more))
    await world.store("AppRelease", "nobodys", "shop", spec={}, status={})
    with pytest.raises((Conflict, NotFound)):
        await world.ask(changed(request, of=msgspec.structs.replace(request.of, name="nobodys")))
    await world.stores["AppRelease"].delete("web", "shop")
    with pytest.raises(NotFound):
        await world.ask(request)


@integration
async def test_what_was_taken_back_since_the_change_has_no_delegation_and_what_was_changed_after_has(
    world: World,
) -> None:
    old, new = await world.release("old"), await world.release("new", at="2026-01-04T00:00:00Z")
    spec = {"user": "alice", "before": "2026-01-03T00:00:00Z"}
    await world.store("Revocation", revocation_name("alice"), spec=spec)
    with pytest.raises(Forbidden, match="taken back up to 2026-01-03") as refused:
        await world.ask(old)
    assert is_revoked(refused.value)
    assert (await world.ask(new)).token
    at_that_second = await world.release("then", at="2026-01-03T00:00:00.9Z")
    with pytest.raises(Forbidden):
        await world.ask(at_that_second)


@integration
async def test_a_credential_that_was_taken_back_gives_no_built_in_group(world: World) -> None:
    request = await world.release("web", user="carol", groups=("skerry:edit",), at=rfc3339(time.time()))
    await world.credential("carol", "skerry:edit")
    assert (await world.ask(request)).lost == ()
    await world.store("Revocation", revocation_name("carol"), spec={"user": "carol", "before": rfc3339(time.time())})
    later = await world.release("later", user="carol", groups=("skerry:edit",), at=rfc3339(time.time() + 30))
    assert (await world.ask(later)).lost == ("skerry:edit",)


@integration
async def test_a_disabled_user_has_none(world: World) -> None:
    request = await world.release("web", user="mallory")
    await world.store("Revocation", revocation_name("mallory"), spec={"user": "mallory", "disabled": True})
    with pytest.raises(Forbidden, match="is disabled") as refused:
        await world.ask(request)
    assert is_revoked(refused.value)


@integration
async def test_a_built_in_group_counts_while_an_ordinary_credential_of_the_user_gives_it(world: World) -> None:
    request = await world.release("web", groups=("skerry:edit", "skerry:admin", "org:shop"))
    of = msgspec.to_builtins(request.of)
    await world.credential("alice", "skerry:admin", ends_s=-1.0)
    await world.credential("bob", "skerry:admin")
    await world.credential("alice", "skerry:admin", delegation={"of": of, "at": AT, "clusters": ["m1"]})
    edits = await world.credential("alice", "skerry:edit")
    answer = await world.ask(request)
    assert (await world.stored(answer))["spec"]["groups"] == ["skerry:edit", "org:shop"]
    assert answer.lost == ("skerry:admin",)
    await world.stores["Credential"].delete(edits.name)
    answer = await world.ask(request)
    assert (await world.stored(answer))["spec"]["groups"] == ["org:shop"]
    assert answer.lost == ("skerry:edit", "skerry:admin")


@integration
@pytest.mark.parametrize("service", ["registry", "proxy", "tenancy"])
async def test_no_other_service_may_ask(nats_host: NatsHost, world: World, service: str) -> None:
    request = await world.release("web")
    async with nats_host.bus(service) as bus:
        with pytest.raises(StatusError):
            await bus.request(subjects.DELEGATIONS, msgspec.json.encode(request), timeout_s=0.3)
    assert (await world.ask(request)).token


def test_delegations_make_nobody_a_giver() -> None:
    spec = {"user": "alice", "groups": ["skerry:admin"]}
    own: Document = {"metadata": {"name": "c"}, "spec": spec}
    delegation: Document = {"metadata": {"name": "c"}, "spec": {**spec, "delegation": {"clusters": ["m1"]}}}
    assert (strong_groups(item(own, 1)), strong_groups(item(delegation, 1))) == (["skerry:admin"], [])


def test_an_actor_that_the_kind_has_not_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match=r"its actor is at status\.who"):
        replace(APP_RELEASE, actor="status.who")
