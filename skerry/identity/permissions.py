"""What each service may do on the bus, in the account HOST: the whole table, in one place.

Only proxies may publish where agents take requests; a bucket's keys are written by the service that owns their kind;
`secrets` is read by the registry alone. JetStream is asked through its own subjects, so reading a bucket needs the
right to make consumers on it.

The limit of this table: the *reply subject of a publish is never checked* by nats-server, so a service that turned
hostile could have an answer of JetStream land on a subject that it may not publish to. Services of one host trust
each other that far; members do not share an account with anybody, and that is what isolates them.
"""

from __future__ import annotations

from skerry import subjects
from skerry.api.kinds import KINDS
from skerry.errors import BadRequest
from skerry.identity.creds import inbox
from skerry.identity.jwt import Permissions, Replies, Subjects

SERVICES = ("registry", "tenancy", "proxy")
"""Services that exist; more come with their folders."""
CONTROLLERS = ("registry", "tenancy")
"""What runs in the controller-manager, whose one credential is the union of theirs."""

_OWN_BUCKETS = {"registry": ("secrets", "registry"), "tenancy": ("tenancy",)}
_SUBSCRIBE = {
    "registry": (
        "up.*.hb",
        "up.*.svc.>",
        "up.*.status.>",
        "up.*.ev.>",
        "up.*.rotate",
        "up.*.sync",
        subjects.JOINS,
        subjects.RENEWALS,
        subjects.CONNECTIONS,
        subjects.CONNECTS,
        subjects.DISCONNECTS,
        subjects.QUARANTINES,
    ),
    "tenancy": (),
    "proxy": ("up.*.s.>", "up.*.hb", subjects.PROBES),
}
_PUBLISH = {
    "registry": ("down.*.desired.>", subjects.PROBES),
    "tenancy": (),
    "proxy": ("down.*.open.*", "down.*.a.>", subjects.CONNECTIONS, subjects.QUARANTINES),
}


def service(name: str, public: str) -> Permissions:
    """Permissions of the service `name` for the user key `public`. BadRequest if there is no such service."""
    if name == "controller-manager":
        return _union(public, CONTROLLERS)
    if name not in SERVICES:
        raise BadRequest(f"there is no service {name!r}: {', '.join((*SERVICES, 'controller-manager'))}")
    return _union(public, (name,))


def observer(public: str) -> Permissions:
    """For people with the nats tool: look at services, streams and events; change nothing."""
    publish = ("$SRV.PING.>", "$SRV.INFO.>", "$SRV.STATS.>", "$SRV.PING", "$SRV.INFO", "$SRV.STATS")
    streams = ("$JS.API.INFO", "$JS.API.STREAM.INFO.>", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES")
    return Permissions(pub=Subjects(allow=publish + streams), sub=Subjects(allow=(f"{inbox(public)}.>", "event.>")))


ARCHIVED = ("secrets", subjects.RESOURCES, subjects.EVENTS)
"""Buckets that backup and restore deal with."""


def archivist(public: str, *, restoring: bool) -> Permissions:
    """For backup: reads every bucket. For restore, which runs while all services are down: makes them anew."""
    publish = {subject for bucket in ARCHIVED for subject in _read(bucket)}
    if restoring:
        for bucket in ARCHIVED:
            publish |= {f"$KV.{bucket}.>", f"$JS.API.STREAM.CREATE.KV_{bucket}", f"$JS.API.STREAM.DELETE.KV_{bucket}"}
    return Permissions(pub=Subjects(allow=tuple(sorted(publish))), sub=Subjects(allow=(f"{inbox(public)}.>",)))


def member(name: str, public: str) -> Permissions:
    """An agent, in the account of its own member: that member's slice and its own inbox."""
    return Permissions(
        pub=Subjects(allow=(subjects.up(name),)), sub=Subjects(allow=(subjects.down(name), f"{inbox(public)}.>"))
    )


def single(subject: str, public: str) -> Permissions:
    """One request subject and the answers to it: join and renewal."""
    return Permissions(pub=Subjects(allow=(subject,)), sub=Subjects(allow=(f"{inbox(public)}.>",)))


def _union(public: str, names: tuple[str, ...]) -> Permissions:
    publish = {subject for name in names for subject in _publish(name)}
    subscribe = {subject for name in names for subject in (*_SUBSCRIBE[name], f"{name}.>")}
    return Permissions(
        pub=Subjects(allow=tuple(sorted(publish))),
        sub=Subjects(allow=tuple(sorted(subscribe | {f"{inbox(public)}.>", "$SRV.>"}))),
        resp=Replies(),
    )


def _publish(name: str) -> set[str]:
    granted = {*_PUBLISH[name], *(f"{other}.>" for other in SERVICES), "event.>", f"audit.{name}.>"}
    granted |= _read(subjects.RESOURCES) | _read(subjects.EVENTS)
    granted |= {f"$KV.{subjects.EVENTS}.>"}
    for bucket in _OWN_BUCKETS.get(name, ()):
        granted |= _read(bucket) | {f"$KV.{bucket}.>", f"$JS.API.STREAM.CREATE.KV_{bucket}"}
    owned = _owned_kinds(name)
    if owned:
        granted |= owned | {f"$JS.API.STREAM.CREATE.KV_{b}" for b in (subjects.RESOURCES, subjects.EVENTS)}
    return granted


def _read(bucket: str) -> set[str]:
    stream = f"KV_{bucket}"
    return {
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    }


def _owned_kinds(name: str) -> set[str]:
    keys = (subjects.key(kind.group, kind.kind, "", "x") for kind in KINDS if kind.owner == name)
    return {f"$KV.{subjects.RESOURCES}.{key.rsplit('.', 2)[0]}.>" for key in keys}
