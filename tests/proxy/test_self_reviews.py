"""What a caller may do, asked through the front door: the answer of the function that decides real requests."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.proxy.conftest import World

pytestmark = pytest.mark.integration

JSON = [(b"content-type", b"application/json")]


async def review(host: World, token: bytes, path: str, body: dict[str, Any]) -> Any:
    answer = await host.ask(
        f"/apis/{path}".encode(), method=b"POST", token=token, headers=JSON, body=msgspec.json.encode(body)
    )
    assert answer.status == 201, answer.body
    return answer.json()["status"]


async def may(host: World, token: bytes, verb: str, resource: str) -> Any:
    attributes = {"verb": verb, "group": "skerry.dev", "resource": resource}
    path = "authorization.k8s.io/v1/selfsubjectaccessreviews"
    return await review(host, token, path, {"spec": {"resourceAttributes": attributes}})


async def test_the_answer_is_that_of_the_real_request(host: World) -> None:
    alice = await host.token("alice", "skerry:edit")
    assert await may(host, alice, "list", "clusters") == {"allowed": True}
    denied = await may(host, alice, "list", "jointokens")
    real = await host.ask(b"/apis/skerry.dev/v1alpha1/jointokens", token=alice)
    assert (denied["allowed"], real.status, real.json()["message"]) == (False, 403, denied["reason"])
    assert (await may(host, alice, "*", "*"))["allowed"] is False


async def test_somebody_without_any_group_may_still_ask(host: World) -> None:
    nobody = await host.token("nobody", "shop")
    assert (await may(host, nobody, "list", "settings"))["allowed"] is False
    assert (await may(host, nobody, "list", "clusters"))["allowed"] is True, "those that are theirs: none"
    who = await review(host, nobody, "authentication.k8s.io/v1/selfsubjectreviews", {})
    assert who["userInfo"] == {"username": "nobody", "groups": ["shop", "system:authenticated"]}


async def test_rules_are_told_as_decided(host: World) -> None:
    alice = await host.token("alice", "skerry:view")
    status = await review(host, alice, "authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {}})
    clusters = [rule for rule in status["resourceRules"] if rule["resources"] == ["clusters"]]
    assert clusters == [{"verbs": ["get", "list", "watch"], "apiGroups": ["skerry.dev"], "resources": ["clusters"]}]


async def test_namespaces_are_readable_and_those_of_others_are_not_there(host: World) -> None:
    alice = await host.token("alice", "skerry:view")
    nobody = await host.token("nobody", "shop")
    shown = [(await host.ask(b"/api/v1/namespaces", token=token)).json()["items"] for token in (alice, nobody)]
    assert [[item["metadata"]["name"] for item in items] for items in shown] == [["default", "skerry-apps"], []]


async def test_who_has_nothing_is_told_so_and_who_has_something_what_gives_it(host: World) -> None:
    path, question = "skerry.dev/v1alpha1/selfaccessreviews", {"kind": "SelfAccessReview"}
    nobody = await host.token("nobody", "shop")
    status = await review(host, nobody, path, question)
    assert (status["user"], status["groups"], status["source"], status["access"]) == (
        "nobody",
        ["shop"],
        "Credential",
        [],
    )
    await host.grant("ann-edit", subjects=[{"kind": "User", "name": "ann"}], namespaces=["shop"])
    ann = await host.token("ann")
    async with asyncio.timeout(10):
        while not (rows := (await review(host, ann, path, question))["access"]):
            await asyncio.sleep(0.02)
    source = {"kind": "AccessGrant", "name": "ann-edit"}
    assert rows == [{"cluster": "m1", "namespace": "shop", "role": "edit", "source": source}]


@pytest.mark.parametrize(
    ("media", "body", "code"),
    [
        (b"application/vnd.kubernetes.protobuf", b"k8s\x00", 415),
        (b"application/json", b"[]", 400),
        (b"application/json", b'{"kind": "SelfSubjectReview"}', 400),
    ],
)
async def test_what_is_no_question_about_oneself_is_refused(host: World, media: bytes, body: bytes, code: int) -> None:
    path = b"/apis/skerry.dev/v1alpha1/selfaccessreviews"
    answer = await host.ask(path, b"POST", headers=[(b"content-type", media)], body=body)
    assert answer.status == code
