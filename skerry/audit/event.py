"""One request, as an Event of audit.k8s.io/v1 says it: every SIEM reads that. Parts that repeat are encoded once."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec

API_VERSION = "audit.k8s.io/v1"
Level = Literal["None", "Metadata", "Request", "RequestResponse"]
LEVELS: tuple[Level, ...] = ("None", "Metadata", "Request", "RequestResponse")
"""Each has what the one before it has."""
Stage = Literal["RequestReceived", "ResponseStarted", "ResponseComplete"]
STAGES: tuple[Stage, ...] = ("RequestReceived", "ResponseStarted", "ResponseComplete")

CLUSTER, SENT, RECEIVED, MS, CREDENTIAL, SESSION, RECORDING, ENDED, COUNT, OMITTED, VIA = (
    f"skerry.dev/{name}"
    for name in (
        "cluster", "bytes-out", "bytes-in", "ms", "credential", "session", "recording", "ended", "count", "omitted", "via",
    )
)  # fmt: skip
"""Annotations: the member; body bytes to the client and from it; how long it took; the name of the credential; the recorded session, and
what there is of it; `gone` or `cut` of an answer that did not end; for how many requests a record stands; why a body is not in it; the service that carries on for a user."""
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
"""`allow` or `forbid`, and what allowed it."""

encode = msgspec.json.Encoder().encode


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of the parts of an event."""


class AuditedUser(Part, frozen=True, kw_only=True):
    """authentication/v1 UserInfo."""

    username: str = ""
    groups: tuple[str, ...] = ()


class AuditedObject(Part, frozen=True, kw_only=True):
    """audit/v1 ObjectReference."""

    resource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""
    api_version: str = ""
    subresource: str = ""


class AuditedStatus(Part, frozen=True, kw_only=True):
    """meta/v1 Status, as far as an event has it."""

    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0


def _json(value: object) -> str:
    return encode(value).decode()


@lru_cache(maxsize=1024)
def user(name: str, groups: tuple[str, ...]) -> str:
    """A user, as JSON."""
    return _json(AuditedUser(username=name, groups=groups))


def who(name: str, groups: tuple[str, ...], address: str, agent: str) -> str:
    """Members of a record: who asks, from the one address that we vouch for, with which program."""
    addresses = [address] if address else []
    program = f',"userAgent":{_json(agent)}' if agent else ""
    return f'"user":{user(name, groups)},"sourceIPs":{_json(addresses)}{program}'


def what(uri: str, verb: str, reference: AuditedObject | None) -> str:
    """Members of a record: what is asked for."""
    about = "" if reference is None else f',"objectRef":{_json(reference)}'
    return f'"requestURI":{_json(uri)},"verb":{_json(verb)}{about}'


@lru_cache(maxsize=1024)
def impersonated(name: str, groups: tuple[str, ...]) -> str:
    """A member of a record: as whom a cluster sees it."""
    return f',"impersonatedUser":{user(name, groups)}'


@lru_cache(maxsize=256)
def code(status: int) -> str:
    """A member of a record: the status of an answer whose text is not known here."""
    failed = "Failure" if status >= 400 else ""
    return f',"responseStatus":{_json(AuditedStatus(status=failed, code=status))}'


def failure(status: int, reason: str, message: str) -> str:
    """The same of an answer that was refused here, or broken off."""
    return f',"responseStatus":{_json(AuditedStatus(status="Failure", code=status, reason=reason, message=message))}'


@lru_cache(maxsize=4096)
def note(name: str, value: str) -> str:
    """One annotation, with a comma behind it."""
    return f"{_json(name)}:{_json(value)},"


def line(level: Level, audit_id: str, stage: Stage, parts: str, received: str, at: str, notes: str) -> bytes:
    """A record, as JSON. `parts` are members and `notes` annotations as made here; the id is one that `is_audit_id` knows."""
    return (
        f'{{"kind":"Event","apiVersion":"{API_VERSION}","level":"{level}","auditID":"{audit_id}","stage":"{stage}",{parts},'
        f'"requestReceivedTimestamp":"{received}","stageTimestamp":"{at}","annotations":{{{notes[:-1]}}}}}\n'
    ).encode()


@lru_cache(maxsize=8)
def _prefix(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def micro_time(at: float) -> str:
    """Unix seconds as meta/v1 MicroTime: `2026-11-28T10:00:00.000000Z`. Such texts sort as the times do."""
    second = int(at)
    return f"{_prefix(second)}.{int((at - second) * 1_000_000):06d}Z"
