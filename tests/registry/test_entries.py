"""`clusters/<m>/desired` as the registry answers it: pages, what callers may see, and nothing of contents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.registry.entries import Entries
from skerry import subjects
from skerry.api.desired import Because, Problem, Report, State
from skerry.api.desiredlist import DesiredQuery
from skerry.api.messages import SIGNATURE, Caller, Write, WriteOptions, WriteRequest
from skerry.api.meta import Document
from skerry.desired.client import Want
from skerry.errors import BadRequest, Gone, NotFound
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client
from tests.registry.gate import CLUSTERS, Gate, item, opened_gate, space

pytestmark = pytest.mark.integration

ADMIN, VIEWER = "skerry:cluster-admin", "skerry:view"


async def cluster(name: str) -> Document:
    """The Cluster of a name."""
    if name not in CLUSTERS:
        raise NotFound(f'clusters.skerry.dev "{name}" not found')
    return {"metadata": {"name": name, "uid": CLUSTERS[name]}}


@pytest.fixture
async def made(nats_host: NatsHost) -> AsyncIterator[Gate]:
    async with opened_gate(nats_host) as made:
        yield made


async def asked(gate: Gate, name: str = "m1", group: str = ADMIN, **query: Any) -> Document:
    request = WriteRequest(
        request_id="r", name=name, body=msgspec.Raw(b"null"), options=WriteOptions(), caller=Caller(user="u", groups=(group,))
    )  # fmt: skip
    return await Entries(gate.desired, cluster).answer(request, DesiredQuery(**query))


def states(answer: Document) -> dict[str, str]:
    return {subjects.desired_key(each["key"]).name: each["state"] for each in answer["items"]}


async def test_an_entry_is_told_with_what_became_of_it_and_without_what_is_in_it(made: Gate) -> None:
    because = (Because(kind="Cluster", name="m1"),)
    result = await made.client.put("m1", Want(space("shop", labels={"hidden": "value"}), because=because))
    await made.client.put("m2", Want(space("elsewhere")))
    await made.desired.complete("tenancy", "m1")
    problem = Problem(key=result.key, revision=result.revision, state=State.EXISTS, message="there", since=60.0)
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=99, problems=(problem,)))
    answer = await asked(made)
    assert answer["metadata"] == {}
    assert answer["items"] == [
        {
            "cluster": "m1",
            "owner": "tenancy",
            "key": "m1.tenancy._.namespace._.shop",
            "revision": result.revision,
            "state": "Exists",
            "since": "1970-01-01T00:01:00Z",
            "because": [{"kind": "Cluster", "name": "m1"}],
            "more": 0,
            "message": "there",
        }
    ]
    assert b"hidden" not in msgspec.json.encode(answer)


async def test_who_sees_no_object_that_an_entry_is_for_sees_no_entry(made: Gate) -> None:
    await made.client.put("m1", Want(space("a"), because=(Because(kind="Cluster", name="m1"),)))
    await made.client.put("m1", Want(space("b"), because=(Because(kind="AccessGrant", name="secret-project"),)))
    await made.put(space("c"))
    assert list(states(await asked(made, group=VIEWER))) == ["a"]
    assert list(states(await asked(made))) == ["a", "b", "c"]


async def test_states_and_owners_select(made: Gate) -> None:
    one, _ = await made.put(space("a")), await made.put(space("b"))
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=one.revision))
    assert states(await asked(made)) == {"a": "Applied", "b": "Pending"}
    assert states(await asked(made, state="Pending,Conflict")) == {"b": "Pending"}
    assert states(await asked(made, owner="tenancy", state="Applied")) == {"a": "Applied"}
    assert states(await asked(made, owner="registry")) == {}


async def test_pages_follow_each_other_until_there_are_no_more(made: Gate) -> None:
    names = [f"n{number}" for number in range(7)]
    await made.apply(*(item(document=space(name)) for name in names))
    seen: list[str] = []
    pages, behind = 0, ""
    while True:
        answer = await asked(made, limit=3, continue_=behind)
        seen += states(answer)
        pages += 1
        behind = answer["metadata"].get("continue", "")
        if not behind:
            break
    assert (seen, pages) == (names, 3)


async def test_a_page_of_the_longest_texts_fits_on_the_bus(made: Gate) -> None:
    """What 500 entries with eight long names each come to: pages end by size, and none is above the bus's limit."""
    long = tuple(Because(kind="K" * 63, name=f"{number}" + "n" * 252) for number in range(8))
    made.desired._now = iter(float(second) for second in range(10**6)).__next__
    results = await made.client.apply([item(document=space(f"n{number}"), because=long) for number in range(500)])
    assert [each.code for each in results] == [0] * 500
    report = Report(epoch=made.desired.epoch, applied=10**6)
    await made.desired.report("m1", report)
    seen, behind = 0, ""
    while True:
        answer = await asked(made, continue_=behind)
        assert len(msgspec.json.encode(answer)) < 900_000
        seen += len(answer["items"])
        behind = answer["metadata"].get("continue", "")
        if not behind:
            break
    assert seen == 500


async def test_what_was_withdrawn_is_listed_until_the_member_says_that_it_is_gone(made: Gate) -> None:
    result = await made.put(space("a"))
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=result.revision))
    (gone,) = await made.client.withdraw("m1", result.key)
    (listed,) = (await asked(made))["items"]
    assert (listed["state"], listed["message"]) == ("Pending", "it is to be taken away")
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=gone.revision))
    assert (await asked(made))["items"] == []


async def test_what_was_meant_for_an_earlier_cluster_of_the_name_is_not_listed(
    made: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made.put(space("a"))
    monkeypatch.setitem(CLUSTERS, "m1", "another-uid")
    assert (await asked(made))["items"] == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 501}, {"limit": -1}, {"state": "x"}, {"owner": "x"}])
async def test_a_question_that_cannot_be_answered_is_refused(made: Gate, query: Any) -> None:
    with pytest.raises(BadRequest):
        await asked(made, **query)


@pytest.mark.parametrize(
    "behind", ["another/5", "x", "/", "{epoch}/", "{epoch}/-1", "{epoch}/" + "9" * 19, "{epoch}/²"]
)
async def test_what_goes_on_behind_another_list_begins_again(made: Gate, behind: str) -> None:
    with pytest.raises(Gone, match="begin again"):
        await asked(made, continue_=behind.replace("{epoch}", made.desired.epoch))


async def test_a_cluster_that_does_not_exist_is_not_found(made: Gate) -> None:
    with pytest.raises(NotFound, match=r'clusters\.skerry\.dev "m9" not found'):
        await asked(made, "m9")


async def test_a_registry_answers_it_on_its_subject(nats_host: NatsHost, client: Client) -> None:
    """The declared action, with its parameters, as the front door asks for it."""
    await Agent(nats_host, "m1").join(await client.token("m1"))
    subject = subjects.action("registry", "clusters", "desired", "get")
    body = msgspec.Raw(msgspec.json.encode({"limit": 5}))
    payload = msgspec.json.encode(
        Write(request_id="r", name="m1", subresource="desired", body=body, options=WriteOptions())
    )
    headers = {SIGNATURE: nats_host.sign(Caller(user="u", groups=(ADMIN,)), subject, payload)}
    answer = await client.bus.request(subject, payload, timeout_s=10.0, headers=headers)
    document = msgspec.json.decode(answer.data)
    assert (document["kind"], document["items"]) == ("DesiredEntryList", [])
