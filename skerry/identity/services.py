"""The service table: who owns, answers, calls, hears and tells what on the bus, and which buckets each service uses.

It is data, and the only place where that is said: rights on the bus are computed from it (`permissions`), so are the
buckets of a backup. A new service is a row here. Nobody gets a wildcard over another service: what is not in a row is
refused by the server. Endpoints are full subjects; those for writes of kinds follow from the kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from skerry import subjects
from skerry.api.kinds import KINDS, Kind, owned_by

CONTROLLER_MANAGER, TOWER = "controller-manager", "tower"


@dataclass(frozen=True, kw_only=True)
class ServiceRights:
    """One service of the account HOST."""

    name: str
    workload: str
    """The process that it runs in on an ordinary host, whose one credential is the union of its services'."""
    endpoints: tuple[str, ...] = ()
    """Requests that one of its replicas answers, besides writes and actions of kinds."""
    calls: tuple[str, ...] = ()
    """Endpoints of other services that it asks."""
    hears: tuple[str, ...] = ()
    """Subjects that every replica hears."""
    tells: tuple[str, ...] = ()
    """Subjects that it publishes without asking for an answer."""
    forwards_writes: bool = False
    """Hands writes of clients to the services that own the kinds."""


@dataclass(frozen=True, kw_only=True)
class BucketRights:
    """One key-value bucket."""

    name: str
    writers: tuple[str, ...]
    """Services that write it; of `resources` each only the keys of its own kinds."""
    readers: tuple[str, ...] = ()
    """Services that read it besides."""
    archived: Literal["contents", "revision", ""]
    """What a backup has of it. The revision alone: a restored bucket then begins above it, and is empty."""
    history: int = 1
    """So many writes of a key are kept: for who has to see each of them."""
    ttl_s: int = 0
    """Entries go so long after they were written."""
    republish: tuple[str, str] | None = None
    """As of a BucketConfig."""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class ObjectBucket:
    """One object store: bytes of any length, whose names say nothing about who may read or write them."""

    name: str
    writers: tuple[str, ...]
    """Services that write it and take away what is in it."""
    readers: tuple[str, ...] = ()
    """Services that read it besides."""
    archived: Literal["contents", ""] = ""
    mark: str = ""
    """Of one that is archived: the key that the metadata of an object has if a backup takes it along. Others can be got again."""
    ttl_s: int = 0
    """Objects go so long after they were written."""
    max_bytes: int = -1
    """Of all objects together; -1: what the bus has room for."""


@dataclass(frozen=True, kw_only=True)
class StreamRights:
    """One stream of messages that are kept for a time. Nobody may change, purge or delete one, or delete a message of it."""

    name: str
    subjects: tuple[str, ...]
    publishers: Mapping[str, tuple[str, ...]]
    """What each service that publishes into it may publish there."""
    readers: tuple[str, ...] = ()
    """Services that read it by sequence and time."""
    consumers: tuple[str, ...] = ()
    """Services that read it by durable consumers, which they make and take away."""
    max_age_s: int
    max_bytes: int
    """Beyond it the oldest messages go."""
    duplicates_s: int = 120
    """A message whose id came within so long is not stored again."""
    deny_delete: bool = False
    deny_purge: bool = False
    archived: Literal[""] = ""
    """No backup has it."""
    description: str


MAKER = "registry"
"""The service that makes all buckets, object stores and streams, at its start. Who makes a stream says what flows into it and where that is
published again: what another bucket holds, what members say, what agents hear. So it is the one that could read everything anyway;
the others wait for it."""
DESIRED_OWNERS = ("tenancy",)
"""Services besides the registry that want things on members (skerry/desired/owners.py says what each may want)."""


def _desired(owner: str) -> tuple[str, ...]:
    return subjects.desired_owner(owner), subjects.desired_keys(owner), subjects.desired_complete(owner)


