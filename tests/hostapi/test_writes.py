"""Writes through the host API to their owner, and what is refused on the way."""

from __future__ import annotations

import hashlib

import pytest

from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

CREDENTIALS = "/apis/skerry.dev/v1alpha1/credentials"
WORKSPACES = "/apis/skerry.dev/v1alpha1/workspaces"
CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
JSON = {"content-type": "application/json"}


def credential(user: str = "alice", **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Credential",
        "metadata": {},
        "spec": {"user": user, "groups": ["skerry:view"], **spec},
    }


async def test_the_token_is_shown_once_and_its_digest_is_the_name(world: World) -> None:
    made = await world.ask(CREDENTIALS, "POST", credential(), JSON)
    assert made.status == 201
    document = made.json()
    token = document["status"]["token"]
    assert document["metadata"]["name"] == hashlib.sha256(token.encode()).hexdigest()[:32]
    read = await world.ask(f"{CREDENTIALS}/{document['metadata']['name']}")
    assert "token" not in read.json()["status"]
    assert token.encode() not in (await world.ask(CREDENTIALS)).body


async def test_a_user_agent_is_read_as_utf8(world: World) -> None:
    made = await world.ask(CREDENTIALS, "POST", credential(), {**JSON, "user-agent": "müller/1"})
    assert [each["manager"] for each in made.json()["metadata"]["managedFields"]] == ["müller"]


@pytest.mark.parametrize(
    ("method", "query", "body", "media", "status"),
    [
        ("DELETE", "continue=e30", b"{}", "text/plain", 415),
        ("DELETE", "continue=e30", b'{"propagationPolicy":"Foo"}', "application/json", 422),
        ("DELETE", "continue=e30&limit=x", b'{"propagationPolicy":"Foo"}', "application/json", 400),
        ("DELETE", "resourceVersion=1x", b"{}", "application/json", 400),
        ("DELETE", "fieldSelector=spec.no%3Dx&resourceVersionMatch=x", b"{}", "application/json", 422),
        ("POST", "fieldValidation=x", b"{", "application/yaml", 422),
        ("POST", "fieldValidation=x", b"{", "text/plain", 415),
        ("PUT", "dryRun=x", b"{", "text/plain", 400),
        ("PATCH", "dryRun=x", b"{", "application/merge-patch+json", 400),
        ("PATCH", "dryRun=x", b"{", "text/plain", 415),
    ],
)
async def test_which_error_is_told_is_the_api_servers_choice(
    world: World, method: str, query: str, body: bytes, media: str, status: int
) -> None:
    answer = await world.ask(f"{WORKSPACES}?{query}", method, body, {"content-type": media})
    assert answer.status == status


async def test_a_write_is_read_back_at_once(world: World) -> None:
    name = (await world.ask(CREDENTIALS, "POST", credential(), JSON)).json()["metadata"]["name"]
    assert (await world.ask(f"{CREDENTIALS}/{name}")).status == 200
    gone = await world.ask(f"{CREDENTIALS}/{name}", "DELETE")
    assert gone.json()["status"] == "Success"
    assert gone.json()["details"]["name"] == name
    assert (await world.ask(f"{CREDENTIALS}/{name}")).status == 404
    assert (await world.ask(f"{CREDENTIALS}/{name}", "DELETE")).status == 404


async def test_a_dry_run_stores_nothing_and_shows_no_secret(world: World) -> None:
    before = (await world.ask(CREDENTIALS)).json()["items"]
    made = await world.ask(f"{CREDENTIALS}?dryRun=All", "POST", credential(), JSON)
    assert made.status == 201
    assert "token" not in made.json()["status"]
    assert (await world.ask(CREDENTIALS)).json()["items"] == before


