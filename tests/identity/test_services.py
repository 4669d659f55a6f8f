"""The service table, and that the server holds every service to it: each tries all that belongs to the others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from skerry.api.kinds import KINDS
from skerry.bus import BucketConfig, Connection, NoResponders, StoreConfig, StreamConfig
from skerry.errors import BadRequest, Forbidden, GatewayTimeout
from skerry.identity import inspection, nkey, permissions, services
from skerry.identity.nkey import KeyType
from skerry.identity.services import BUCKETS, OBJECT_BUCKETS, SERVICES, STREAMS, ServiceRights
from tests.fixtures.nats import NatsHost

NAMES = [service.name for service in SERVICES]
ENDPOINTS = [(each, subject) for each in SERVICES for subject in services.answered_by(each)]
RIGHTS = Path(__file__).with_name("rights.txt")


def exact(subject: str) -> str:
    """A subject that a pattern means."""
    return subject.replace(">", "x").replace("*", "m1")


def rights() -> Iterator[str]:
    """What each user may do, a line each: services, then agents, joins and renewals, and people's tools."""
    key = nkey.create(KeyType.USER).public
    users = {name: permissions.service(name, key) for name in NAMES} | {
        "(agent)": permissions.member("m1", key),
        "(renewal)": permissions.renewal("m1", key),
        "(pending)": permissions.pending("m1", key),
        "(join)": permissions.single("join.j1", key),
        "(nats-tool)": inspection.permissions(key),
        "(backup)": permissions.archivist(key, restoring=False),
        "(restore)": permissions.archivist(key, restoring=True),
    }
    for name, granted in users.items():
        for way, subjects in (("publish", granted.pub.allow), ("subscribe", granted.sub.allow)):
            yield from (f"{name} {way} {subject.replace(key, 'KEY')}" for subject in subjects)
        if granted.resp is not None:
            yield f"{name} answers {granted.resp.max} times"


def test_the_rights_are_those_that_were_reviewed() -> None:
    """A change of the table shows here line by line: read each new one as an attacker would, then write the file anew."""
    assert list(rights()) == RIGHTS.read_text().splitlines()


def test_a_user_hears_answers_to_nobody_else() -> None:
    assert {line.split()[2] for line in rights() if "_INBOX" in line} == {"_INBOX.KEY.>"}


def test_a_workload_may_do_what_its_services_may() -> None:
    key = nkey.create(KeyType.USER).public
    for workload in {service.workload for service in SERVICES}:
        own = [permissions.service(service.name, key) for service in SERVICES if service.workload == workload]
        both = permissions.service(workload, key)
        assert set(both.pub.allow) == {subject for each in own for subject in each.pub.allow}
        assert set(both.sub.allow) == {subject for each in own for subject in each.sub.allow}


def test_who_is_no_service_gets_no_rights_and_is_told_which_there_are() -> None:
    for name in ("nobody", ""):
        with pytest.raises(BadRequest, match=r"controller-manager, .*proxy, registry, .*tower"):
            permissions.service(name, nkey.create(KeyType.USER).public)


def test_no_wildcard_reaches_over_a_service() -> None:
    wide = [line for line in rights() if line.split()[2].partition(".")[0] in NAMES and ("*" in line or ">" in line)]
    assert wide == []


def test_every_call_is_answered_by_one_service() -> None:
    answered = [subject for _, subject in ENDPOINTS]
    assert len(answered) == len(set(answered))
    for service in SERVICES:
        assert set(services.asked_by(service)) <= set(answered)


def test_uploads_are_read_by_who_answers_streamed_bodies_and_by_nobody_else() -> None:
    (uploads,) = (each for each in OBJECT_BUCKETS if each.name == "uploads")
    answering = {kind.answers(each) for kind in KINDS for each in kind.actions if each.streams_request}
    assert (set(uploads.writers), set(uploads.readers)) == ({"proxy"}, answering)
    assert (uploads.archived, uploads.ttl_s) == ("", 3600)


def test_one_service_makes_all_streams_and_it_could_read_everything_anyway() -> None:
    """Who makes a stream says what flows into it: also what lies in the buckets of others."""
    making = {line.split()[0] for line in rights() if " publish $JS.API.STREAM.CREATE." in line}
    assert making - {"(restore)"} == {services.MAKER}
    (secrets,) = (bucket for bucket in BUCKETS if bucket.name == "secrets")
    assert services.MAKER in secrets.writers