SERVICES = (
    ServiceRights(
        name="registry",
        workload=CONTROLLER_MANAGER,
        endpoints=(
            subjects.JOINS,
            subjects.RENEWALS,
            subjects.REKEYS,
            subjects.RETIREMENTS,
            subjects.OLD_RENEWALS,
            subjects.APPROVALS,
            subjects.CERTIFY,
            subjects.FLEET,
            subjects.CONNECTIONS,
            subjects.DESIRED_SYNCS,
            subjects.DESIRED_REPORTS,
            subjects.MEMBERS_TELL,
            *(subject for owner in DESIRED_OWNERS for subject in _desired(owner)),
        ),
        hears=(
            subjects.HEARTBEATS,
            subjects.CONNECTS,
            subjects.DISCONNECTS,
            subjects.QUARANTINES,
            subjects.CUTS,
            subjects.DESIRED_CHANGES,
        ),
        tells=(
            subjects.PROBES,
            subjects.DESIRED_ORDERS,
            subjects.FAREWELLS,
            subjects.AGENT_FAREWELLS,
            subjects.REKEY_ORDERS,
            subjects.APPROVED,
            subjects.QUARANTINES,
        ),
    ),
    ServiceRights(
        name="tenancy",
        workload=CONTROLLER_MANAGER,
        endpoints=(subjects.BINDING_STATES, subjects.DELEGATIONS, subjects.TOKEN_REVIEWS),
        calls=_desired("tenancy"),
    ),
    ServiceRights(name="audit", workload=CONTROLLER_MANAGER),
    ServiceRights(name="appstore", workload=CONTROLLER_MANAGER, calls=(subjects.DELEGATIONS,)),
    ServiceRights(name="events", workload=CONTROLLER_MANAGER),
    ServiceRights(
        name="proxy",
        workload=TOWER,
        calls=(subjects.BINDING_STATES, subjects.CERTIFY, subjects.CONNECTIONS, subjects.TOKEN_REVIEWS),
        hears=(subjects.HEARTBEATS, subjects.PROBES, subjects.ALL_EVENTS, "up.*.s.>"),
        tells=("down.*.open.*", "down.*.a.>", subjects.QUARANTINES, subjects.CUTS),
        forwards_writes=True,
    ),
)
_OWNERS = tuple(sorted({kind.owner for kind in KINDS}))
BUCKETS = (
    # so many writes of an object may come while nobody derives events from them (docs/adr/0039)
    BucketRights(name=subjects.RESOURCES, writers=_OWNERS, readers=("proxy",), archived="contents", history=8),
    # forgotten so long after they happened last, as by the API server's default
    BucketRights(name=subjects.EVENTS, writers=_OWNERS, readers=("proxy",), archived="revision", ttl_s=3600),
    BucketRights(name=subjects.LEADERS, writers=_OWNERS, archived=""),
    BucketRights(name="secrets", writers=("registry",), archived="contents"),
    BucketRights(name="registry", writers=("registry",), archived=""),
    BucketRights(
        name=subjects.DESIRED,
        writers=("registry",),
        archived="",
        republish=(f"$KV.{subjects.DESIRED}.*.>", "down.{{wildcard(1)}}.desired.>"),
        description="desired state of members",
    ),
    BucketRights(name=subjects.DESIRED_STATUS, writers=("registry",), readers=DESIRED_OWNERS, archived=""),
    # claims are made again of what statuses say: what is restored is one workspace's by those
    BucketRights(name=subjects.TENANCY, writers=("tenancy",), archived=""),
    BucketRights(name=subjects.APP_STORE, writers=("appstore",), archived="contents"),
    BucketRights(name=subjects.SINKS, writers=("events",), archived="contents"),
    BucketRights(name=subjects.DEAD_LETTERS, writers=("events",), archived="revision", ttl_s=14 * 86400),
)
_TAKE_STREAMS = tuple(
    sorted({kind.answers(action) for kind in KINDS for action in kind.actions if action.streams_request})
)
OBJECT_BUCKETS = (
    ObjectBucket(
        name=subjects.UPLOADS,
        writers=("proxy",),
        readers=_TAKE_STREAMS,
        ttl_s=3600,
        max_bytes=1024 * 1024 * 1024,
    ),
    ObjectBucket(name=subjects.PACKAGES, writers=("appstore",), archived="contents", mark="uploaded"),
)
_HAPPENINGS = (subjects.SYSTEM_EVENTS, subjects.MEMBER_EVENTS)
STREAMS = (
    StreamRights(
        name=subjects.EVENT_STREAM,
        subjects=(subjects.ALL_EVENTS,),
        publishers={
            name: (*sorted({subjects.events_of(kind.kind) for kind in owned_by(name) if kind.events}), *_HAPPENINGS)
            for name in (*_OWNERS, "proxy")
        },
        readers=(*_OWNERS, "proxy"),
        consumers=("events",),
        max_age_s=7 * 86400,
        max_bytes=2 * 1024 * 1024 * 1024,
        description="what happened, as CloudEvents",
    ),
    StreamRights(
        name=subjects.RECORDING_STREAM,
        subjects=(subjects.ALL_RECORDINGS,),
        publishers={"proxy": (subjects.ALL_RECORDINGS,)},
        readers=("proxy",),
        max_age_s=90 * 86400,
        max_bytes=10 * 1024 * 1024 * 1024,
        deny_delete=True,
        deny_purge=True,
        description="recorded sessions, as asciicast",
    ),
    # who may write one may write a false one, which its signature tells; none may be changed or taken away
    StreamRights(
        name=subjects.AUDIT,
        subjects=(subjects.AUDIT_LOGS,),
        publishers={name: (subjects.audit_logs_of(name),) for name in ("audit", "proxy")},
        readers=("audit", "proxy"),
        max_age_s=90 * 86400,
        max_bytes=10 * 1024 * 1024 * 1024,
        deny_delete=True,
        deny_purge=True,
        description="who did what, as audit.k8s.io Events",
    ),
)
CONTENTS = tuple(bucket.name for bucket in BUCKETS if bucket.archived == "contents")
REVISIONS = tuple(bucket.name for bucket in BUCKETS if bucket.archived == "revision")
"""Buckets of a backup."""
ARCHIVED_OBJECTS = tuple(bucket for bucket in OBJECT_BUCKETS if bucket.archived == "contents")
"""Object stores of a backup."""
_BY_NAME = {service.name: service for service in SERVICES}


