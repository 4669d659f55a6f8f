"""Events follow the object that they are about: who may not get that one is not shown them, listed, got or watched."""

from __future__ import annotations

from typing import Any

import pytest

from services.proxy.authorize import HostRequest, decide_host
from services.proxy.hostapi.attributes import Attributes
from services.proxy.hostapi.visible import named, visible
from skerry.access import Denied
from skerry.api.kinds import CLUSTER, EVENT, EVENT_V1, SERVED
from skerry.api.kinds.kubernetes import event_v1
from skerry.api.messages import Caller
from skerry.storage.documents import item
from tests.access.grants import access, grant
from tests.hostapi.conftest import World
from tests.hostapi.test_events import CORE, EVENTS_V1, told


def event(kind: str, group: str = "skerry.dev/v1alpha1", **reference: str) -> dict[str, Any]:
    about = {"apiVersion": group, "kind": kind, "name": "x", **reference}
    return {"metadata": {"namespace": "default", "name": "e"}, "involvedObject": about}


VIEWER, NOBODY = Caller(user="v", groups=("skerry:view",)), Caller(user="n")
ON_HOST, ADMIN = Caller(user="alice"), Caller(user="a", groups=("skerry:cluster-admin",))


@pytest.mark.parametrize(
    ("document", "shown_to"),
    [
        (event("Cluster"), [VIEWER, ON_HOST, ADMIN]),
        (event("AccessGrant"), [ON_HOST, ADMIN]),
        (event("Workspace"), [ON_HOST, ADMIN]),
        (event("JoinToken"), [ADMIN]),
        (event("Credential"), [ADMIN]),
        (event("IdentityProvider"), [ADMIN]),
        (event("Namespace", "v1"), [VIEWER, ON_HOST, ADMIN]),
        (event("Cluster", "example.com/v1"), [ADMIN]),
        (event("Pod", "v1", namespace="shop"), [ADMIN]),
        ({"metadata": {"name": "e"}}, [ADMIN]),
    ],
)
def test_who_is_shown_an_event(document: dict[str, Any], shown_to: list[Caller]) -> None:
    compiled = access(grant(clusters={"names": ["host"]}))

    def shown(caller: Caller, kind: Any, body: dict[str, Any]) -> bool:
        def authorize(asked: Attributes) -> None:
            request = HostRequest(
                asked.verb, asked.group, asked.resource, asked.subresource, asked.namespace, asked.name
            )
            decision = decide_host(caller, request, compiled, 0.0)
            if isinstance(decision, Denied):
                raise decision.error

        return visible(kind, named(SERVED), authorize)(item(body, 1))

    for kind, body in ((EVENT, document), (EVENT_V1, event_v1(document))):
        assert [each for each in (VIEWER, ON_HOST, ADMIN, NOBODY) if shown(each, kind, dict(body))] == shown_to


def test_other_kinds_are_shown_to_who_may_read_them() -> None:
    def authorize(asked: Attributes) -> None:
        raise AssertionError("nobody is asked")

    assert visible(CLUSTER, named(SERVED), authorize)(item({"metadata": {"name": "m1"}}, 1))


@pytest.mark.integration
async def test_what_is_hidden_is_neither_listed_nor_got_nor_watched(world: World) -> None:
    about = await told(world, "m1")
    (shown,) = (await world.ask(CORE)).json()["items"]
    world.denied.add("clusters")
    for path in (CORE, EVENTS_V1):
        assert (await world.ask(path)).json()["items"] == []
        assert (await world.ask(f"{path}/{shown['metadata']['name']}")).status == 404
        watched = await world.ask(f"{path}?watch=true&timeoutSeconds=1")
        assert (watched.status, watched.body) == (200, b"")
    world.denied.discard("clusters")
    watched = await world.ask(f"{CORE}?watch=true&timeoutSeconds=1")
    assert about["metadata"]["uid"].encode() in watched.body
