"""Every request of a front door is in its audit log, and the log is whole: on a real bus, with the real agent's relay."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from skerry import subjects
from skerry.api.kinds import AUDIT_POLICY
from skerry.audit import event
from skerry.bus.jetstream import api
from skerry.identity.services import STREAMS
from skerry.storage import Store
from skerry.storage.buckets import stream_config
from tests.fixtures.nats import eventually
from tests.proxy.auditing.audited import export, records, use, verified
from tests.proxy.conftest import World

pytestmark = pytest.mark.integration


async def test_a_request_to_a_member_is_recorded_with_who_where_and_what(host: World) -> None:
    alice = await host.token("alice", "skerry:edit", "shop")
    agent = [(b"user-agent", b"kubectl/v1.37")]
    answer = await host.ask(b"/clusters/m1/api/v1/namespaces/a/pods/p?limit=5&secret=x", token=alice, headers=agent)
    (record,) = await records(host, b"user=alice")
    assert record["auditID"].encode() == answer.header(b"audit-id") == host.recorder.heads[-1].get(b"audit-id")
    notes = record.pop("annotations")
    times = record.pop("requestReceivedTimestamp"), record.pop("stageTimestamp")
    assert times[0] < times[1]
    assert record == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": record["auditID"],
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/a/pods/p?limit=5&secret=",
        "verb": "get",
        "user": {"username": "alice", "groups": ["skerry:edit", "shop"]},
        "impersonatedUser": {"username": "skerry:alice", "groups": ["skerry:edit"]},
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "kubectl/v1.37",
        "objectRef": {"resource": "pods", "namespace": "a", "name": "p", "apiVersion": "v1"},
        "responseStatus": {"code": 200},
    }
    assert notes[event.CLUSTER] == "m1"
    assert notes[event.DECISION] == "allow"
    assert notes[event.REASON] == "Group skerry:edit"
    assert int(notes[event.SENT]) == len(answer.body)


async def test_the_log_of_a_front_door_is_whole(host: World) -> None:
    for _ in range(3):
        await host.ask(b"/clusters/m1/api/v1/pods")
    await records(host, b"cluster=m1", count=3)
    head, batches = await export(host)
    (report,) = verified(head, batches, time.time())
    assert (report.state, report.first, report.writer) == ("ok", 1, host.proxy.id)


POD = b"/clusters/m1/api/v1/namespaces/d/pods/p"


async def by_id(host: World, id_: bytes, count: int = 1) -> list[dict[str, Any]]:
    """The records of one request."""
    return await records(host, b"id=" + id_, count=count)


async def test_what_was_refused_is_recorded_with_why(host: World) -> None:
    nobody = await host.token("nobody", "shop")
    denied = await host.ask(b"/clusters/m1/api/v1/pods", token=nobody)
    unknown = await host.ask(b"/clusters/none/api/v1/pods")
    unmade = await host.ask(b"/apis/skerry.dev/v1alpha1/jointokens", token=nobody)
    for answer, code, decision in ((denied, 403, "forbid"), (unknown, 404, None), (unmade, 403, "forbid")):
        (record,) = await by_id(host, answer.header(b"audit-id") or b"")
        assert record["responseStatus"]["code"] == answer.status == code
        assert record["annotations"].get(event.DECISION) == decision
    (record,) = await by_id(host, denied.header(b"audit-id") or b"")
    assert (record["responseStatus"]["reason"], record["user"]["username"]) == ("Forbidden", "nobody")
    assert "impersonatedUser" not in record


async def test_who_is_not_known_is_recorded_and_a_flood_of_them_counted(host: World) -> None:
    answers = [await host.ask(b"/clusters/m1/api/v1/pods", token=b"-") for _ in range(3)]
    (record,) = await by_id(host, answers[0].header(b"audit-id") or b"")
    assert record["user"] == {"username": "system:anonymous", "groups": ["system:unauthenticated"]}
    assert (record["responseStatus"]["code"], record["sourceIPs"]) == (401, ["127.0.0.1"])
    await asyncio.gather(*(host.ask(b"/api", token=b"skerry_" + b"x" * 43) for _ in range(60)))

    async def told() -> int:
        found = await records(host, b"user=system:anonymous")
        return sum(int(each["annotations"].get(event.COUNT, 1)) for each in found)

    async with asyncio.timeout(10):
        while await told() < 63:
            await asyncio.sleep(0.1)
    assert await told() == 63
    assert len(await records(host, b"user=system:anonymous")) < 63


async def test_probes_and_discovery_leave_no_record(host: World) -> None:
    for path in (b"/healthz", b"/readyz", b"/version", b"/", b"/apis", b"/clusters/m1/api", b"/openapi/v3"):
        await host.ask(path)
    await host.ask(b"/metrics")
    found = await records(host, b"user=admin")
    assert {each["requestURI"] for each in found} == {"/metrics"}


async def test_a_look_at_the_log_is_in_it(host: World) -> None:
    auditor = await host.token("au", "skerry:auditor")
    answer = await host.ask(b"/audit?user=alice&since=2026-01-01T00:00:00Z", token=auditor)
    assert answer.status == 200
    async with asyncio.timeout(5):
        while not (found := (await host.ask(b"/audit?id=" + (answer.header(b"audit-id") or b""))).body):
            await asyncio.sleep(0.05)
    record = msgspec.json.decode(found)
    assert (record["user"]["username"], record["requestURI"]) == ("au", "/audit?user=&since=")


@pytest.mark.parametrize("path", [b"/audit", b"/audit/batches"])
async def test_the_log_is_for_auditors_alone(host: World, path: bytes) -> None:
    for groups, status in ((("skerry:monitor",), 403), (("skerry:admin",), 403), (("skerry:auditor",), 200), ((), 403)):
        token = await host.token(f"u{status}", *groups)
        assert (await host.ask(path, token=token)).status == status
    assert (await host.ask(path, token=b"-")).status == 401
    assert (await host.ask(path, method=b"POST")).status == 405


@pytest.mark.parametrize(
    ("query", "text"),
    [(b"?usr=a", "usr"), (b"?code=40", "code"), (b"?since=yesterday", "yesterday"), (b"/batches?user=a", "since")],
)
async def test_a_query_that_cannot_be_is_told(host: World, query: bytes, text: str) -> None:
    answer = await host.ask(b"/audit" + query)
    assert answer.status == 400
    assert text in answer.json()["message"]


async def test_a_watch_is_recorded_when_it_begins_and_when_it_is_cut(host: World) -> None:
    alice = await host.token("alice", "skerry:view")
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods", alice))
    id_ = next(value for name, value in response.headers if name == b"audit-id")
    (begun,) = await by_id(host, id_)
    assert (begun["stage"], begun["verb"], begun["responseStatus"]) == ("ResponseStarted", "watch", {"code": 200})
    await host.revoke(alice)
    _, over = await by_id(host, id_, 2)
    response.abort()
    assert over["stage"] == "ResponseComplete"
    assert over["annotations"][event.ENDED] == "cut"
    assert over["responseStatus"]["code"] == 200
    assert "revoked" in over["responseStatus"]["message"]


async def test_a_client_that_leaves_is_recorded(host: World) -> None:
    _, writer = await asyncio.open_connection(*host.address)
    writer.write(b"GET /clusters/m1/hold HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n" % host.admin)
    await eventually(lambda: any(head.target == b"/hold" for head in host.recorder.heads))
    id_ = host.recorder.heads[-1].get(b"audit-id") or b""
    writer.transport.abort()
    (record,) = await by_id(host, id_)
    assert record["annotations"][event.ENDED] == "gone"
    assert (record["responseStatus"]["code"], record["responseStatus"]["reason"]) == (499, "ClientGone")


async def test_a_command_in_a_pod_is_recorded_with_its_words_and_bytes(host: World) -> None:
    reader, writer = await asyncio.open_connection(*host.address)
    writer.write(
        b"POST %b/exec?command=sh&command=-c&command=id&stdin=true HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n"
        b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n" % (POD, host.admin)
    )
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        await reader.read()
    writer.close()
    id_ = host.recorder.heads[-1].get(b"audit-id") or b""
    begun, over = await by_id(host, id_, 2)
    for record in (begun, over):
        assert record["requestURI"] == "/api/v1/namespaces/d/pods/p/exec?command=&command=&command=&stdin=true"
        assert record["requestObject"]["command"] == ["sh", "-c", "id"]
        assert (record["level"], record["responseStatus"]["code"]) == ("Request", 101)
    assert (begun["stage"], over["stage"]) == ("ResponseStarted", "ResponseComplete")
    assert int(over["annotations"][event.RECEIVED]) == 5
    assert int(over["annotations"][event.SENT]) >= 5


async def test_what_was_made_is_named(host: World) -> None:
    body = b'{"metadata":{"name":"web","annotations":{"a":"s3cret-value"}}}'
    json = [(b"content-type", b"application/json")]
    answer = await host.ask(b"/clusters/m1/api/v1/namespaces/a/pods", b"POST", headers=json, body=body)
    (record,) = await by_id(host, answer.header(b"audit-id") or b"")
    assert (record["verb"], record["objectRef"]["name"], record["level"]) == ("create", "web", "Metadata")
    assert record["annotations"][event.RECEIVED] == str(len(body))
    _, batches = await export(host)
    assert not any(b"s3cret-value" in each.body for each in batches)


async def test_a_policy_may_ask_for_bodies(host: World) -> None:
    await use(host, {"level": "RequestResponse", "resources": [{"resources": ["pods", "secrets"]}]})
    json = [(b"content-type", b"application/json")]
    for resource, level in ((b"pods", "RequestResponse"), (b"secrets", "Metadata")):
        body = b'{"metadata":{"name":"web","managedFields":[{}]},"data":{"x":"s3cret"}}'
        answer = await host.ask(b"/clusters/m1/api/v1/namespaces/a/" + resource, b"POST", headers=json, body=body)
        (record,) = await by_id(host, answer.header(b"audit-id") or b"")
        assert record["level"] == level
        if resource == b"pods":
            assert record["requestObject"] == {"metadata": {"name": "web"}, "data": {"x": "s3cret"}}
            assert record["responseObject"] == answer.json()
        else:
            assert {"requestObject", "responseObject"}.isdisjoint(record)
            assert record["objectRef"]["name"] == "web"


async def test_a_policy_may_leave_out_what_a_robot_does(host: World) -> None:
    await use(host, {"level": "None", "users": ["robot"]})
    robot, alice = await host.token("robot", "skerry:view"), await host.token("alice", "skerry:view")
    await host.ask(b"/clusters/m1/api/v1/pods", token=robot)
    await host.ask(b"/clusters/m1/api/v1/pods", token=alice)
    assert {each["user"]["username"] for each in await records(host, b"cluster=m1")} == {"alice"}


async def test_a_policy_that_cannot_be_read_leaves_the_one_before_it(
    host: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer version may write what this one does not know: what was required stays so, and the front door goes on."""
    await use(host, {"level": "None", "users": ["robot"]})
    before = host.proxy.audit.auditor.policy
    async with host.nats.bus("audit") as bus:
        store = Store(await bus.bucket(subjects.RESOURCES), AUDIT_POLICY)
        await store.modify("default", lambda document: {**document, "spec": {"rules": {"all": "Metadata"}}})
    await eventually(lambda: "the audit policy cannot be read" in caplog.text)
    assert host.proxy.audit.auditor.policy is before
    assert (await host.ask(b"/clusters/m1/api/v1/pods")).status == 200


