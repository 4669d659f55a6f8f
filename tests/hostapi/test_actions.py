"""Actions of every verb through the front door to whichever service answers them; a kind of a test, and no line for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest

from services.proxy.authorize import HostAccess, HostRequest
from services.proxy.hostapi import Forwarder, HostApi
from services.proxy.hostapi.discovery import Discovery
from services.proxy.hostapi.negotiate import PLAIN
from services.proxy.hostapi.openapi import OpenApi
from skerry.admission import Rules
from skerry.api import v1alpha1
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import BUILT_IN, KINDS, SERVED, Action, Kind, reference
from skerry.api.messages import Caller, WriteRequest
from skerry.api.meta import Document, Struct
from skerry.errors import NotFound
from skerry.http import ClientGone, Exchange, Server
from skerry.identity import services
from skerry.informer import Informer
from skerry.service import Service, spec
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving
from tests.hostapi.conftest import World
from tests.service.harbour import NoSettings

CALLER = Caller(user="vera", groups=("skerry:view",))
BERTHS = "/apis/skerry.dev/v1alpha1/berths"


class Sounding(Struct, frozen=True, kw_only=True):
    """How to sound."""

    unit: str = "m"
    times: int = 1
    loud: bool = False


class Depth(Struct, frozen=True, kw_only=True):
    """How deep it is."""

    depth: float = 0.0
    sounded: str = ""


def action(subresource: str, verb: str, **more: Any) -> Action:
    return Action(subresource=subresource, verb=verb, description="Something.", **more)


BERTH = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Berth",
    plural="berths",
    singular="berth",
    owner="harbour",
    type=v1alpha1.JoinToken,
    verbs=("get", "list"),
    actions=(
        action("depth", "get", request=Sounding, answer=Depth, groups=BUILT_IN),
        action("tow", "update", request=ClusterConnection, answer=Depth),
        action("tow", "delete", answer=Depth),
        action("manifest", "get", answer=Depth, service="customs", timeout_s=0.3),
        action("cargo", "create", answer=Depth, streaming=True, max_bytes=1000),
        action("cargo", "get", streaming=True),
    ),
)
ALL = (*SERVED, BERTH)


async def sound(context: Any, request: WriteRequest, sounding: Sounding) -> Document:
    if request.name == "nowhere":
        raise NotFound("there is no such berth")
    return {"depth": 3.5, "sounded": f"{request.caller.user} {sounding}"}


async def tow(context: Any, request: WriteRequest, body: ClusterConnection | None) -> Document:
    return {"sounded": f"{request.name} {body and body.spec.kubeconfig} {request.options.dry_run}"}


async def declare(context: Any, request: WriteRequest, body: None) -> Document:
    if request.name == "slow":
        await asyncio.Event().wait()
    return {"kind": "Manifest", "apiVersion": "customs/v1", "body": body}


Act = Callable[[Any, WriteRequest, Any], Awaitable[Document]]
HANDLERS: Mapping[tuple[Kind, str, str], Act] = {
    (BERTH, "depth", "get"): sound,
    (BERTH, "tow", "update"): tow,
    (BERTH, "tow", "delete"): tow,
    (BERTH, "cargo", "create"): declare,
    (BERTH, "cargo", "get"): declare,
}


def harbour(
    rules: Mapping[Kind, Callable[[Any], Rules]] = {BERTH: Rules},
    actions: Mapping[tuple[Kind, str, str], Act] = HANDLERS,
) -> Service[NoSettings, None]:
    """The owner of the kind."""
    return Service(name="harbour", settings=NoSettings, rules=rules, actions=actions)


CUSTOMS = Service(name="customs", settings=NoSettings, actions={(BERTH, "manifest", "get"): declare})


@contextlib.asynccontextmanager
async def front(host: NatsHost) -> AsyncIterator[World]:
    """A host API that serves the kind too."""
    async with host.open_bus("proxy") as bus:
        found = World(Informer(ALL), None)  # type: ignore[arg-type]
        api = HostApi(found.cache, Forwarder(bus, host.sign), ALL)

        async def handle(exchange: Exchange) -> None:
            with contextlib.suppress(ClientGone):
                await api.handle(exchange, CALLER, found.authorize)

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        found.port = server.addresses[0][1]
        yield found
        await server.close(0)


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    both = ((harbour(), NoSettings()), (CUSTOMS, NoSettings()))
    async with serving(nats_host, *both, user="anybody"), front(nats_host) as found:
        yield found


@pytest.mark.integration
class TestThroughTheFrontDoor:
    async def test_a_get_has_its_caller_and_its_parameters(self, world: World) -> None:
        answer = await world.ask(f"{BERTHS}/b1/depth?unit=ft&times=3&loud=true&other=1")
        assert answer.status == 200
        assert answer.json() == {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "Depth",
            "depth": 3.5,
            "sounded": f"vera {Sounding(unit='ft', times=3, loud=True)}",
        }

    @pytest.mark.parametrize("query", ["times=many", "times=", "loud=perhaps", "times=1.5", "times=NaN"])
    async def test_a_parameter_of_another_type_is_refused_by_name(self, world: World, query: str) -> None:
        answer = await world.ask(f"{BERTHS}/b1/depth?{query}")
        assert (answer.status, answer.json()["reason"]) == (400, "BadRequest")
        assert "the query of depth is wrong" in answer.json()["message"]

    async def test_what_is_asked_of_nothing_is_404_and_an_answer_is_written_in_yaml(self, world: World) -> None:
        assert (await world.ask(f"{BERTHS}/nowhere/depth")).status == 404
        answer = await world.ask(f"{BERTHS}/b1/depth", headers={"accept": "application/yaml"})
        assert b"kind: Depth" in answer.body

    async def test_head_is_a_get_without_a_body(self, world: World) -> None:
        answer = await world.ask(f"{BERTHS}/b1/depth", "HEAD")
        assert (answer.status, answer.body) == (200, b"")

    async def test_put_and_delete_come_with_body_and_options(self, world: World) -> None:
        put = await world.ask(f"{BERTHS}/b1/tow?dryRun=All", "PUT", {"spec": {"kubeconfig": "k"}})
        assert (put.status, put.json()["sounded"]) == (200, "b1 k True")
        gone = await world.ask(f"{BERTHS}/b1/tow", "DELETE", {"kind": "DeleteOptions", "dryRun": ["All"]})
        assert (gone.status, gone.json()["sounded"]) == (200, "b1 None True")
        wrong = await world.ask(f"{BERTHS}/b1/tow", "DELETE", {"kind": "Berth"})
        assert wrong.status == 400
        text = await world.ask(f"{BERTHS}/b1/tow", "DELETE", {}, {"content-type": "text/plain"})
        assert text.status == 415

    async def test_another_service_than_the_owner_answers_where_the_declaration_says_so(self, world: World) -> None:
        answer = await world.ask(f"{BERTHS}/b1/manifest")
        assert answer.json() == {"apiVersion": "customs/v1", "kind": "Manifest", "body": None}

    async def test_silence_to_a_get_asks_to_come_again_and_nothing_else(self, world: World) -> None:
        answer = await world.ask(f"{BERTHS}/slow/manifest")
        assert (answer.status, answer.json()["message"]) == (
            504,
            "the service customs did not answer within 0 s: try again in a moment",
        )

    async def test_what_is_not_declared_is_404_also_with_the_verb_of_another(self, world: World) -> None:
        assert (await world.ask(f"{BERTHS}/b1/manifest", "DELETE")).status == 404
        assert (await world.ask(f"{BERTHS}/b1/harpoon")).status == 404

    async def test_who_may_not_is_refused_before_anybody_is_asked(self, world: World) -> None:
        world.denied.add("berths")
        assert (await world.ask(f"{BERTHS}/b1/depth")).status == 403


@pytest.mark.integration
async def test_a_service_that_is_away_is_named_with_what_it_does(nats_host: NatsHost) -> None:
    async with front(nats_host) as world:
        answer = await world.ask(f"{BERTHS}/b1/manifest")
        assert answer.status == 503
        assert "service customs, which answers berths/manifest, is away: try again" in answer.json()["message"]
        answer = await world.ask(f"{BERTHS}/b1/tow", "PUT", {"spec": {"kubeconfig": "k"}})
        assert "service harbour, which owns berths, is away: nothing was changed" in answer.json()["message"]


# What follows from the declaration


def test_discovery_says_what_is_sent_or_read_there() -> None:
    document = Discovery(ALL).find(("apis", "skerry.dev", "v1alpha1"), PLAIN)
    assert document is not None
    listed = {each["name"]: each for each in msgspec.json.decode(document.body)["resources"]}
    below = {name: (each["kind"], each["verbs"]) for name, each in listed.items() if name.startswith("berths/")}
    assert below == {
        "berths/depth": ("Depth", ["get"]),
        "berths/tow": ("ClusterConnection", ["delete", "update"]),
        "berths/manifest": ("Depth", ["get"]),
        "berths/cargo": ("Berth", ["create", "get"]),
    }


def described(version: str) -> Any:
    parts = ("v2",) if version == "v2" else ("v3", "apis", "skerry.dev", "v1alpha1")
    document = OpenApi(ALL).find(parts)
    assert document is not None
    return msgspec.json.decode(document.body)


def test_openapi_has_parameters_bodies_and_streams() -> None:
    paths = described("v3")["paths"]
    depth = paths[f"{BERTHS}/{{name}}/depth"]["get"]
    assert [(each["name"], each["schema"]["type"]) for each in depth["parameters"]] == [
        ("unit", "string"),
        ("times", "integer"),
        ("loud", "boolean"),
    ]
    assert "requestBody" not in depth
    cargo = paths[f"{BERTHS}/{{name}}/cargo"]
    assert list(cargo["post"]["requestBody"]["content"]) == ["application/octet-stream"]
    assert cargo["post"]["description"] == "Something. At most 1000 bytes."
    assert list(cargo["get"]["responses"]["200"]["content"]) == ["application/octet-stream"]
    tow = paths[f"{BERTHS}/{{name}}/tow"]
    assert tow["delete"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("DeleteOptions")
    assert tow["put"]["x-kubernetes-group-version-kind"]["kind"] == "ClusterConnection"


def test_openapi_2_has_the_same_and_can_be_written_as_protobuf() -> None:
    cargo = described("v2")["paths"][f"{BERTHS}/{{name}}/cargo"]
    assert cargo["get"]["produces"] == ["application/octet-stream"]
    assert cargo["post"]["consumes"] == ["application/octet-stream"]
    media = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    document = OpenApi(ALL).find(("v2",), media)
    assert document is not None
    assert b"berths/{name}/depth" in document.body


def test_parameters_of_a_query_are_no_schema_of_their_own() -> None:
    schemas = described("v3")["components"]["schemas"]
    assert "dev.skerry.v1alpha1.Depth" in schemas
    assert "dev.skerry.v1alpha1.Sounding" not in schemas


def test_who_may_is_what_it_says() -> None:
    access = HostAccess(ALL)
    assert access.right(HostRequest("get", "skerry.dev", "berths", "depth", name="b")).groups == BUILT_IN
    assert access.right(HostRequest("get", "skerry.dev", "berths", "manifest", name="b")).groups == ()


def test_rights_on_the_bus_follow_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "KINDS", (*KINDS, BERTH))
    answered = {
        name: services.answered_by(services.ServiceRights(name=name, workload=name)) for name in ("harbour", "customs")
    }
    assert answered == {
        "harbour": tuple(f"harbour.berths.{each}" for each in ("depth-get", "tow-update", "tow-delete", "cargo-create", "cargo-get")),
        "customs": ("customs.berths.manifest-get",),
    }  # fmt: skip
    (proxy,) = services.services_of("proxy")
    assert "customs.berths.manifest-get" in services.asked_by(proxy)


def test_it_is_documented_with_who_answers() -> None:
    page = reference.markdown(ALL)
    assert "| `GET berths/NAME/manifest` |  | Depth |  | Something. Answered by customs. |" in page
    assert "| `GET berths/NAME/depth` | Sounding | Depth | `skerry:view`" in page
    assert "| `POST berths/NAME/cargo` | bytes, at most 1000 | Depth |" in page
    assert "| `GET berths/NAME/cargo` |  | bytes |" in page


# A service that is not what the declarations say is refused when it is declared


def test_an_action_of_another_kind_that_says_this_service_must_have_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "KINDS", (*KINDS, BERTH))
    with pytest.raises(ValueError, match="kind Berth: get of manifest is declared, and customs has no handler for it"):
        Service(name="customs", settings=NoSettings)


def test_nobody_answers_what_is_anothers() -> None:
    with pytest.raises(ValueError, match="kind Berth: get of manifest is answered by customs, not by harbour"):
        harbour(actions={**HANDLERS, (BERTH, "manifest", "get"): declare})
    with pytest.raises(ValueError, match=r"service harbour answers .* of a kind that it has no rules for"):
        harbour(rules={})
