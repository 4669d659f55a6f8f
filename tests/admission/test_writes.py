"""Writes of a host API's kind from the signed message to the bucket, which is in memory: what is stored, and what is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from skerry import subjects
from skerry.admission import Admitted, Callers, Rules, Writes
from skerry.admission.prepare import APPLY_PATCH, MERGE_PATCH
from skerry.admission.writes import ATTEMPTS, LARGE_BYTES, invalid
from skerry.api.kinds import WORKSPACE
from skerry.api.messages import SIGNATURE, Caller, Write, WriteAnswer, WriteOptions, WriteRequest
from skerry.api.meta import Document
from skerry.bus import Bucket, Message
from skerry.bus.headers import encode_headers
from skerry.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from skerry.identity import nkey, requests
from skerry.identity.assertion import Signer, make_record
from skerry.identity.nkey import KeyType
from skerry.identity.trust import pinned
from skerry.storage import Item, Store
from tests.admission.workspace import NOW
from tests.fixtures.jetstream import Line, Server

ROOT, KEY = nkey.create(KeyType.ACCOUNT), nkey.create(KeyType.USER)
PROXY = Signer("P1", KEY, make_record(ROOT, "P1", KEY.public, int(time.time()) + 3600))
ADMIN = Caller(user="admin")
NEW: Document = {
    "apiVersion": WORKSPACE.api_version,
    "kind": "Workspace",
    "metadata": {"name": "n"},
    "spec": {"displayName": "a"},
}
HELD: Document = {**NEW, "metadata": {"name": "n", "finalizers": ["skerry.dev/x"]}}


class Owner(Rules):
    """Rules that a test can say, and who was asked for what."""

    def __init__(self) -> None:
        self.revealed: Document = {}
        self.warnings: tuple[str, ...] = ()
        self.rival: Callable[[], Any] | None = None
        """A write of somebody else, between what was read and what is written."""
        self.forbidden = False
        self.marked: list[str] = []

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        anew = {**document, "metadata": {k: v for k, v in document["metadata"].items() if k != "managedFields"}}
        return Admitted(anew, self.revealed, self.warnings)

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        if self.rival is not None:
            await self.rival()
        return Admitted(document, warnings=self.warnings)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        if self.forbidden:
            raise Forbidden("not this one")

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        self.marked.append(current.name)


class Desk:
    """An owner of workspaces, its bucket, and a proxy that signs what it brings."""

    def __init__(self) -> None:
        self.store = Store(Bucket(Line(Server()), "resources"), WORKSPACE)  # type: ignore[arg-type]
        self.rules = Owner()
        self.endpoints = Writes(self.store, self.rules, lambda: NOW).endpoints(Callers(pinned(ROOT.public)))
        self._number = 0

    async def ask(
        self,
        verb: str,
        body: Any = None,
        media: str = "application/json",
        *,
        again: str = "",
        name: str = "n",
        **options: Any,
    ) -> WriteAnswer:
        """The answer to a write; `again` is the id of a request that comes a second time."""
        self._number += 1
        write = Write(
            request_id=again or f"r{self._number}",
            name=name,
            content_type=media,
            body=msgspec.Raw(msgspec.json.encode(body)),
            options=WriteOptions(field_manager="test", **options),
        )
        subject, data = subjects.write("tenancy", "workspaces", verb), msgspec.json.encode(write)
        signature = requests.sign(PROXY, ADMIN, subject, data, time.time())
        connection: Any = None
        message = Message(connection, subject, "", data, encode_headers({SIGNATURE: signature}))
        return msgspec.json.decode(await self.endpoints[subject](message), type=WriteAnswer)

    async def made(self, document: Document = NEW) -> Document:
        """What is stored of a new object."""
        return said(await self.ask("create", document))

    async def stored(self) -> Document:
        return (await self.store.get("n")).document()


def said(answer: WriteAnswer) -> Document:
    document: Document = msgspec.json.decode(answer.object)
    return document


@pytest.fixture
async def desk() -> Desk:
    return Desk()


# Create


async def test_a_create_is_stored_and_answered_as_it_is_stored(desk: Desk) -> None:
    desk.rules.warnings = ("think of it",)
    answer = await desk.ask("create", {**NEW, "colour": 1})
    assert said(answer) == await desk.stored()
    assert said(answer)["metadata"]["managedFields"][0]["manager"] == "test", "also where rules build metadata anew"
    assert (answer.created, answer.gone) == (True, False)
    assert answer.warnings == ('unknown field "colour"', "think of it")


async def test_a_create_that_comes_twice_is_one(desk: Desk) -> None:
    first = await desk.ask("create", NEW, again="x")
    assert await desk.ask("create", NEW, again="x") == first
    with pytest.raises(AlreadyExists):
        await desk.ask("create", NEW)


async def test_a_secret_is_in_the_answer_and_nowhere_else(desk: Desk) -> None:
    desk.rules.revealed = {"secret": "s"}
    assert said(await desk.ask("create", NEW))["status"] == {"secret": "s"}
    assert "status" not in await desk.stored()


async def test_a_dry_create_stores_nothing_and_reveals_nothing(desk: Desk) -> None:
    desk.rules.revealed = {"secret": "s"}
    answer = await desk.ask("create", NEW, dry_run=True)
    assert answer.created
    assert "status" not in said(answer)
    assert said(answer)["metadata"]["uid"]
    assert await desk.store.find("n") is None
    await desk.made()
    with pytest.raises(AlreadyExists):
        await desk.ask("create", NEW, dry_run=True)


async def test_what_has_no_name_after_the_rules_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name: Required value"):
        await desk.ask("create", {**NEW, "metadata": {}})


async def test_a_large_object_is_stored_like_any_other(desk: Desk) -> None:
    note = "x" * (LARGE_BYTES + 1)
    await desk.made({**NEW, "metadata": {"name": "n", "annotations": {"note": note}}})
    assert (await desk.stored())["metadata"]["annotations"] == {"note": note}


# Update


async def test_an_update_of_what_was_read_is_stored(desk: Desk) -> None:
    before = await desk.made()
    answer = await desk.ask("update", {**before, "spec": {"displayName": "b"}})
    assert said(answer) == await desk.stored()
    assert said(answer)["spec"] == {"displayName": "b"}
    assert said(answer)["metadata"]["generation"] == 2
    assert not answer.created


async def test_an_update_that_comes_twice_is_answered_twice_and_done_once(desk: Desk) -> None:
    before = await desk.made()
    changed = {**before, "spec": {"displayName": "b"}}
    first = await desk.ask("update", changed, again="x")
    assert said(await desk.ask("update", changed, again="x")) == said(first)


@pytest.mark.parametrize(("metadata", "error"), [
    ({"resourceVersion": "1000"}, Conflict),
    ({"resourceVersion": ""}, Invalid),
    ({"resourceVersion": "0"}, Invalid),
    ({"uid": "another"}, Conflict),
])  # fmt: skip
async def test_an_update_of_something_else_is_refused(desk: Desk, metadata: Document, error: type[Exception]) -> None:
    before = await desk.made()
    with pytest.raises(error):
        await desk.ask("update", {**before, "metadata": before["metadata"] | metadata, "spec": {}})
    assert await desk.stored() == before


@pytest.mark.parametrize(("verb", "body", "media"), [
    ("update", NEW, "application/json"),
    ("patch", {}, MERGE_PATCH),
    ("delete", None, "application/json"),
])  # fmt: skip
async def test_what_is_not_there_is_not_changed(desk: Desk, verb: str, body: Any, media: str) -> None:
    with pytest.raises(NotFound):
        await desk.ask(verb, body, media)


@pytest.mark.parametrize("verb", ["update", "patch"])
async def test_a_dry_change_changes_nothing(desk: Desk, verb: str) -> None:
    before = await desk.made()
    body, media = ({**before, "spec": {}}, "application/json") if verb == "update" else ({"spec": None}, MERGE_PATCH)
    if verb == "patch":
        body = {"spec": {"displayName": None}}
    answer = await desk.ask(verb, body, media, dry_run=True)
    assert said(answer)["spec"] == {}
    assert said(answer)["metadata"]["generation"] == 2
    assert await desk.stored() == before


# Patch and apply


async def test_a_patch_is_merged_with_what_is_there(desk: Desk) -> None:
    await desk.made()
    desk.rules.warnings = ("think of it",)
    answer = await desk.ask("patch", {"metadata": {"labels": {"a": "b"}}, "zz": 1}, MERGE_PATCH)
    assert said(answer) == await desk.stored()
    assert said(answer)["metadata"]["labels"] == {"a": "b"}
    assert answer.warnings == ('unknown field "zz"', "think of it")


async def test_a_patch_that_changes_nothing_is_no_write(desk: Desk) -> None:
    before = await desk.made()
    assert said(await desk.ask("patch", {"spec": {"displayName": "a"}}, MERGE_PATCH)) == before
    assert await desk.stored() == before


async def test_a_patch_that_comes_twice_is_answered_twice_and_done_once(desk: Desk) -> None:
    await desk.made()
    first = await desk.ask("patch", {"spec": {"displayName": "b"}}, MERGE_PATCH, again="x")
    again = await desk.ask("patch", {"spec": {"displayName": "c"}}, MERGE_PATCH, again="x")
    assert said(again) == said(first)
    assert (await desk.stored())["spec"] == {"displayName": "b"}


async def test_an_apply_makes_what_is_not_there_and_then_changes_it(desk: Desk) -> None:
    answer = await desk.ask("patch", NEW, APPLY_PATCH)
    assert answer.created
    assert said(answer) == await desk.stored()
    answer = await desk.ask("patch", {**NEW, "spec": {"displayName": "b"}}, APPLY_PATCH)
    assert not answer.created
    assert said(answer)["spec"] == {"displayName": "b"}


async def test_a_patch_that_loses_a_race_is_tried_on_what_won(desk: Desk) -> None:
    await desk.made()

    async def rival() -> None:
        desk.rules.rival = None
        await desk.store.modify("n", lambda document: {**document, "spec": {"displayName": "theirs"}})

    desk.rules.rival = rival
    await desk.ask("patch", {"metadata": {"labels": {"a": "b"}}}, MERGE_PATCH)
    stored = await desk.stored()
    assert (stored["spec"], stored["metadata"]["labels"]) == ({"displayName": "theirs"}, {"a": "b"})


async def test_a_patch_that_always_loses_is_a_conflict(desk: Desk) -> None:
    await desk.made()
    rivals: list[str] = []

    async def rival() -> None:
        rivals.append(str(len(rivals)))
        await desk.store.modify("n", lambda document: {**document, "spec": {"displayName": rivals[-1]}})

    desk.rules.rival = rival
    with pytest.raises(Conflict):
        await desk.ask("patch", {"metadata": {"labels": {"a": "b"}}}, MERGE_PATCH)
    assert len(rivals) == ATTEMPTS
    assert "labels" not in (await desk.stored())["metadata"]


async def test_a_conflict_that_nobody_else_made_is_told_at_once(desk: Desk) -> None:
    await desk.made()
    asked: list[None] = []

    async def rival() -> None:
        asked.append(None)

    desk.rules.rival = rival
    with pytest.raises(Conflict):
        await desk.ask("patch", {"metadata": {"resourceVersion": "1000"}}, MERGE_PATCH)
    assert not asked


# Delete


async def test_a_delete_ends_what_nothing_holds(desk: Desk) -> None:
    await desk.made()
    answer = await desk.ask("delete")
    assert answer.gone
    assert said(answer)["metadata"]["name"] == "n"
    assert await desk.store.find("n") is None
    assert desk.rules.marked == []


async def test_a_delete_that_comes_twice_is_answered_twice(desk: Desk) -> None:
    await desk.made()
    await desk.ask("delete", again="x")
    assert (await desk.ask("delete", again="x")).gone


async def test_what_is_held_is_marked_and_goes_with_its_last_finalizer(desk: Desk) -> None:
    await desk.made(HELD)
    answer = await desk.ask("delete")
    assert not answer.gone
    assert said(answer)["metadata"]["deletionTimestamp"]
    assert desk.rules.marked == ["n"]
    await desk.ask("patch", {"metadata": {"finalizers": None}}, MERGE_PATCH)
    assert await desk.store.find("n") is None


async def test_a_mark_that_comes_twice_is_answered_as_before(desk: Desk) -> None:
    await desk.made(HELD)
    first = await desk.ask("delete", again="x")
    assert said(await desk.ask("delete", again="x")) == said(first)
    assert not (await desk.ask("delete")).gone


@pytest.mark.parametrize(("policy", "finalizers"), [
    ("Orphan", ["skerry.dev/x", "orphan"]),
    ("Foreground", ["skerry.dev/x", "foregroundDeletion"]),
    ("Background", ["skerry.dev/x"]),
    ("", ["skerry.dev/x"]),
])  # fmt: skip
async def test_what_becomes_of_dependents_is_the_collectors_to_do(
    desk: Desk, policy: str, finalizers: list[str]
) -> None:
    await desk.made(HELD)
    answer = await desk.ask("delete", propagation_policy=policy)
    assert said(answer)["metadata"]["finalizers"] == finalizers
    again = await desk.ask("delete", propagation_policy="Background")
    assert said(again)["metadata"]["finalizers"] == ["skerry.dev/x"]


async def test_a_request_that_was_done_is_not_done_to_a_successor(desk: Desk) -> None:
    await desk.ask("create", NEW, again="x")
    await desk.ask("delete", again="y")
    with pytest.raises(Conflict, match="it was deleted since"):
        await desk.ask("create", NEW, again="x")
    successor = await desk.made()
    with pytest.raises(NotFound):
        await desk.ask("delete", again="y")
    assert await desk.stored() == successor


async def test_what_the_owner_finishes_at_once_is_gone_in_the_answer(desk: Desk) -> None:
    await desk.made(HELD)

    async def finish(current: Item, request: WriteRequest) -> None:
        await desk.store.finalize(current.name, current.uid, "skerry.dev/x")

    desk.rules.after_delete = finish  # type: ignore[method-assign]
    answer = await desk.ask("delete")
    assert answer.gone
    assert "finalizers" not in said(answer)["metadata"]


@pytest.mark.parametrize(("document", "gone"), [(NEW, True), (HELD, False)])
async def test_a_dry_delete_says_what_would_be(desk: Desk, document: Document, gone: bool) -> None:
    before = await desk.made(document)
    answer = await desk.ask("delete", dry_run=True)
    assert answer.gone is gone
    assert said(answer)["metadata"]["deletionTimestamp"]
    assert await desk.stored() == before


async def test_what_may_not_be_deleted_stays(desk: Desk) -> None:
    before = await desk.made()
    desk.rules.forbidden = True
    with pytest.raises(Forbidden):
        await desk.ask("delete")
    assert await desk.stored() == before


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resource_version": "1000"}])
@pytest.mark.parametrize("dry", [True, False])
async def test_only_what_is_meant_is_deleted(desk: Desk, precondition: dict[str, str], dry: bool) -> None:
    before = await desk.made()
    with pytest.raises(Conflict):
        await desk.ask("delete", dry_run=dry, **precondition)
    assert await desk.stored() == before


def test_rules_say_which_field_is_wrong() -> None:
    error = invalid(WORKSPACE, "n", "spec.x", "must be y", 7)
    assert error.message == 'Workspace.skerry.dev "n" is invalid: spec.x: Invalid value: 7: must be y'
    assert invalid(WORKSPACE, "n", "spec.x", "must be y").message.endswith("spec.x: Invalid value: must be y")
    assert [(each.field, each.message) for each in error.details.causes] == [("spec.x", "Invalid value: 7: must be y")]
