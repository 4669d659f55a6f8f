"""What a release consists of and how its objects are, read from a member's API."""

from __future__ import annotations

import pytest

from services.appstore.helm.manifest import Identity
from services.appstore.releases import helmsecrets
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.observing import Observer, summary, why_not
from services.appstore.releases.resources import Discovery, kinds_of, root
from services.appstore.releases.specs import Place
from skerry.api.meta import Document
from skerry.errors import BadGateway, NotFound
from tests.appstore.helm.secrets import release, secret
from tests.appstore.releases.conftest import V1, Member

WEB = Place("shop", "web")
SECRETS = "/api/v1/namespaces/shop/secrets"
LIST = f"{SECRETS}?labelSelector=owner%3Dhelm,name%3Dweb"
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: other}
---
apiVersion: v1
kind: Namespace
metadata: {name: ns}
---
apiVersion: example.org/v1
kind: Unknown
metadata: {name: u}
"""
POD: Document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Pending"}}


def revision(number: int, status: str, ours: int = 0) -> Document:
    made: Document = secret(release(revision=number, status=status, manifest=MANIFEST), revision=number, status=status)
    made["metadata"]["labels"] |= {"skerry.dev/release": "uid", "skerry.dev/revision": str(ours)} if ours else {}
    return made


def stored(member: Member, *revisions: Document) -> None:
    member.objects[LIST] = {"items": list(revisions)}
    for each in revisions:
        member.objects[f"{SECRETS}/{each['metadata']['name']}"] = each


async def test_a_release_as_its_secrets_have_it(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    stored(member, revision(1, "superseded", 1), revision(2, "deployed", 2), revision(3, "failed", 3))
    present = (await helmsecrets.read(door, access, WEB)).present("uid", 3, 1764285600.0)
    assert (present.state, present.ours, present.revision, present.age_s) == ("Failed", True, 3, 60.0)
    assert (present.deployed, present.earlier, present.installing) == (2, 2, False)
    assert member.accepted[-1].startswith("application/json;as=PartialObjectMetadataList")


async def test_whose_it_is(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    stored(member, revision(1, "pending-install", 1))
    found = await helmsecrets.read(door, access, WEB)
    assert found.present("uid", 1, 0.0).installing
    assert not found.present("another", 1, 0.0).ours
    member.objects[LIST] = {"items": []}
    assert (await helmsecrets.read(door, access, WEB)).present("uid", 1, 0.0).state == "None"


@pytest.mark.parametrize(
    ("revisions", "by_hand"),
    [
        ([("deployed", 1)], False),
        ([("superseded", 1), ("deployed", 1)], True),
        ([("superseded", 1), ("superseded", 2), ("deployed", 2)], True),
        ([("superseded", 1), ("deployed", 2)], False),
        ([("failed", 1), ("deployed", 1)], False),
        ([("superseded", 2), ("superseded", 1), ("deployed", 2)], False),
        ([("superseded", 1), ("failed", 1)], False),
    ],
)
async def test_who_upgrades_by_hand_hands_our_labels_on(
    member: Member, door: FrontDoor, access: MemberAccess, revisions: list[tuple[str, int]], by_hand: bool
) -> None:
    """Helm does so for `helm upgrade`; what was tried again after a failure is ours."""
    stored(member, *(revision(number, *each) for number, each in enumerate(revisions, 1)))
    assert (await helmsecrets.read(door, access, WEB)).by_hand is by_hand


async def test_objects_are_looked_at_one_by_one(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    stored(member, revision(1, "deployed", 1))
    member.objects |= {
        "/api/v1/namespaces/shop/configmaps/a": {"kind": "ConfigMap", "metadata": {}},
        "/api/v1/namespaces/other/pods/p": POD,
        "/api/v1/namespaces/ns": {"kind": "Namespace", "metadata": {}},
    }
    observer = Observer(door)
    entry = (await helmsecrets.read(door, access, WEB)).entries[-1]
    inventory = await observer.inventory("key", access, WEB, entry)
    word, counted = summary(await observer.look("key", access, WEB, inventory, all_of_it=True))
    assert (word, counted.total, counted.ready) == ("Degraded", 4, 2)
    assert [(each.name, each.health) for each in counted.not_ready] == [("u", "Missing"), ("p", "Progressing")]
    assert why_not(counted.not_ready) == "Unknown/u: it is not there"

    member.asked.clear()
    member.objects["/api/v1/namespaces/other/pods/p"] = {**POD, "status": {"phase": "Succeeded"}}
    assert await observer.inventory("key", access, WEB, entry) is inventory
    assert summary(await observer.look("key", access, WEB, inventory, all_of_it=False))[1].ready == 3
    assert "/api/v1/namespaces/other/pods/p" in member.paths
    assert "/api/v1/namespaces/ns" not in member.paths, "what was well is asked for again"
    observer.forget("key")
    await observer.look("key", access, WEB, inventory, all_of_it=False)
    assert "/api/v1/namespaces/ns" in member.paths


async def test_what_cannot_be_read_is_said(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    broken = revision(1, "deployed", 1)
    broken["data"]["release"] = "!"
    stored(member, broken)
    entry = (await helmsecrets.read(door, access, WEB)).entries[-1]
    with pytest.raises(BadGateway, match=r"shop/sh\.helm\.release\.v1\.web\.v1 is no revision of a Helm release"):
        await Observer(door).inventory("key", access, WEB, entry)
    nonsense = secret(release(manifest="a: 1"))
    stored(member, nonsense)
    entry = (await helmsecrets.read(door, access, WEB)).entries[-1]
    with pytest.raises(BadGateway, match="that can be read: the manifest: a document is no object"):
        await Observer(door).inventory("key", access, WEB, entry)


async def test_kinds_are_asked_for_once_in_a_while(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    now = 0.0
    discovery = Discovery(door, lambda: now)
    pod = Identity("v1", "Pod", "", "p")
    for _ in range(3):
        assert await discovery.path(access, pod, "shop") == "/api/v1/namespaces/shop/pods/p"
    assert member.paths == ["/api/v1"]
    now = 301.0
    with pytest.raises(NotFound, match="does not have kind Widget of v1"):
        await discovery.path(access, Identity("v1", "Widget", "", "w"), "shop")
    assert len(member.paths) == 2


def test_kinds_in_an_answer() -> None:
    assert kinds_of(V1)["Pod"].plural == "pods"
    assert kinds_of({"resources": "no"}) == kinds_of({"resources": ["no"]}) == {}
    assert (root("v1"), root("apps/v1")) == ("/api/v1", "/apis/apps/v1")
