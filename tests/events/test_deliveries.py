"""Sinks on a real bus, and receivers on real sockets: what is sent, when again, and what of it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook

from services.events import rules
from skerry.api.conditions import condition_of
from skerry.api.meta import Document
from skerry.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from tests.events.receiver import Got, Receiver, Reply, receiver
from tests.events.world import World, event
from tests.fixtures.nats import eventually

pytestmark = pytest.mark.integration


def current(document: Document) -> bool:
    """True of a sink whose conditions are about what is wanted of it now."""
    generation = document["metadata"]["generation"]
    return all(each["observedGeneration"] == generation for each in document["status"]["conditions"])


def holding(reason: str) -> Callable[[Document], bool]:
    """True of a sink that is so."""
    return lambda document: condition_of(document, "Ready").reason == reason


async def test_an_event_is_posted_signed_and_whole(one: World, to: Receiver) -> None:
    secret = await one.sink("whole", to)
    happened = event()
    await one.happen(happened)
    got = (await to.until(1))[0]
    assert got.target == "/hook?key=private"
    assert got.id == happened.id
    Webhook(secret).verify(got.body, dict(got.headers))
    read = from_http_event(HTTPMessage(headers=dict(got.headers), body=got.body))
    assert (read.get_id(), read.get_type(), read.get_subject()) == (
        happened.id,
        "dev.skerry.cluster.notready",
        "cluster/m1",
    )
    assert read.get_extension("actor") == happened.actor
    assert read.get_data()["message"] == "it does not answer"  # type: ignore[index,call-overload]


async def test_in_binary_mode_the_attributes_are_headers(one: World, to: Receiver) -> None:
    secret = await one.sink("binary", to, mode="binary")
    happened = event()
    await one.happen(happened)
    got = (await to.until(1))[0]
    Webhook(secret).verify(got.body, dict(got.headers))
    read = from_http_event(HTTPMessage(headers=dict(got.headers), body=got.body))
    assert (read.get_id(), read.get_extension("actor")) == (happened.id, happened.actor)
    assert msgspec.json.decode(got.body)["reason"] == "NotReady"


async def test_a_sink_is_told_of_its_types_and_namespaces_alone(one: World, to: Receiver) -> None:
    await one.sink("apps", to, types=["dev.skerry.apprelease.*"], namespaces=["team-a"])
    wanted = event("web", "Failed", kind="AppRelease", namespace="team-a")
    others = event(), event("web", "Failed", kind="AppRelease", namespace="team-b")
    await one.happen(*others, wanted)
    assert (await to.until(1))[0].id == wanted.id
    await one.write("patch", "apps", {"spec": {"types": ["dev.skerry.cluster.*"], "namespaces": None}})
    await one.until("apps", lambda document: document["metadata"]["generation"] > 1 and current(document))
    later = event()
    await one.happen(later, event("web", "Failed", kind="AppRelease", namespace="team-a"))
    assert (await to.until(2))[1].id in (others[0].id, later.id)


async def test_what_is_not_taken_comes_again_under_its_id_before_what_came_after_it(one: World, to: Receiver) -> None:
    """Answers of the server's kinds of trouble, one after another: an error, no answer at all, one that is late, a redirect."""
    troubles = iter(["error", "reset", "late", "redirect"])

    async def replying(got: Got) -> Reply | None:
        trouble = next(troubles, "")
        if trouble == "late":
            await asyncio.sleep(1.5)
        answers = {"error": Reply(500, b"out of order"), "redirect": Reply(302, headers={"location": "https://a/"})}
        return None if trouble == "reset" else answers.get(trouble, Reply())

    to.replying = replying
    await one.sink("troubled", to)
    first, second = await one.happen(event(), event())
    await to.until(6)
    assert to.ids == [first] * 5 + [second]
    document = await one.until("troubled", lambda document: document["status"].get("pending") == 0)
    assert condition_of(document, "Ready").status == "True"
    assert document["status"]["last"]["status"] == 204


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [(500, "Refused", "500: no disk"), (404, "Refused", "404: no disk"), (307, "Redirect", "it leads elsewhere")],
)
async def test_why_a_receiver_takes_nothing_is_told(
    one: World, to: Receiver, status: int, reason: str, message: str
) -> None:
    async def replying(got: Got) -> Reply:
        return Reply(status, b"no disk\r\n\x1b[31m", {"location": "http://169.254.169.254/"})

    to.replying = replying
    name = f"answers-{status}"
    await one.sink(name, to)
    await one.happen(event())
    document = await one.until(name, holding(reason))
    verdict = condition_of(document, "Ready")
    assert verdict.status == "False"
    assert message in verdict.message
    assert verdict.message.isprintable()
    assert "private" not in verdict.message
    assert document["status"]["pending"] == 1


