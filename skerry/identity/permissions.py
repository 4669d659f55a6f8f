"""What each user may do on the bus. For services of the account HOST it follows from the service table (`services`).

Only proxies may publish where agents take requests; a bucket's keys are written by the service that owns their kind;
`secrets` is read by the registry alone; an endpoint is asked by who is listed as asking it and heard by who answers it.
JetStream is asked through its own subjects, so reading a bucket needs the right to make consumers on it.

The limit: the *reply subject of a publish is never checked* by nats-server, so a service that turned hostile could
have an answer of JetStream, or what it stored itself, land on a subject that it may not publish to. That is why
writes are signed (`requests`, docs/adr/0024), and what else services of one host trust each other with; members do
not share an account with anybody, and that is what isolates them.
"""

from __future__ import annotations

from skerry import subjects
from skerry.api.kinds import owned_by
from skerry.errors import BadRequest
from skerry.identity import services
from skerry.identity.creds import inbox
from skerry.identity.jwt import Permissions, Replies, Subjects
from skerry.identity.services import (
    ARCHIVED_OBJECTS,
    BUCKETS,
    OBJECT_BUCKETS,
    SERVICES,
    STREAMS,
    BucketRights,
    ServiceRights,
    StreamRights,
)

_MICRO = ("PING", "INFO", "STATS")
_ARCHIVED = (*services.CONTENTS, *services.REVISIONS)


def service(name: str, public: str) -> Permissions:
    """Permissions of the service or workload `name` for the user key `public`. BadRequest if there is none."""
    rows = services.services_of(name)
    if not rows:
        known = sorted({each.name for each in SERVICES} | {each.workload for each in SERVICES})
        raise BadRequest(f"there is no service {name!r}: {', '.join(known)}")
    publish = {subject for each in rows for subject in _publish(each)}
    subscribe = {subject for each in rows for subject in _subscribe(each)}
    return Permissions(
        pub=Subjects(allow=tuple(sorted(publish))),
        sub=Subjects(allow=tuple(sorted(subscribe | {f"{inbox(public)}.>"}))),
        resp=Replies(),
    )


def archivist(public: str, *, restoring: bool) -> Permissions:
    """For backup: reads every bucket. For restore, which runs while all services are down: makes them anew."""
    publish = {subject for bucket in _ARCHIVED for subject in _read(bucket)}
    publish |= {subject for store in ARCHIVED_OBJECTS for subject in _read_objects(store.name)}
    if restoring:
        for store in ARCHIVED_OBJECTS:
            publish |= _make(f"OBJ_{store.name}") | _write_objects(store.name)
            publish.add(f"$JS.API.STREAM.DELETE.OBJ_{store.name}")
        for bucket in _ARCHIVED:
            publish |= {f"$KV.{bucket}.>", f"$JS.API.STREAM.CREATE.KV_{bucket}", f"$JS.API.STREAM.DELETE.KV_{bucket}"}
    return Permissions(pub=Subjects(allow=tuple(sorted(publish))), sub=Subjects(allow=(f"{inbox(public)}.>",)))


def member(name: str, public: str) -> Permissions:
    """An agent, in the account of its own member: that member's slice and its own inbox."""
    return Permissions(
        pub=Subjects(allow=(subjects.up(name),)), sub=Subjects(allow=(subjects.down(name), f"{inbox(public)}.>"))
    )


def single(subject: str, public: str) -> Permissions:
    """One request subject and the answers to it: a join."""
    return Permissions(pub=Subjects(allow=(subject,)), sub=Subjects(allow=(f"{inbox(public)}.>",)))


def renewal(name: str, public: str) -> Permissions:
    """An agent whose user JWT ran out, in the account of its own member: it asks for another one. The second subject is
    that of agents which know no other."""
    endpoints = (subjects.renewal(name), subjects.renew(name))
    return Permissions(pub=Subjects(allow=endpoints), sub=Subjects(allow=(f"{inbox(public)}.>",)))


