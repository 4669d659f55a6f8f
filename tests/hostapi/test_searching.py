"""`search=` of a list: the owner's order, the caller's rights, and everything else that a list can be asked for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest

from services.proxy.hostapi import Forwarder, HostApi
from services.proxy.hostapi.openapi import OpenApi
from skerry import subjects
from skerry.admission import Rules
from skerry.api import v1alpha1
from skerry.api.kinds import KINDS, SERVED, Access, Kind, Tie
from skerry.api.kinds.access import READ
from skerry.api.messages import Caller, WriteRequest
from skerry.api.searching import SearchRequest
from skerry.bus import BucketConfig
from skerry.http import ClientGone, Exchange, Server
from skerry.identity import services
from skerry.informer import Informer
from skerry.service import Service
from skerry.storage import Store
from tests.fixtures.bucket import feeding
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving
from tests.hostapi.conftest import World
from tests.hostapi.tenants import ADMIN, ALICE, BOB, NOBODY, Asked, Tenants
from tests.service.harbour import NoSettings
from tests.service.test_minimal import listed

VERA = Caller(user="vera", groups=("skerry:view",))
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def kind(plural: str, **more: Any) -> Kind:
    return Kind(
        group=v1alpha1.GROUP,
        version=v1alpha1.VERSION,
        kind=plural.capitalize(),
        plural=plural,
        singular=plural[:-1],
        owner="harbour",
        type=v1alpha1.JoinToken,
        verbs=("create", "delete", "deletecollection", "get", "list", "watch"),
        **more,
    )


SHIPS = kind("ships", searchable=True, namespaced=True, access=(Access(verbs=READ, ties=(Tie(by="workspace"),)),))
BERTH = kind("berths", searchable=True, selectable=("spec.clusterName",))
SHIPS_PATH = "/apis/skerry.dev/v1alpha1/ships"
BERTHS = "/apis/skerry.dev/v1alpha1/berths"
ORDER = ["till/b", "attic/a", "nowhere/x", "till/a", "attic/b", "till/b"]


class Docks:
    """A proxy that has ships, and an owner who ranks them always alike."""

    def __init__(self) -> None:
        self.tenants = Tenants(kinds=(SHIPS,))
        self.tenants.workspace("till", alice="view")
        self.tenants.workspace("attic", bob="view")
        for number, each in enumerate(("till/a", "till/b", "attic/a", "attic/b")):
            namespace, _, name = each.partition("/")
            metadata = {"namespace": namespace, "labels": {"odd": str(number % 2)}}
            self.tenants.store(SHIPS, name, metadata=metadata, spec={}, uid=each)
        self.questions: list[tuple[str, str, str]] = []
        self.order = ORDER
        self.tenants.forwarding.search = self._search  # type: ignore[method-assign]

    async def _search(self, target: Any, caller: Caller, text: str) -> list[str]:
        self.questions.append((caller.user, target.namespace, text))
        return self.order

    async def ask(self, query: str, caller: Caller = ADMIN, namespace: str = "", **more: Any) -> Asked:
        path = f"/apis/skerry.dev/v1alpha1/namespaces/{namespace}/ships" if namespace else SHIPS_PATH
        return await self.tenants.ask(caller, f"{path}?{query}", **more)

    async def keys(self, query: str, caller: Caller = ADMIN, namespace: str = "") -> list[str]:
        answer = await self.ask(query, caller, namespace)
        assert answer.status == 200, answer.body
        return ["{namespace}/{name}".format(**each["metadata"]) for each in answer.json()["items"]]


@pytest.fixture
def docks() -> Docks:
    return Docks()


async def test_the_order_is_the_owners_and_what_is_not_there_is_left_out(docks: Docks) -> None:
    assert await docks.keys("search=red+ship") == ["till/b", "attic/a", "till/a", "attic/b"]
    assert docks.questions == [(ADMIN.user, "", "red ship")]


@pytest.mark.parametrize(
    ("caller", "seen"),
    [(ALICE, ["till/b", "till/a"]), (BOB, ["attic/a", "attic/b"]), (NOBODY, [])],
    ids=["alice", "bob", "nobody"],
)
async def test_a_caller_is_shown_what_a_list_would_show(docks: Docks, caller: Caller, seen: list[str]) -> None:
    assert await docks.keys("search=x", caller) == seen
    assert sorted(seen) == await docks.keys("", caller)


async def test_a_namespace_has_its_own(docks: Docks) -> None:
    assert await docks.keys("search=x", ADMIN, "attic") == ["attic/a", "attic/b"]
    assert docks.questions == [(ADMIN.user, "attic", "x")]


async def test_selectors_and_limit_hold_too(docks: Docks) -> None:
    assert await docks.keys("search=x&labelSelector=odd%3D1") == ["till/b", "attic/b"]
    assert await docks.keys("search=x&fieldSelector=metadata.name%3Da") == ["attic/a", "till/a"]
    assert await docks.keys("search=x&limit=2") == ["till/b", "attic/a"]
    assert await docks.keys("search=x&limit=500&resourceVersion=0") == await docks.keys("search=x")


async def test_a_table_is_in_that_order(docks: Docks) -> None:
    answer = await docks.ask("search=x", headers=TABLE)
    assert answer.json()["kind"] == "Table"
    names = [row["object"]["metadata"]["name"] for row in answer.json()["rows"]]
    assert names == ["b", "a", "a", "b"]


async def test_there_is_one_page(docks: Docks) -> None:
    metadata = (await docks.ask("search=x&limit=1")).json()["metadata"]
    assert metadata.get("continue", "") == ""
    assert int(metadata["resourceVersion"]) > 0


async def test_one_object_and_its_subresources_are_not_searched(docks: Docks) -> None:
    path = "/apis/skerry.dev/v1alpha1/namespaces/till/ships/a?search="
    assert (await docks.tenants.ask(ADMIN, path)).status == 200
    assert docks.questions == []


LONG = "x" * 257


@pytest.mark.parametrize(
    ("query", "method", "message"),
    [
        ("search=", "GET", "search is empty: say what to search ships for"),
        ("search=+%20", "GET", "search is empty"),
        (f"search={LONG}", "GET", "search has 257 characters, the limit is 256"),
        ("search=x&watch=true", "GET", "search is for lists: a watch takes labelSelector and fieldSelector"),
        ("search=x", "DELETE", "search is for lists: a deletecollection takes labelSelector"),
        ("search=", "DELETE", "search is for lists"),
        ("search=x&limit=501", "GET", "limit is 501, and a search has at most 500 objects"),
        ("search=x&resourceVersion=1&resourceVersionMatch=Exact", "GET", "search has one page, of now"),
        ("search=x&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIvYSJ9", "GET", "search has one page"),
        ("search=x&labelSelector=%21%21", "GET", "unable to parse requirement"),
    ],
)
async def test_what_a_search_cannot_be_is_refused(docks: Docks, query: str, method: str, message: str) -> None:
    answer = await docks.ask(query, namespace="till", method=method)
    assert (answer.status, answer.json()["reason"]) == (400, "BadRequest")
    assert message in answer.json()["message"]
    assert not docks.questions
    assert not docks.tenants.forwarding.forwarded


@pytest.mark.parametrize(
    ("query", "method"), [("search=x", "GET"), ("search=x&watch=1", "GET"), ("search=x", "DELETE")]
)
async def test_a_kind_that_cannot_be_searched_is_named(docks: Docks, query: str, method: str) -> None:
    answer = await docks.tenants.ask(ADMIN, f"/apis/skerry.dev/v1alpha1/workspaces?{query}", method)
    assert answer.status == 400
    assert "workspaces cannot be searched: leave search out" in answer.json()["message"]


async def test_an_owner_that_gives_more_than_was_asked_for_is_cut_short(docks: Docks) -> None:
    for number in range(600):
        docks.tenants.store(SHIPS, f"n{number}", metadata={"namespace": "till"}, spec={})
    docks.order = [f"till/n{number}" for number in range(600)]
    assert len(await docks.keys("search=x")) == 500


# On a bus


class Harbour:
    """The owner: ranks by the number in a name, the highest first."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, SearchRequest]] = []

    async def rank(self, context: Any, request: WriteRequest, question: SearchRequest) -> Iterable[str]:
        self.questions.append((request.caller.user, question))
        names = [item.name for item in context.informer.list(BERTH) if question.text in item.name]
        return sorted(names, reverse=True)

    @property
    def service(self) -> Service[NoSettings, None]:
        return Service(name="harbour", settings=NoSettings, rules={BERTH: Rules}, searches={BERTH: self.rank})