async def test_why_a_receiver_cannot_be_asked_is_told(one: World, to: Receiver) -> None:
    """A certificate of nobody we know, nobody at that port, and a name that means nothing."""
    await one.sink("strange", to, caBundle=Receiver().ca_pem)
    await one.sink("nobody", to, url="https://localhost:1/hook?key=private")
    await one.sink("unknown", to, url="https://nowhere.invalid/hook?key=private")
    await one.happen(event())
    for name, reason in (("strange", "TLSError"), ("nobody", "Unreachable"), ("unknown", "NameNotResolved")):
        document = await one.until(name, holding(reason))
        verdict = condition_of(document, "Ready")
        assert verdict.status == "False"
        assert "private" not in verdict.message
        assert document["status"]["last"]["status"] == 0
    assert to.got == []


async def test_a_receiver_that_answers_410_is_left_alone_until_somebody_says_otherwise(
    one: World, to: Receiver
) -> None:
    async def replying(got: Got) -> Reply:
        return Reply(410)

    to.replying = replying
    await one.sink("gone", to)
    first, second = await one.happen(event(), event())
    document = await one.until("gone", holding("Gone"))
    assert document["spec"]["paused"] is True
    assert to.ids == [first]
    to.replying = None
    await one.write("patch", "gone", {"spec": {"paused": False}})
    await to.until(3)
    assert to.ids == [first, first, second]


async def test_a_receiver_that_hangs_holds_up_nobody(one: World, to: Receiver, tmp_path: Path) -> None:
    stuck = asyncio.Event()

    async def replying(got: Got) -> Reply:
        await stuck.wait()
        return Reply()

    async with receiver(tmp_path / "hanging") as hanging:
        hanging.replying = replying
        await one.sink("hanging", hanging)
        for number in range(9):
            await one.sink(f"fine-{number}", to, url=f"{to.url}&sink={number}")
        ids = await one.happen(*(event(f"m{number}") for number in range(8)))
        wanted = {(f"/hook?key=private&sink={number}", each) for number in range(9) for each in ids}
        await eventually(lambda: {(got.target, got.id) for got in to.got} == wanted, 80.0)
        assert hanging.got
        stuck.set()


async def test_a_sink_that_is_removed_while_it_is_sent_to_leaves_nothing(one: World, to: Receiver) -> None:
    stuck = asyncio.Event()

    async def replying(got: Got) -> Reply:
        await stuck.wait()
        return Reply()

    to.replying = replying
    await one.sink("short", to)
    await one.happen(event())
    await to.until(1)
    sink = await one.until("short", lambda document: True)
    await one.write("delete", "short")
    await one.gone("short")
    stuck.set()
    with pytest.raises(NotFound):
        await one.consumer(sink).state()
    assert await one.secret(sink) is None


async def test_while_a_secret_is_replaced_requests_are_signed_with_both(one: World, to: Receiver) -> None:
    old = await one.sink("rotated", to)
    answer = await one.act("rotated", "secret", "update")
    assert answer["previousUntil"]
    await one.happen(event())
    got = (await to.until(1))[0]
    for secret in (old, answer["secret"]):
        Webhook(secret).verify(got.body, dict(got.headers))
    stored = await one.until("rotated", lambda document: document["status"]["secret"].get("previousUntil"))
    assert old not in str(stored)
    assert answer["secret"] not in str(stored)