async def test_what_must_be_recorded_is_not_executed_while_it_cannot_be(host: World) -> None:
    await use(host, {"level": "Metadata", "required": True, "resources": [{"resources": ["pods"]}]})
    answer = await host.ask(b"/clusters/m1/api/v1/pods")
    asked, over = await by_id(host, answer.header(b"audit-id") or b"", 2)
    assert (asked["stage"], over["stage"]) == ("RequestReceived", "ResponseComplete")
    assert "responseStatus" not in asked
    async with host.nats.open_bus("maker") as bus:
        await api(await bus.connection(5), f"STREAM.DELETE.{subjects.AUDIT}")
        before = len(host.recorder.heads)
        started = time.monotonic()
        refused = await host.ask(b"/clusters/m1/api/v1/pods")
        assert refused.status == 503
        assert "nothing was executed" in refused.json()["message"]
        assert time.monotonic() - started < 10
        assert len(host.recorder.heads) == before, "the member saw none of it"
        assert (await host.ask(b"/clusters/m1/api/v1/nodes")).status == 200, "what needs no record goes on"
        await eventually(lambda: (host.proxy.not_ready() or "").startswith("audit log"))
        row = next(each for each in STREAMS if each.name == subjects.AUDIT)
        await bus.stream(row.name, create=stream_config(row, 1))
    await eventually(lambda: not host.proxy.not_ready(), 10)
    assert (await host.ask(b"/clusters/m1/api/v1/pods")).status == 200


async def test_records_that_were_given_up_are_an_event(host: World) -> None:
    async with host.nats.open_bus("maker") as bus:
        await api(await bus.connection(5), f"STREAM.DELETE.{subjects.AUDIT}")
        for _ in range(300):
            host.proxy.audit.queue.add(b"x" * 99_999 + b"\n", "2026-11-28T10:00:00.000000Z")
        assert host.proxy.audit.queue.bytes < 20 * 1024 * 1024
        events = await bus.stream(subjects.EVENT_STREAM)
        async with asyncio.timeout(15):
            while (told := await events.last("event.system.*.auditgap")) is None:
                await asyncio.sleep(0.05)
    assert host.proxy.id in told.subject