def test_the_credential_of_every_workload_fits_the_line_that_carries_it() -> None:
    key = nkey.create(KeyType.USER).public
    for workload in {service.workload for service in SERVICES}:
        assert len(msgspec.json.encode(permissions.service(workload, key))) * 4 / 3 < 24 * 1024


@pytest.fixture
async def connection(nats_host: NatsHost, service: ServiceRights) -> AsyncIterator[Connection]:
    """With the service's own credential."""
    async with nats_host.open_bus("maker") as bus:
        for bucket in BUCKETS:
            await bus.bucket(bucket.name, create=BucketConfig())
        for store in OBJECT_BUCKETS:
            await bus.objects(store.name, create=StoreConfig())
        for stream in STREAMS:
            await bus.stream(stream.name, create=StreamConfig(subjects=stream.subjects))
    async with nats_host.connection(nats_host.service(service.name)) as connection:
        yield connection


async def may_ask(connection: Connection, subject: str, payload: bytes = b"{}") -> bool:
    """Whether the server passes a request on, whoever answers it."""
    try:
        await connection.request(subject, payload, timeout_s=2)
    except Forbidden:
        return False
    except (NoResponders, GatewayTimeout):
        return True
    return True


async def may_hear(connection: Connection, subject: str) -> bool:
    """Whether the server takes a subscription."""
    before = connection.denied
    connection.subscribe_now(subject, lambda _: None)
    await connection.flush()
    return connection.denied == before


EACH_SERVICE = [pytest.mark.integration, pytest.mark.parametrize("service", SERVICES, ids=NAMES)]


class TestEndpoints:
    pytestmark = EACH_SERVICE

    async def test_are_asked_by_who_is_listed(self, connection: Connection, service: ServiceRights) -> None:
        asked = {subject for _, subject in ENDPOINTS if await may_ask(connection, exact(subject))}
        assert asked == {subject for _, subject in ENDPOINTS} & set(services.asked_by(service))

    async def test_are_heard_by_their_service_alone(self, connection: Connection, service: ServiceRights) -> None:
        heard = {subject for _, subject in ENDPOINTS if await may_hear(connection, exact(subject))}
        assert heard == {subject for owner, subject in ENDPOINTS if owner is service}


