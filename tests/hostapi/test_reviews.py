"""Self reviews, as JSON and as kubectl posts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.proxy.hostapi import Rule
from skerry.protobuf import MAGIC, field, message
from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
SUBJECT = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PROTOBUF = {"content-type": "application/vnd.kubernetes.protobuf"}


async def asked(world: World, resource: str) -> Any:
    spec = {"resourceAttributes": {"verb": "list", "group": "skerry.dev", "resource": resource}}
    answer = await world.ask(ACCESS, "POST", {"spec": spec})
    assert answer.status == 201
    return answer.json()["status"]


async def test_access_is_decided_as_for_a_real_request(world: World) -> None:
    world.denied.add("clusters")
    assert await asked(world, "credentials") == {"allowed": True}
    denied = await asked(world, "clusters")
    assert denied["allowed"] is False
    assert (await world.ask("/apis/skerry.dev/v1alpha1/clusters")).json()["message"] == denied["reason"]


async def test_a_review_in_protobuf_is_answered_in_json(world: World) -> None:
    world.denied.add("clusters")
    attributes = field(2, "list") + field(3, "skerry.dev") + field(5, "clusters")
    review = message(2, message(1, attributes))
    answer = await world.ask(ACCESS, "POST", MAGIC + message(2, review), headers=PROTOBUF)
    assert answer.status == 201
    found = answer.json()
    assert found["spec"]["resourceAttributes"]["resource"] == "clusters"
    assert found["status"]["allowed"] is False


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (
            {
                "metadata": None,
                "spec": {"nonResourceAttributes": None, "resourceAttributes": {"verb": "list", "name": None}},
            },
            "application/json",
        ),
        (b"spec:\n  resourceAttributes: {verb: list, resource: null}\n", "application/yaml"),
    ],
)
async def test_null_is_absent_in_a_review(world: World, body: Any, media: str) -> None:
    answer = await world.ask(ACCESS, "POST", body, headers={"content-type": media})
    assert answer.status == 201
    assert answer.json()["status"] == {"allowed": True}


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        ({}, {}, 422),
        ({"spec": {"resourceAttributes": {}, "nonResourceAttributes": {}}}, {}, 422),
        ({"spec": 1}, {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 422),
        (b'{"spec":{"nonResourceAttributes":{"path":"\xff"}}}', {}, 400),
        (b'{"a":' * 3000, {}, 400),
        ({"kind": "Pod", "apiVersion": "v1"}, {}, 400),
        ({"spec": None, "metadata": {"labels": None}}, {}, 422),
        (b"nonsense", PROTOBUF, 400),
        (MAGIC + b"\x12\xff", PROTOBUF, 400),
        ({}, {"content-type": "application/cbor"}, 415),
    ],
)
async def test_what_is_no_review_is_refused(world: World, body: Any, headers: dict[str, str], code: int) -> None:
    assert (await world.ask(ACCESS, "POST", body, headers=headers)).status == code


async def test_a_path_can_be_asked_about(world: World) -> None:
    spec = {"nonResourceAttributes": {"path": "/version", "verb": "get"}}
    assert (await world.ask(ACCESS, "POST", {"spec": spec})).json()["status"] == {"allowed": True}


async def test_rules_are_those_of_the_caller(world: World) -> None:
    world.rules = (Rule(("get",), ("skerry.dev",), ("clusters",)), Rule(("get",), paths=("/api/*",)))
    status = (await world.ask(RULES, "POST", {"spec": {"namespace": "default"}})).json()["status"]
    assert status["resourceRules"] == [{"verbs": ["get"], "apiGroups": ["skerry.dev"], "resources": ["clusters"]}]
    assert status["nonResourceRules"] == [{"verbs": ["get"], "nonResourceURLs": ["/api/*"]}]


async def test_the_caller_learns_who_it_is(world: World) -> None:
    user = (await world.ask(SUBJECT, "POST", {})).json()["status"]["userInfo"]
    assert user == {"username": "admin", "groups": ["skerry:cluster-admin", "system:authenticated"]}


async def test_reviews_are_only_asked(world: World) -> None:
    answer = await world.ask(ACCESS)
    assert (answer.status, answer.header(b"allow")) == (405, b"POST")


async def test_kubectl_auth(world: World, tmp_path: Path) -> None:
    world.denied.add("credentials")
    for resource, answer in (("clusters", "yes"), ("credentials.skerry.dev", "no")):
        code, out, err = await world.kubectl("auth", "can-i", "list", resource, home=tmp_path)
        assert (code, out.partition(" ")[0].strip()) == (int(answer == "no"), answer)
        assert "error" not in err
    code, out, err = await world.kubectl("auth", "can-i", "--list", home=tmp_path)
    assert (code, err) == (0, "")
    assert "*.*" in out
    code, out, err = await world.kubectl("auth", "whoami", "-o", "json", home=tmp_path)
    assert (code, err) == (0, "")
    assert '"username": "admin"' in out