async def test_without_a_secret_nothing_is_sent_and_nothing_is_lost(one: World, to: Receiver) -> None:
    await one.write("create", "mute", {"spec": {"url": to.url, "caBundle": to.ca_pem}})
    (happened,) = await one.happen(event())
    document = await one.until("mute", holding("NoSecret"))
    assert "skerry sink secret" in condition_of(document, "Ready").message
    with pytest.raises(Conflict, match="has no secret"):
        await one.act("mute", "test", "create")
    given = "whsec_" + "QUFB" * 8
    assert "secret" not in await one.act("mute", "secret", "update", secret=given)
    got = (await to.until(1))[0]
    assert got.id == happened
    Webhook(given).verify(got.body, dict(got.headers))


async def test_a_test_says_what_the_receiver_answers(one: World, to: Receiver) -> None:
    secret = await one.sink("tried", to, types=["dev.skerry.system.*"])
    answer = await one.act("tried", "test", "create")
    assert (answer["status"], answer["event"]) == (204, to.got[0].id)
    Webhook(secret).verify(to.got[0].body, dict(to.got[0].headers))
    assert to.got[0].event["type"] == "dev.skerry.eventsink.test"

    async def replying(got: Got) -> Reply:
        return Reply(403, b"wrong secret")

    to.replying = replying
    answer = await one.act("tried", "test", "create")
    assert (answer["status"], answer["message"]) == (403, "403: wrong secret")


async def test_a_sink_is_not_told_of_itself(one: World, to: Receiver) -> None:
    await one.sink("mirror", to)
    own, other = event("mirror", "Delivering", kind="EventSink"), event()
    await one.happen(own, other)
    await to.until(1)
    assert to.ids == [other.id]
    await one.until("mirror", lambda document: document["status"].get("pending") == 0)


BAD: dict[str, tuple[dict[str, object], str, str]] = {
    "http": ({"url": "http://pager.example.org/"}, "spec.url", "https://"),
    "link-local": ({"url": "https://169.254.169.254/latest"}, "spec.url", "metadata"),
    "link-local six": ({"url": "https://[fe80::1]/"}, "spec.url", "link-local"),
    "unspecified": ({"url": "https://0.0.0.0/"}, "spec.url", "unspecified"),
    "no url": ({"url": "pager"}, "spec.url", "https://"),
    "user": ({"url": "https://u:p@pager.example.org/"}, "spec.url", "without a user"),
    "unknown verb": ({"types": ["dev.skerry.cluster.never"]}, "spec.types[0]", "no event never"),
    "unknown kind": ({"types": ["dev.skerry.pod.created"]}, "spec.types[0]", "no events of pod"),
    "no type": ({"types": ["dev.skerry.cluster.*", "*"]}, "spec.types[1]", "must be"),
    "many types": ({"types": [f"dev.skerry.cluster.v{n}" for n in range(51)]}, "spec.types", "at most 50"),
    "namespace": ({"namespaces": ["a.>"]}, "spec.namespaces[0]", "namespace"),
    "nothing left": ({"types": ["dev.skerry.cluster.*"], "namespaces": ["a"]}, "spec.namespaces", "leave"),
    "mode": ({"mode": "xml"}, "spec.mode", "structured"),
    "authorities": ({"caBundle": "hello"}, "spec.caBundle", ""),
    "both": ({"insecure": True}, "spec.caBundle", "leave one"),
    "long authorities": ({"caBundle": "A" * 70000}, "spec.caBundle", "Too long"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_no_sink_can_be_is_refused_by_field(one: World, to: Receiver, case: str) -> None:
    spec, field, why = BAD[case]
    with pytest.raises(Invalid) as caught:
        await one.sink("bad", to, **spec)
    assert field in [cause.field for cause in caught.value.details.causes]
    assert why in caught.value.message


async def test_what_is_no_secret_is_refused_without_being_told(one: World, to: Receiver) -> None:
    await one.sink("careful", to)
    with pytest.raises(BadRequest) as caught:
        await one.act("careful", "secret", "update", secret="hunter2")
    assert "whsec_" in caught.value.message
    assert "hunter2" not in caught.value.message
    with pytest.raises(NotFound):
        await one.act("nobody", "secret", "update")


async def test_there_are_no_more_sinks_than_can_be_held(
    one: World, to: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_SINKS", 1)
    await one.sink("only", to)
    with pytest.raises(Forbidden, match="remove one first"):
        await one.sink("second", to)