@contextlib.asynccontextmanager
async def front(host: NatsHost) -> AsyncIterator[World]:
    """A host API whose bus has a proxy's rights, and three berths."""
    async with host.open_bus("maker") as maker, host.bus("proxy") as bus:
        bucket = await maker.bucket(subjects.RESOURCES, create=BucketConfig())
        berths = Store(bucket, BERTH)
        for name in ("north-1", "north-2", "south-3"):
            with contextlib.suppress(Exception):
                await berths.create({"metadata": {"name": name}, "spec": {"clusterName": name}})
        async with feeding(Informer((*SERVED, BERTH)), await bus.bucket(subjects.RESOURCES)) as cache:
            made = World(cache, berths)
            api = HostApi(cache, Forwarder(bus, host.sign), (*SERVED, BERTH))

            async def handle(exchange: Exchange) -> None:
                with contextlib.suppress(ClientGone):
                    await api.handle(exchange, VERA, made.authorize)

            server = Server(handle)
            await server.start("127.0.0.1", 0)
            made.port = server.addresses[0][1]
            yield made
            await server.close(0)


@pytest.mark.integration
async def test_the_owner_is_asked_as_the_caller(nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, BERTH)
    made = Harbour()
    async with front(nats_host) as world:
        away = await world.ask(f"{BERTHS}?search=north")
        assert away.status == 503
        assert "the service harbour, which owns berths, is away: try again" in away.json()["message"]
        async with serving(nats_host, (made.service, NoSettings())):
            answer = await world.ask(f"{BERTHS}?search=north")
            assert [each["metadata"]["name"] for each in answer.json()["items"]] == ["north-2", "north-1"]
            one = await world.ask(f"{BERTHS}?search=north&fieldSelector=spec.clusterName%3Dnorth-1")
            assert [each["metadata"]["name"] for each in one.json()["items"]] == ["north-1"]
            assert made.questions[0] == ("vera", SearchRequest(text="north", limit=500))
            assert len(made.questions) == 2