@pytest.mark.parametrize(
    ("document", "status", "field"),
    [
        (credential("system:admin"), 422, "spec.user"),
        (credential("skerry:admin"), 422, "spec.user"),
        (credential(""), 422, "spec.user"),
        (credential(groups=["system:masters"]), 422, "spec.groups[0]"),
        (credential(groups=["ok", "skerry:root"]), 422, "spec.groups[1]"),
        (credential(ttl="forever"), 422, "spec.ttl"),
        (credential(ttl="31d"), 422, "spec.ttl"),
        (credential(ttl=5), 422, "spec.ttl"),
        (credential() | {"metadata": {"name": "mine"}}, 422, "metadata.name"),
        (credential() | {"spec": {}}, 422, "spec.user"),
        (credential() | {"kind": "Cluster"}, 422, "kind"),
        (credential() | {"apiVersion": "v1"}, 400, ""),
        ([], 400, ""),
        (b"{", 400, ""),
        (b"", 400, ""),
    ],
)
async def test_what_breaks_a_rule_is_refused_with_its_field(
    world: World, document: object, status: int, field: str
) -> None:
    answer = await world.ask(CREDENTIALS, "POST", document, JSON)
    assert answer.status == status
    if field:
        assert [cause["field"] for cause in answer.json()["details"]["causes"]] == [field]


async def test_unknown_fields_are_refused_when_asked_to(world: World) -> None:
    strict = await world.ask(f"{CREDENTIALS}?fieldValidation=Strict", "POST", credential(colour="red"), JSON)
    assert strict.status == 400
    assert 'unknown field "spec.colour"' in strict.json()["message"]


async def test_other_formats_are_415_and_large_bodies_413(world: World) -> None:
    assert (await world.ask(CREDENTIALS, "POST", b"a: b", {"content-type": "text/plain"})).status == 415
    large = await world.ask(CREDENTIALS, "POST", credential(ttl="x" * 1_600_000), JSON)
    assert large.status == 413


async def test_a_wrong_precondition_is_a_conflict(world: World) -> None:
    name = (await world.ask(CREDENTIALS, "POST", credential(), JSON)).json()["metadata"]["name"]
    options = {"kind": "DeleteOptions", "preconditions": {"uid": "other"}}
    answer = await world.ask(f"{CREDENTIALS}/{name}", "DELETE", options, JSON)
    assert (answer.status, answer.json()["reason"]) == (409, "Conflict")


async def test_an_owner_that_is_away_is_503_and_nothing_happened(world: World) -> None:
    await world.made("m1")
    answer = await world.ask(f"{CLUSTERS}/m1", "DELETE")
    assert answer.status == 503
    assert "the service registry" in answer.json()["message"]
    assert "nothing was changed" in answer.json()["message"]


async def test_status_is_read_by_everybody_and_written_by_its_owner_alone(world: World) -> None:
    await world.made("m1")
    assert (await world.ask(f"{CLUSTERS}/m1/status")).json()["metadata"]["name"] == "m1"
    merge = {"content-type": "application/merge-patch+json"}
    for method, headers in (("PATCH", merge), ("PUT", JSON)):
        answer = await world.ask(f"{CLUSTERS}/m1/status", method, {"status": {"uid": "forged"}}, headers)
        assert answer.status == 403
        assert "status is written by the service registry alone" in answer.json()["message"]


async def test_a_grant_says_at_once_that_it_is_being_put_in_place(world: World) -> None:
    grant = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": {"generateName": "g-"},
        "spec": {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"selector": {}}, "role": "view"},
    }
    made = await world.ask("/apis/skerry.dev/v1alpha1/accessgrants?dryRun=All", "POST", grant, JSON)
    assert (made.status, made.header(b"warning")) == (201, None)
    assert [each["reason"] for each in made.json()["status"]["conditions"]] == ["Applying"]


async def test_a_large_object_is_written_and_changed(world: World) -> None:
    members = [{"kind": "User", "name": f"user-{number:04}"} for number in range(1000)]
    workspace = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "large"},
        "spec": {"displayName": "x" * 200, "members": members},
    }
    workspaces = "/apis/skerry.dev/v1alpha1/workspaces"
    apply = {"content-type": "application/apply-patch+yaml"}
    made = await world.ask(f"{workspaces}/large?fieldManager=a", "PATCH", workspace, apply)
    assert made.status == 201
    assert len(made.json()["spec"]["members"]) == 1000
    gone = await world.ask(f"{workspaces}/large", "DELETE")
    assert gone.json()["status"] == "Success"