def pending(name: str, public: str) -> Permissions:
    """An agent whose member waits for approval: it asks whether that is over, and hears how it ended."""
    heard = (subjects.approved(name), subjects.farewell(name), f"{inbox(public)}.>")
    return Permissions(pub=Subjects(allow=(subjects.approval(name),)), sub=Subjects(allow=heard))


def _subscribe(row: ServiceRights) -> set[str]:
    """What it answers and hears, and the questions of `nats micro` about itself."""
    tails = ("", f".{row.name}", f".{row.name}.*")
    micro = {f"$SRV.{verb}{tail}" for verb in _MICRO for tail in tails}
    return {*services.answered_by(row), *row.hears} | micro


def _publish(row: ServiceRights) -> set[str]:
    granted = {*services.asked_by(row), *row.tells}
    for bucket in BUCKETS:
        if row.name in bucket.writers:
            granted |= _read(bucket.name) | _write(bucket, row)
        elif row.name in bucket.readers:
            granted |= _read(bucket.name)
        if row.name == services.MAKER:
            granted |= _make(f"KV_{bucket.name}")
            if bucket.history > 1:  # one that an older version made is changed
                granted.add(f"$JS.API.STREAM.UPDATE.KV_{bucket.name}")
    for store in OBJECT_BUCKETS:
        if row.name == services.MAKER:
            granted |= _make(f"OBJ_{store.name}")
        if row.name in store.writers:
            granted |= _read_objects(store.name) | _write_objects(store.name)
        elif row.name in store.readers:
            granted |= _read_objects(store.name)
    for stream in STREAMS:
        granted |= _stream(stream, row.name)
    if any(kind.events for kind in owned_by(row.name)):
        granted |= _consume(f"KV_{subjects.RESOURCES}", subjects.derivation(row.name))
    return granted


def _stream(stream: StreamRights, service: str) -> set[str]:
    """Of one stream."""
    granted = set(stream.publishers.get(service, ()))
    if service in stream.readers:
        granted |= {
            f"$JS.API.STREAM.INFO.{stream.name}",
            f"$JS.API.STREAM.MSG.GET.{stream.name}",
            f"$JS.API.DIRECT.GET.{stream.name}",
        }
    if service in stream.consumers:
        granted |= _consume(stream.name, "*") | {f"$JS.API.CONSUMER.DELETE.{stream.name}.*"}
    return granted | (_make(stream.name) if service == services.MAKER else set())


def _consume(stream: str, consumer: str) -> set[str]:
    """Read by a durable consumer: make it, see where it is, be given messages and acknowledge them."""
    return {
        *(f"$JS.API.CONSUMER.{verb}.{stream}.{consumer}" for verb in ("CREATE", "INFO", "MSG.NEXT", "RESET")),
        f"$JS.ACK.{stream}.{consumer}.>",
    }


def _read(bucket: str) -> set[str]:
    stream = f"KV_{bucket}"
    return {
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    }


def _write(bucket: BucketRights, row: ServiceRights) -> set[str]:
    """All keys; of `resources` those of the service's own kinds, of `leaders` those that begin with its name."""
    if bucket.name == subjects.RESOURCES:
        keys = (subjects.key(kind.group, kind.kind, "", "x") for kind in owned_by(row.name))
        return {f"$KV.{bucket.name}.{key.rsplit('.', 2)[0]}.>" for key in keys}
    if bucket.name == subjects.LEADERS:
        return {f"$KV.{bucket.name}.{row.name}"}
    return {f"$KV.{bucket.name}.>"}


def _read_objects(store: str) -> set[str]:
    """Without a consumer: nothing is made on the server for who reads."""
    stream = f"OBJ_{store}"
    return {f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}"}


def _write_objects(store: str) -> set[str]:
    """Names and chunks lie in one stream, and chunks are taken away by purging their subject."""
    return {f"$O.{store}.>", f"$JS.API.STREAM.PURGE.OBJ_{store}"}


def _make(stream: str) -> set[str]:
    """And see whether it is there."""
    return {f"$JS.API.STREAM.CREATE.{stream}", f"$JS.API.STREAM.INFO.{stream}"}