def services_of(name: str) -> tuple[ServiceRights, ...]:
    """The service `name`, or those of the workload `name`; none if there is neither."""
    if name in _BY_NAME:
        return (_BY_NAME[name],)
    return tuple(service for service in SERVICES if service.workload == name)


def endpoints_of(kind: Kind) -> tuple[tuple[str, str], ...]:
    """(service, endpoint): where the owner of a kind takes writes and answers searches, and who answers its actions."""
    verbs = [verb for verb in ("create", "update", "patch", "delete") if verb in kind.verbs]
    actions = [(kind.answers(each), each) for each in kind.actions]
    return (
        *((kind.owner, subjects.write(kind.owner, kind.plural, verb)) for verb in verbs),
        *([(kind.owner, subjects.search(kind.owner, kind.plural))] if kind.searchable else []),
        *((name, subjects.action(name, kind.plural, each.subresource, each.verb)) for name, each in actions),
    )


def answered_by(service: ServiceRights) -> tuple[str, ...]:
    """Every endpoint that a service answers."""
    of_kinds = (each for kind in KINDS for each in endpoints_of(kind))
    return (*service.endpoints, *(subject for name, subject in of_kinds if name == service.name))


def asked_by(service: ServiceRights) -> tuple[str, ...]:
    """Every endpoint that a service calls."""
    if not service.forwards_writes:
        return service.calls
    return (*service.calls, *(subject for kind in KINDS for _, subject in endpoints_of(kind)))
