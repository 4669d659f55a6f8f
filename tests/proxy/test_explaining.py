"""Explanations at the front door: they agree with the requests that they are about, and tell nothing that those do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from skerry import subjects
from skerry.api.bindingstates import BindingState, BindingStatesAnswer
from skerry.api.identities import revocation_name
from skerry.api.kinds import REVOCATION, WORKSPACE
from skerry.bus import Message
from skerry.http import Exchange
from skerry.storage import Store
from tests.fixtures.nats import eventually
from tests.proxy.conftest import Answer, World
from tests.proxy.test_granted import JSON, groups

pytestmark = pytest.mark.integration

PATH = b"/apis/skerry.dev/v1alpha1/accessexplanations"
REVIEW = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
EDITS = ("delete", "create", "update", "patch")


async def ask(host: World, token: bytes, cluster: str = "m1", **attributes: Any) -> Answer:
    spec = {name: attributes.pop(name) for name in ("user", "groups") if name in attributes}
    kind = "nonResourceAttributes" if "path" in attributes else "resourceAttributes"
    body = msgspec.json.encode({"spec": {"cluster": cluster, kind: attributes, **spec}})
    return await host.ask(PATH, b"POST", token=token, headers=JSON, body=body)


async def explained(host: World, token: bytes, cluster: str = "m1", **attributes: Any) -> Any:
    answer = await ask(host, token, cluster, **attributes)
    assert answer.status == 201, answer.body
    return answer.json()["status"]


@pytest.fixture
async def workspaced(host: World) -> AsyncIterator[World]:
    """With a workspace in which ed edits and vera looks."""
    members = [{"kind": "User", "name": name, "role": role} for name, role in (("ed", "edit"), ("vera", "view"))]
    async with host.nats.bus("tenancy") as bus:
        workspaces = Store(await bus.bucket(subjects.RESOURCES), WORKSPACE)
        item = await workspaces.create({"metadata": {"name": "shop"}, "spec": {"members": members}})
        await host.proxy._cache.reached(item.revision)
        yield host


def rbac(host: World, bound: bool = True) -> None:
    """The recorded member answers reviews as RBAC would: view reads, edit writes, admin binds roles."""

    async def answer(exchange: Exchange) -> None:
        asked = msgspec.json.decode(await exchange.body(1 << 20))["spec"]
        attributes = asked.get("resourceAttributes") or asked["nonResourceAttributes"]
        needs = "edit" if attributes["verb"] in EDITS else "view"
        needs = "admin" if attributes.get("resource") == "rolebindings" else needs
        needs = "none" if attributes.get("resource") == "secretstores" else needs
        roles = ("view", "edit", "admin", "cluster-admin")
        enough = roles[roles.index(needs) :] if needs in roles else ()
        status: dict[str, Any] = {"allowed": False}
        for group in groups(exchange.head):
            _, *middle, role = group.decode().split(":")
            if role in enough and (bound or not middle):
                where = f'RoleBinding "skerry:{role}/{middle[1]}"' if middle else f'ClusterRoleBinding "skerry:{role}"'
                status = {"allowed": True, "reason": f'RBAC: allowed by {where} of ClusterRole "{role}" to Group'}
        await exchange.respond(201, JSON, msgspec.json.encode({"spec": asked, "status": status}))

    host.recorder.routes[REVIEW] = answer


@asynccontextmanager
async def tenancy(host: World, state: str, message: str = "") -> AsyncIterator[None]:
    """What tenancy says of every binding."""

    async def answer(question: Message) -> bytes:
        scopes = msgspec.json.decode(question.data)["scopes"]
        states = (BindingState(state=state, message=message),) * len(scopes)
        return msgspec.json.encode(BindingStatesAnswer(states=states))

    async with host.nats.bus("tenancy") as bus:
        bus.serve("tenancy", "0.1.0", {subjects.BINDING_STATES: answer})
        await bus.ready()
        yield


async def test_who_may_is_told_by_what(host: World) -> None:
    rbac(host)
    alice = await host.token("alice", "org:shop")
    await host.grant("shop-edit", namespaces=["shop"])
    async with tenancy(host, "Enforced"):
        status = await explained(host, alice, verb="delete", resource="pods", namespace="shop")
    expires = status["identity"].pop("expires")
    assert expires.endswith("Z")
    assert status == {
        "allowed": True,
        "identity": {"user": "alice", "groups": ["org:shop"], "source": "Credential", "provider": ""},
        "basis": [{"kind": "AccessGrant", "name": "shop-edit", "gives": "edit in namespace shop"}],
        "member": {
            "asked": True,
            "allowed": True,
            "reason": 'RBAC: allowed by RoleBinding "skerry:edit/shop" of ClusterRole "edit" to Group',
            "binding": "shop/skerry:edit",
            "state": "Enforced",
        },
        "ceiling": {},
        "missing": "",
        "canGrant": [],
        "next": "",
    }
    assert groups(host.recorder.heads[-1]) == [b"skerry:ns:shop:edit"]
    assert (b"impersonate-user", b"skerry:alice") in host.recorder.heads[-1].headers


async def test_who_may_not_is_told_which_role_would_do_and_how_to_ask_for_it(host: World) -> None:
    rbac(host)
    alice = await host.token("alice")
    await host.grant("bob-admin", role="admin", subjects=[{"kind": "User", "name": "bob"}])
    await host.grant("shop-view", role="view", namespaces=["shop"])
    async with tenancy(host, "Enforced"):
        status = await explained(host, alice, verb="delete", resource="pods", namespace="shop")
        assert status["member"] == {
            "asked": True,
            "allowed": False,
            "reason": "delete on pods needs edit",
            "binding": "shop/skerry:view",
            "state": "Enforced",
        }
        assert (status["allowed"], status["missing"]) == (False, "edit in namespace shop")
        assert status["next"] == "skerry request create edit --cluster m1 -n shop --reason …"
        assert status["canGrant"] == ["admin", "bob"]
        asked = [dict(head.headers)[b"impersonate-user"] for head in host.recorder.heads[-4:]]
        assert asked == [b"skerry:skerry:explain"] * 4  # the member's audit names nobody who was not there

        status = await explained(host, alice, verb="create", resource="rolebindings", group="rbac.authorization.k8s.io")
        assert (status["missing"], status["member"]["binding"]) == ("admin in the whole cluster", "")
        assert status["basis"] == [{"kind": "AccessGrant", "name": "shop-view", "gives": "view in namespace shop"}]
        nothing = await explained(host, alice, verb="get", resource="secretstores", namespace="shop")
        assert (nothing["allowed"], nothing["next"]) == (False, "ask the administrator of cluster m1")


async def test_a_disabled_user_is_not_among_those_who_could_give(host: World) -> None:
    rbac(host)
    alice = await host.token("alice")
    await host.grant("bob-admin", role="admin", subjects=[{"kind": "User", "name": "bob"}])
    await host.grant("shop-view", role="view", namespaces=["shop"])
    async with host.nats.bus("tenancy") as bus:
        revocations = Store(await bus.bucket(subjects.RESOURCES), REVOCATION)
        spec = {"user": "bob", "disabled": True}
        await revocations.create({"metadata": {"name": revocation_name("bob")}, "spec": spec})
    await eventually(lambda: host.proxy.directory.revoked("bob") is not None)
    status = await explained(host, alice, verb="delete", resource="pods", namespace="shop")
    assert status["canGrant"] == ["admin"]


async def test_what_is_held_and_not_in_place_yet_is_told_as_that(host: World) -> None:
    rbac(host, bound=False)
    alice = await host.token("alice")
    await host.grant("shop-edit", namespaces=["shop"])
    async with tenancy(host, "Waiting", "namespace shop does not exist"):
        status = await explained(host, alice, verb="delete", resource="pods", namespace="shop")
    assert status["member"]["state"] == "Waiting"
    assert status["member"]["reason"] == "namespace shop does not exist"
    assert status["missing"] == "binding shop/skerry:edit in place on m1"
    assert status["next"] == "skerry desired m1 --owner tenancy --problems -o wide"
    silent = await explained(host, alice, verb="delete", resource="pods", namespace="shop")
    assert silent["member"]["state"] == "Unknown"


async def test_a_cluster_out_of_reach_is_explained_as_one_that_does_not_exist(host: World) -> None:
    rbac(host)
    alice = await host.token("alice")
    await host.grant("shop-edit", namespaces=["shop"])
    await host.cluster("m2", ceiling={"readOnly": True})
    seen = len(host.recorder.heads)
    hidden, absent = [
        await ask(host, alice, name, verb="delete", resource="pods", namespace="shop") for name in ("m2", "m7")
    ]
    assert hidden.status == 201
    assert hidden.body.replace(b"m2", b"m7") == absent.body
    status = hidden.json()["status"]
    assert (status["allowed"], status["basis"], status["missing"]) == (False, [], "a grant on cluster m2")
    assert status["next"] == "skerry request create edit --cluster m2 -n shop --reason …"
    assert len(host.recorder.heads) == seen
    real = await host.ask(b"/clusters/m2/api/v1/namespaces/shop/pods", token=alice)
    assert status["member"]["reason"] == f"not asked: {real.json()['message']}"


async def test_what_the_host_refuses_is_not_asked_of_the_member(host: World) -> None:
    rbac(host)
    for token in (host.admin, await host.token("vera", "skerry:view")):
        seen = len(host.recorder.heads)
        status = await explained(host, token, verb="get", resource="nodes", subresource="proxy")
        assert (status["allowed"], status["missing"], status["next"]) == (False, "", "")
        assert "nodes/proxy is refused for everybody" in status["member"]["reason"]
        assert [each["kind"] for each in status["basis"]] == ["Group"]
        assert len(host.recorder.heads) == seen


async def test_a_member_that_is_away_is_not_asked_and_the_rest_is_told(host: World) -> None:
    alice = await host.token("alice")
    await host.grant("shop-edit", namespaces=["shop"])
    host.agent.kill()
    async with tenancy(host, "Away", "its agent is not connected"):
        status = await explained(host, alice, verb="delete", resource="pods", namespace="shop")
    assert (status["allowed"], status["member"]["asked"]) == (False, False)
    assert status["member"]["reason"].startswith("not asked, away")
    assert (status["member"]["binding"], status["member"]["state"]) == ("shop/skerry:edit", "Away")
    assert status["basis"][0]["name"] == "shop-edit"


async def test_about_others_asks_who_may_write_their_grant(host: World) -> None:
    rbac(host)
    alice = await host.token("alice")
    await host.grant("shop-view", role="view", namespaces=["shop"])
    question = {"verb": "list", "resource": "pods", "namespace": "shop"}
    await host.grant("bob-admin", role="admin", subjects=[{"kind": "User", "name": "bob"}])
    refused = await ask(host, alice, user="bob", **question)
    assert (refused.status, b"about themselves alone" in refused.body) == (403, True)
    status = await explained(host, host.admin, user="alice", **question)
    assert (status["allowed"], status["identity"]["source"]) == (True, "Asked")
    status = await explained(host, host.admin, user="bob", groups=["skerry:edit"], **question)
    assert (status["allowed"], status["basis"][0]["gives"]) == (True, "edit in the whole cluster")
    nothing = await explained(host, host.admin, user="carol", **question)
    assert (nothing["missing"], nothing["canGrant"]) == ("a grant on cluster m1", ["admin", "bob"])
    assert nothing["member"]["reason"] == "not asked: carol has nothing on cluster m1"


async def test_who_administers_a_cluster_may_ask_about_others_there_and_learns_nothing_of_elsewhere(
    host: World,
) -> None:
    rbac(host)
    bob = await host.token("bob")
    await host.grant("bob-admin", role="admin", subjects=[{"kind": "User", "name": "bob"}])
    await host.cluster("m2")
    question = {"verb": "list", "resource": "pods", "namespace": "shop"}
    before = await ask(host, bob, user="carol", **question)
    assert before.status == 201
    status = {"clusters": [{"name": "m2", "uid": host.proxy.directory.uid("m2")}]}
    spec = {"subjects": [{"kind": "User", "name": "carol"}], "clusters": {"names": ["m2"]}, "role": "edit"}
    await host.grants.create({"metadata": {"name": "elsewhere"}, "spec": spec, "status": status})
    carol = await host.token("carol")
    async with asyncio.timeout(10):
        while (await host.ask(b"/clusters/m2/api", token=carol)).status == 403:
            await asyncio.sleep(0.01)
    assert (await ask(host, bob, user="carol", **question)).body == before.body
    hidden, absent = [await ask(host, bob, name, user="carol", **question) for name in ("m2", "m7")]
    assert (hidden.status, hidden.body.replace(b"m2", b"m7")) == (403, absent.body)


async def test_a_namespace_and_a_path_are_asked_about_as_requests_name_them(host: World) -> None:
    rbac(host)
    alice = await host.token("alice")
    await host.grant("shop-view", role="view", namespaces=["shop"])
    status = await explained(host, alice, verb="get", resource="namespaces", name="shop")
    assert (status["allowed"], groups(host.recorder.heads[-1])) == (True, [b"skerry:ns:shop:view"])
    await explained(host, alice, verb="list", resource="namespaces")
    assert groups(
        next(h for h in reversed(host.recorder.heads) if b"alice" in dict(h.headers)[b"impersonate-user"])
    ) == [b"skerry:namespaces"]
    vera = await host.token("vera", "skerry:view")
    assert (await explained(host, vera, verb="get", path="/healthz"))["allowed"] is True
    own = await explained(host, vera, "host", verb="list", group="skerry.dev", resource="jointokens")
    assert (own["allowed"], "it takes" in own["missing"]) == (False, True)


async def test_a_question_that_makes_no_sense_is_422_and_one_that_is_none_400(host: World) -> None:
    answer = await host.ask(PATH, b"POST", headers=JSON, body=b'{"spec":{"cluster":"m1"}}')
    assert (answer.status, answer.json()["details"]["causes"][0]["field"]) == (422, "spec.resourceAttributes")
    for body in (b"[]", b'{"spec":{"cluster":7}}', b'{"kind":"Pod"}', b"{", b'{"spec":{"cluster":"m1","groups":"x"}}'):
        assert (await host.ask(PATH, b"POST", headers=JSON, body=body)).status == 400
    protobuf = [(b"content-type", b"application/vnd.kubernetes.protobuf")]
    assert (await host.ask(PATH, b"POST", headers=protobuf, body=b"k8s\0")).status == 415
    assert (await host.ask(PATH, b"GET")).status == 405


async def test_a_member_that_answers_nonsense_is_told_as_one_that_gave_no_answer(host: World) -> None:
    for status, body, said in (
        (500, b"{}", "answered a self review with status 500"),
        (403, b'{"kind":"Status","message":"no"}', "answered a self review with status 403: no"),
        (201, b"x", "cannot be read"),
        (201, b"{}", "cannot be read"),
        (201, b'{"spec":{}}', "has no status"),
        (201, b'{"x":"' + b"x" * 70_000 + b'"}', "larger than"),
    ):
        host.recorder.routes[REVIEW] = answering(status, body)
        told = await explained(host, host.admin, verb="get", resource="pods")
        assert (told["allowed"], told["member"]["asked"]) == (False, False)
        assert said in told["member"]["reason"]


def answering(status: int, body: bytes) -> Callable[[Exchange], Awaitable[None]]:
    async def answer(exchange: Exchange) -> None:
        await exchange.body(1 << 20)
        await exchange.respond(status, JSON, body)

    return answer


RELEASES = b"/apis/skerry.dev/v1alpha1/namespaces/%b/appreleases"
IN_WORKSPACES = [
    (user, namespace, verb) for user in ("ed", "vera", "nobody") for namespace in ("shop", "none", "default", "skerry-apps")
    for verb in ("list", "create", "deletecollection")
]  # fmt: skip


@pytest.mark.parametrize(("user", "namespace", "verb"), IN_WORKSPACES)
async def test_what_a_role_in_a_workspace_gives_on_the_host_is_explained_as_it_is_decided(
    workspaced: World, user: str, namespace: str, verb: str
) -> None:
    token = await workspaced.token(user)
    attributes = {"verb": verb, "group": "skerry.dev", "resource": "appreleases", "namespace": namespace}
    status = await explained(workspaced, token, "host", **attributes)
    method = {"list": b"GET", "create": b"POST", "deletecollection": b"DELETE"}[verb]
    real = await workspaced.ask(RELEASES % namespace.encode(), method, token=token, headers=JSON, body=b"{}")
    review = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = msgspec.json.encode({"spec": {"resourceAttributes": attributes}})
    own = await workspaced.ask(review, b"POST", token=token, headers=JSON, body=body)
    allowed = real.status != 403
    assert (status["allowed"], own.json()["status"]["allowed"]) == (allowed, allowed), real.body
    if not allowed:
        assert status["missing"] == real.json()["message"]
        held = {
            ("vera", "shop"): [{"kind": "Workspace", "name": "shop", "gives": "view in namespace shop of the host"}]
        }
        assert status["basis"] == held.get((user, namespace), []), "what there is, and is not enough"
    elif namespace == "shop":
        role = {"ed": "edit", "vera": "view"}[user]
        assert status["basis"] == [
            {"kind": "Workspace", "name": "shop", "gives": f"{role} in namespace shop of the host"}
        ]
    else:
        assert (namespace, verb) == ("skerry-apps", "list")
        assert status["basis"] == [
            {"kind": "Namespace", "name": "skerry-apps", "gives": "what is in namespace skerry-apps"}
        ]