@pytest.mark.integration
async def test_a_question_that_nobody_signed_is_not_answered(
    nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, BERTH)
    made = Harbour()
    async with front(nats_host), serving(nats_host, (made.service, NoSettings())), nats_host.bus("proxy") as bus:
        for payload in (b"{}", b'{"requestId":"1","body":{"text":"north"}}'):
            with pytest.raises(Exception, match="not signed by a proxy"):
                await bus.request("harbour.berths.search", payload)
    assert made.questions == []


# What follows from the declaration


def test_openapi_says_where_search_is() -> None:
    document = OpenApi((*SERVED, BERTH, SHIPS)).find(("v3", "apis", "skerry.dev", "v1alpha1"))
    assert document is not None
    paths = msgspec.json.decode(document.body)["paths"]
    searchable = {
        path
        for path, item in paths.items()
        if "search" in [each["name"] for each in item.get("get", {}).get("parameters", ())]
    }
    ships = "/apis/skerry.dev/v1alpha1/namespaces/{namespace}/ships"
    assert {BERTHS, SHIPS_PATH, ships} <= searchable
    assert not {path for path in searchable if "{name}" in path}
    assert "/apis/skerry.dev/v1alpha1/clusters" not in searchable


def test_only_the_owner_is_asked_and_only_by_who_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "KINDS", (*KINDS, BERTH))
    assert ("harbour", "harbour.berths.search") in services.endpoints_of(BERTH)
    (proxy,) = services.services_of("proxy")
    assert "harbour.berths.search" in services.asked_by(proxy)
    (tenancy,) = services.services_of("tenancy")
    assert "harbour.berths.search" not in (*services.asked_by(tenancy), *services.answered_by(tenancy))


@pytest.mark.parametrize("more", [{"verbs": ("create",)}, {"bucket": ""}])
def test_what_cannot_be_listed_cannot_be_searched(more: dict[str, Any]) -> None:
    declared: dict[str, Any] = {
        "group": "g",
        "version": "v1",
        "kind": "K",
        "plural": "ks",
        "singular": "k",
        "owner": "o",
    }
    with pytest.raises(ValueError, match="kind K: it is searchable, and cannot be listed from what is stored"):
        Kind(**{**declared, "type": v1alpha1.JoinToken, "verbs": ("get", "list"), "searchable": True} | more)


def test_a_service_answers_what_its_kinds_declare_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="service harbour answers no searches of Berths, which it declares"):
        Service(name="harbour", settings=NoSettings, rules={BERTH: Rules})
    plain = kind("cranes")
    with pytest.raises(ValueError, match="kind Cranes: harbour answers searches of it, which it does not declare"):
        Service(name="harbour", settings=NoSettings, rules={plain: Rules}, searches={plain: Harbour().rank})
    with pytest.raises(ValueError, match="kind Berths: customs answers searches of it"):
        Service(name="customs", settings=NoSettings, searches={BERTH: Harbour().rank})
