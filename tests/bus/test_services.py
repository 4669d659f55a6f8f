"""NATS micro services: what `nats micro` asks, and errors that are the same on both sides."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from skerry.bus import Bus, Connection, Message, services
from skerry.errors import (
    AlreadyExists,
    GatewayTimeout,
    InternalError,
    Invalid,
    RequestEntityTooLarge,
    StatusError,
    TooManyRequests,
    cause,
)
from skerry.heartbeats import FLOOD_BEATS
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


async def hello(message: Message) -> bytes:
    return b"hello " + message.data


async def refuse(message: Message) -> bytes:
    raise AlreadyExists("cluster m1\r\nexists", kind="clusters", name="m1", group="skerry.dev")


async def invalid(message: Message) -> bytes:
    raise Invalid("bad", causes=(cause("spec.ttl", "must be at most 24h"),))


async def crash(message: Message) -> bytes:
    raise RuntimeError("password=hunter2")


async def huge(message: Message) -> bytes:
    return bytes(3 * 1024 * 1024)


ENDPOINTS = {
    "registry.hello": hello,
    "registry.refuse": refuse,
    "registry.invalid": invalid,
    "registry.crash": crash,
    "registry.huge": huge,
}


@pytest.fixture
async def registry(nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with nats_host.open_bus("registry") as bus:
        bus.serve("registry", "0.1.0", ENDPOINTS, description="Cluster lifecycle")
        await bus.ready()
        yield bus


@pytest.fixture
async def proxy(nats_host: NatsHost, registry: Bus) -> AsyncIterator[Connection]:
    async with nats_host.connection(nats_host.anybody()) as connection:
        yield connection


@pytest.fixture
async def observer(nats_host: NatsHost, registry: Bus) -> AsyncIterator[Connection]:
    async with nats_host.connection(await nats_host.inspection()) as connection:
        yield connection


async def discovered(observer: Connection, subject: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await observer.request(subject, timeout_s=2)).data)
    return found


async def test_an_endpoint_answers(proxy: Connection) -> None:
    assert (await proxy.request("registry.hello", b"you", timeout_s=2)).data == b"hello you"


async def test_a_status_error_is_raised_again_at_the_caller(proxy: Connection) -> None:
    with pytest.raises(AlreadyExists) as caught:
        await proxy.request("registry.refuse", timeout_s=2)
    assert caught.value.message == "cluster m1\r\nexists"
    assert (caught.value.details.kind, caught.value.details.name) == ("clusters", "m1")


async def test_causes_travel(proxy: Connection) -> None:
    with pytest.raises(Invalid) as caught:
        await proxy.request("registry.invalid", timeout_s=2)
    assert caught.value.details.causes[0].field == "spec.ttl"


async def test_an_error_carries_the_headers_of_micro_services(proxy: Connection) -> None:
    answer = await proxy.ask("registry.refuse", timeout_s=2)
    assert answer.headers == {"Nats-Service-Error": "cluster m1 exists", "Nats-Service-Error-Code": "409"}
    assert json.loads(answer.data)["kind"] == "Status"


async def test_a_bug_is_an_internal_error_without_its_text(proxy: Connection) -> None:
    with pytest.raises(InternalError) as caught:
        await proxy.request("registry.crash", timeout_s=2)
    assert "hunter2" not in caught.value.message


async def test_an_answer_too_large_is_an_error_and_the_service_lives(proxy: Connection) -> None:
    with pytest.raises(RequestEntityTooLarge, match="too large for one message"):
        await proxy.request("registry.huge", timeout_s=2)
    await proxy.request("registry.hello", timeout_s=2)


async def test_an_error_too_large_for_a_message_is_told_in_short(proxy: Connection, nats_host: NatsHost) -> None:
    """Sixty thousand wrong fields are more than one message holds; the caller waited for nothing and was told 504."""

    async def wrong(message: Message) -> bytes:
        causes = tuple(cause(f"spec.x[{number}]", "must be something else") for number in range(60_000))
        raise Invalid("it is all wrong: " + ", ".join(each.field for each in causes), name="n", causes=causes)

    async with nats_host.open_bus("many") as bus:
        bus.serve("many", "0", {"many.wrong": wrong})
        await bus.ready()
        with pytest.raises(Invalid, match=r"it is all wrong: spec\.x\[0\]") as caught:
            await proxy.request("many.wrong", timeout_s=5)
    assert caught.value.details.name == "n"
    assert [each.field for each in caught.value.details.causes][:2] == ["spec.x[0]", "spec.x[1]"]


async def test_a_foreign_services_error_is_understood(proxy: Connection, nats_host: NatsHost) -> None:
    async def foreign(message: Message) -> None:
        headers = {"Nats-Service-Error": "no such thing", "Nats-Service-Error-Code": "404"}
        await message.respond(b"plain text", headers)

    async with nats_host.connection(nats_host.anybody()) as tenancy:
        await tenancy.subscribe("tenancy.foreign", foreign)
        with pytest.raises(StatusError, match="no such thing") as caught:
            await proxy.request("tenancy.foreign", timeout_s=2)
        assert caught.value.code == 404


async def test_each_of_several_services_of_one_user_is_told(nats_host: NatsHost, observer: Connection) -> None:
    """`nats micro ls` showed nothing of a host: its services share a user, which could answer a question once."""
    names = {f"one-of-{number}" for number in range(10)}
    async with nats_host.open_bus("controller-manager") as shared:
        for name in names:
            shared.serve(name, "0.1.0", {})
        await shared.ready()
        answers: set[str] = set()
        inbox = observer.inbox()
        await observer.subscribe(inbox, lambda message: answers.add(json.loads(message.data)["name"]))
        observer.publish_now("$SRV.PING", b"", reply=inbox)
        await eventually(lambda: names <= answers)


@pytest.mark.parametrize("tail", ["", ".registry"])
async def test_ping_tells_who_is_there(observer: Connection, tail: str) -> None:
    found = await discovered(observer, f"$SRV.PING{tail}")
    assert (found["type"], found["name"], found["version"]) == ("io.nats.micro.v1.ping_response", "registry", "0.1.0")


async def test_one_instance_is_asked_by_its_id(observer: Connection) -> None:
    found = await discovered(observer, "$SRV.PING")
    assert (await discovered(observer, f"$SRV.INFO.registry.{found['id']}"))["id"] == found["id"]


async def test_info_lists_the_endpoints(observer: Connection) -> None:
    found = await discovered(observer, "$SRV.INFO")
    assert found["type"] == "io.nats.micro.v1.info_response"
    assert found["description"] == "Cluster lifecycle"
    first = found["endpoints"][0]
    assert first == {"name": "registry-hello", "subject": "registry.hello", "queue_group": "registry"}


async def test_stats_count_requests_and_errors(observer: Connection, proxy: Connection) -> None:
    await proxy.request("registry.hello", timeout_s=2)
    await proxy.ask("registry.refuse", timeout_s=2)
    found = await discovered(observer, "$SRV.STATS")
    assert found["started"].endswith("Z")
    stats = {e["subject"]: e for e in found["endpoints"]}
    assert stats["registry.hello"]["num_requests"] == 1
    assert stats["registry.refuse"]["num_errors"] == 1
    assert stats["registry.refuse"]["last_error"] == "cluster m1 exists"
    assert stats["registry.hello"]["average_processing_time"] > 0


async def test_replicas_share_the_requests(nats_host: NatsHost, registry: Bus, proxy: Connection) -> None:
    served = [0, 0]

    def counting(index: int) -> Any:
        async def handle(message: Message) -> bytes:
            served[index] += 1
            return b""

        return handle

    async with nats_host.open_bus("registry") as second:
        registry.serve("shared", "0.1.0", {"registry.shared": counting(0)})
        second.serve("shared", "0.1.0", {"registry.shared": counting(1)})
        await registry.ready()
        await second.ready()
        await asyncio.gather(*(proxy.request("registry.shared", timeout_s=2) for _ in range(100)))
    assert sum(served) == 100
    assert min(served) > 10


async def test_a_service_is_back_after_a_restart(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as registry, fresh_nats_host.open_bus("proxy") as proxy:
        registry.serve("registry", "0.1.0", ENDPOINTS)
        await registry.ready()
        fresh_nats_host.restart()
        await eventually(lambda: registry.generation == 2 and registry.connected and proxy.connected)
        await registry.ready()
        assert (await proxy.request("registry.hello", b"again")).data == b"hello again"


async def test_what_is_not_admitted_has_no_task_and_is_answered_until_it_is_a_flood(
    nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "REFUSALS", (0.0, 3.0))
    read: list[bytes] = []

    async def answer(message: Message) -> bytes:
        read.append(message.data)
        return b"read"

    def admit(message: Message, pending: int) -> None:
        if message.data == b"bug":
            raise ValueError("a bug in a gate lets nothing through")
        if message.data != b"good":
            raise TooManyRequests("too often")

    async with nats_host.bus("registry") as bus, nats_host.bus("tenancy") as asking:
        bus.serve("registry", "0", {"registry.desired.tenancy": answer}, admits={"registry.desired.tenancy": admit})
        await bus.ready()
        await asking.ready()
        connection = await asking.connection(timeout_s=10)
        for _ in range(3):
            with pytest.raises(TooManyRequests, match="too often"):
                await connection.request("registry.desired.tenancy", b"bad", timeout_s=10)
        for silent in (b"bad", b"bug"):
            with pytest.raises(GatewayTimeout):
                await connection.request("registry.desired.tenancy", silent, timeout_s=0.3)
        assert (await connection.request("registry.desired.tenancy", b"good", timeout_s=10)).data == b"read"
    assert read == [b"good"]


async def test_who_is_not_admitted_again_and_again_is_not_read_any_more(nats_host: NatsHost) -> None:
    asked: list[bytes] = []

    async def answer(message: Message) -> bytes:
        return b"read"

    def admit(message: Message, pending: int) -> None:
        asked.append(message.data)
        if message.data != b"good":
            raise TooManyRequests("too often")

    async with nats_host.bus("registry") as bus, nats_host.bus("tenancy") as asking:
        floods, other = "registry.desired.tenancy", "registry.desired.tenancy.keys"
        bus.serve("registry", "0", {floods: answer, other: answer}, admits={floods: admit, other: admit})
        await bus.ready()
        await asking.ready()
        connection = await asking.connection(timeout_s=10)
        for _ in range(int(services.REFUSALS[1]) + FLOOD_BEATS + 500):
            await connection.publish(floods, b"bad")
        assert (await connection.request(other, b"good", timeout_s=10)).data == b"read"
        asked.clear()
        with pytest.raises(GatewayTimeout):
            await connection.request(floods, b"good", timeout_s=0.3)
        assert asked == []
