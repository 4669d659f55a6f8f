"""Subjects of messages that streams keep: a part of `skerry.subjects`, which is where they are taken from."""

from __future__ import annotations

import re

from skerry.errors import BadRequest
from skerry.objectkeys import escaped

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


def token(value: str) -> str:
    """`value` if it is a single plain subject token; BadRequest otherwise."""
    if TOKEN.match(value) is None:
        raise BadRequest(f"{value[:40]!r} cannot be part of a subject")
    return value


EVENT_STREAM = "EVENTS"
"""Stream of what happened, as CloudEvents: `event.<kind>.<name>.<verb>`, of namespaced objects `event.<kind>.<namespace>.<name>.<verb>`."""
ALL_EVENTS = "event.>"
SYSTEM_EVENTS, MEMBER_EVENTS = "event.system.>", "event.member.>"
"""Of the host itself, and of what members tell."""


def event(kind: str, namespace: str, name: str, verb: str) -> str:
    """An event; `kind` and `verb` in lower case, names escaped as in keys of buckets."""
    place = (escaped(namespace), escaped(name)) if namespace else (escaped(name),)
    return ".".join(("event", token(kind), *place, token(verb)))


def events_of(kind: str) -> str:
    """All events of a kind."""
    return f"event.{token(kind.lower())}.>"


RECORDING_STREAM = "RECORDINGS"
"""Stream of recorded sessions: `recording.<session>.about` begins and ends one, `recording.<session>.data` are its bytes."""
ALL_RECORDINGS = "recording.>"


def recording_about(session: str) -> str:
    """What begins and what ends a recorded session; `*` of all."""
    return f"recording.{session if session == '*' else token(session)}.about"


def recording_data(session: str) -> str:
    """The bytes of a recorded session."""
    return f"recording.{token(session)}.data"


def recording_of(subject: str) -> str:
    """The session of such a subject."""
    return subject.split(".")[1]


def stream_of(bucket: str) -> str:
    """The stream that a bucket lies in."""
    return f"KV_{bucket}"


def derivation(service: str) -> str:
    """The durable consumer of RESOURCES from which a service derives the events of what it owns."""
    return f"derive-{token(service)}"


AUDIT = "AUDIT"
"""Stream of the audit logs: a subject for each process that writes one."""
AUDIT_LOGS = "auditlog.>"


def audit_log(service: str, writer: str) -> str:
    """The log of one process of a service."""
    return f"auditlog.{token(service)}.{token(writer)}"


def audit_logs_of(service: str) -> str:
    """Those of all processes of a service."""
    return f"auditlog.{token(service)}.*"