class TestBuckets:
    pytestmark = EACH_SERVICE

    async def test_are_read_by_who_is_listed(self, connection: Connection, service: ServiceRights) -> None:
        last = b'{"last_by_subj": "$KV.x.y"}'
        listed = {each.name for each in BUCKETS if service.name in (*each.writers, *each.readers)}
        names = {each.name for each in BUCKETS}
        for calls, may in (
            (("$JS.API.STREAM.MSG.GET.KV_{}", "$JS.API.CONSUMER.CREATE.KV_{}.c.f"), listed),
            (("$JS.API.DIRECT.GET.KV_{}.x",), set()),
        ):
            for call in calls:
                assert {name for name in names if await may_ask(connection, call.format(name), last)} == may, call

    async def test_are_never_emptied_or_changed(self, connection: Connection, service: ServiceRights) -> None:
        verbs = ("DELETE", "PURGE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        calls = [f"$JS.API.STREAM.{verb}.KV_{bucket.name}" for verb in verbs for bucket in BUCKETS]
        longer = ["$JS.API.STREAM.UPDATE.KV_resources"] if service.name == services.MAKER else []
        assert [call for call in calls if await may_ask(connection, call)] == longer

    async def test_are_made_by_one_service(self, connection: Connection, service: ServiceRights) -> None:
        """With what flows into them, and where that is published again."""
        more = json.dumps(
            {"sources": [{"name": "KV_secrets"}], "republish": {"src": ">", "dest": "down.m1.>"}}
        ).encode()
        made = [each for each in BUCKETS if await may_ask(connection, f"$JS.API.STREAM.CREATE.KV_{each.name}", more)]
        assert made == (list(BUCKETS) if service.name == services.MAKER else [])

    async def test_a_key_that_is_nobodys_is_written_only_where_a_bucket_is_ones_own(
        self, connection: Connection, service: ServiceRights
    ) -> None:
        own = {each.name for each in BUCKETS if service.name in each.writers} - {"resources", "leaders"}
        assert {each.name for each in BUCKETS if await may_ask(connection, f"$KV.{each.name}.nobody", b"")} == own


@pytest.mark.integration
@pytest.mark.parametrize("service", SERVICES, ids=NAMES)
@pytest.mark.parametrize("stream", STREAMS, ids=[stream.name for stream in STREAMS])
class TestStreams:
    async def test_are_written_read_and_consumed_by_who_is_listed(
        self, connection: Connection, service: ServiceRights, stream: services.StreamRights
    ) -> None:
        published = {subject for subjects in stream.publishers.values() for subject in subjects}
        allowed = {each for each in published if await may_ask(connection, exact(each), b"")}
        assert allowed == set(stream.publishers.get(service.name, ()))
        for verb in ("MSG.GET", "INFO"):
            asked = await may_ask(connection, f"$JS.API.STREAM.{verb}.{stream.name}")
            assert asked == (service.name in (*stream.readers, *([services.MAKER] if verb == "INFO" else ())))
        for verb in ("CREATE", "DELETE", "MSG.NEXT"):
            asked = await may_ask(connection, f"$JS.API.CONSUMER.{verb}.{stream.name}.c")
            assert asked == (service.name in stream.consumers)

    async def test_are_never_emptied_or_changed(
        self, connection: Connection, service: ServiceRights, stream: services.StreamRights
    ) -> None:
        verbs = ("DELETE", "PURGE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        calls = [f"$JS.API.STREAM.{verb}.{stream.name}" for verb in verbs]
        assert [call for call in calls if await may_ask(connection, call)] == []


@pytest.mark.integration
@pytest.mark.parametrize("service", SERVICES, ids=NAMES)
@pytest.mark.parametrize("store", OBJECT_BUCKETS, ids=[store.name for store in OBJECT_BUCKETS])
class TestObjectStores:
    async def test_are_read_by_who_is_listed(
        self, connection: Connection, service: ServiceRights, store: services.ObjectBucket
    ) -> None:
        listed = service.name in (*store.writers, *store.readers)
        last = json.dumps({"last_by_subj": f"$O.{store.name}.M.x"}).encode()
        assert await may_ask(connection, f"$JS.API.STREAM.MSG.GET.OBJ_{store.name}", last) == listed
        assert await may_ask(connection, f"$JS.API.DIRECT.GET.OBJ_{store.name}", last) == listed
        assert not await may_ask(connection, f"$JS.API.CONSUMER.CREATE.OBJ_{store.name}.c.f")

    async def test_are_written_by_their_writers_alone(
        self, connection: Connection, service: ServiceRights, store: services.ObjectBucket
    ) -> None:
        writes = service.name in store.writers
        assert await may_ask(connection, f"$O.{store.name}.C.x", b"x") == writes
        assert await may_ask(connection, f"$O.{store.name}.M.x", b"x") == writes
        nothing = json.dumps({"filter": f"$O.{store.name}.C.nobodys"}).encode()
        assert await may_ask(connection, f"$JS.API.STREAM.PURGE.OBJ_{store.name}", nothing) == writes
        assert await may_ask(connection, f"$JS.API.STREAM.CREATE.OBJ_{store.name}") == (service.name == services.MAKER)
        for verb in ("DELETE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE"):
            assert not await may_ask(connection, f"$JS.API.STREAM.{verb}.OBJ_{store.name}")


@pytest.mark.integration
@pytest.mark.parametrize("service", SERVICES, ids=NAMES)
async def test_a_lease_is_written_by_its_own_service(connection: Connection, service: ServiceRights) -> None:
    leaders = next(bucket for bucket in BUCKETS if bucket.name == "leaders")
    for other in NAMES:
        may = other == service.name and service.name in leaders.writers
        assert await may_ask(connection, f"$KV.leaders.{other}", b"") == may


@pytest.mark.integration
@pytest.mark.parametrize("service", SERVICES, ids=NAMES)
@pytest.mark.parametrize(
    "subject", ["up.m1.svc.other", "up.m1.ev.x", "up.m1.s.p.a.1", "up.>", ">", "down.m1.a.x", "$SRV.>"]
)
async def test_a_members_messages_are_heard_by_who_needs_them(
    connection: Connection, service: ServiceRights, subject: str
) -> None:
    frames = subject.startswith("up.m1.s.") and service.name == "proxy"
    events = subject.startswith("up.m1.ev.") and service.name == "registry"
    assert await may_hear(connection, subject) == (frames or events)
