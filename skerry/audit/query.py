"""Which records somebody asked for: by batch, where headers can say that there are none, then line by line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from skerry.api.decode import decoder
from skerry.audit.batch import ANY, BatchHead
from skerry.audit.event import CLUSTER, micro_time
from skerry.audit.marks import is_mark
from skerry.errors import BadRequest


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Object(msgspec.Struct, frozen=True, rename="camel"):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class _Notes(msgspec.Struct, frozen=True):
    cluster: str = msgspec.field(name=CLUSTER, default="")


class Facts(msgspec.Struct, frozen=True):
    """The part of a record that is asked for."""

    audit_id: str = msgspec.field(name="auditID")
    verb: str
    at: str = msgspec.field(name="stageTimestamp")
    user: _User = _User()
    object_ref: _Object = msgspec.field(name="objectRef", default=_Object())
    response_status: _Status = msgspec.field(name="responseStatus", default=_Status())
    annotations: _Notes = _Notes()

    @property
    def username(self) -> str:
        """Who asked."""
        return self.user.username

    @property
    def cluster(self) -> str:
        """Which member; empty for the host's own API."""
        return self.annotations.cluster


facts_of = decoder(Facts)


class AuditQuery(NamedTuple):
    """What is asked for; what is empty is any."""

    user: str = ""
    cluster: str = ""
    verb: str = ""
    resource: str = ""
    """With its subresource, such as pods/exec; `pods` is both."""
    namespace: str = ""
    name: str = ""
    code: str = ""
    """`403`, or `4xx`."""
    id: str = ""
    since: str = ""
    until: str = ""
    """Times as records have them."""

    def may_have(self, head: BatchHead) -> bool:
        """False if no record of a batch can be one of these."""
        if (self.since and head.until < self.since) or (self.until and head.since > self.until):
            return False
        return _among(self.user, head.users) and _among(self.cluster, head.clusters)

    def needle(self) -> bytes:
        """What stands in every such record; empty if nothing is known to."""
        wanted = self.id or self.user or self.name or self.namespace or self.cluster
        return msgspec.json.encode(wanted)[1:-1] if wanted else b""

    def fits(self, line: bytes) -> bool:
        """True for a record that is one of these; marks, and what is no record, are none."""
        if is_mark(line):
            return False
        try:
            facts = facts_of(line)
        except msgspec.DecodeError:
            return False
        return self._fits(facts)

    def _fits(self, facts: Facts) -> bool:
        what = facts.object_ref
        wanted = (
            (self.user, facts.username), (self.cluster, facts.cluster), (self.verb, facts.verb), (self.id, facts.audit_id),
            (self.namespace, what.namespace), (self.name, what.name),
        )  # fmt: skip
        if any(one and one != other for one, other in wanted):
            return False
        if (self.since and facts.at < self.since) or (self.until and facts.at > self.until):
            return False
        return self._of_resource(what) and self._of_code(facts.response_status.code)

    def _of_resource(self, what: _Object) -> bool:
        if not self.resource:
            return True
        return self.resource in (what.resource, f"{what.resource}/{what.subresource}")

    def _of_code(self, code: int) -> bool:
        return not self.code or re.fullmatch(self.code.replace("x", "[0-9]"), str(code)) is not None


def _among(name: str, names: tuple[str, ...]) -> bool:
    return not name or name in names or names == (ANY,)


CODE = re.compile(r"[1-5]([0-9]{2}|xx)\Z")
"""What a query takes for a code."""
_LONGEST = 512


def parse(values: Mapping[str, str]) -> AuditQuery:
    """The query of these parameters. BadRequest names one that is not there, or cannot be."""
    for name, value in values.items():
        if name not in AuditQuery._fields:
            raise BadRequest(f"there is no parameter {name[:40]!r}: {', '.join(AuditQuery._fields)}, follow")
        if len(value) > _LONGEST:
            raise BadRequest(f"{name} is longer than {_LONGEST} characters")
    query = AuditQuery(**values)
    if query.code and CODE.match(query.code) is None:
        raise BadRequest(f"code is {query.code!r}: a status such as 403, or 4xx")
    return query._replace(since=_time("since", query.since), until=_time("until", query.until))


def _time(name: str, text: str) -> str:
    """An RFC 3339 time as records have it. BadRequest."""
    if not text:
        return ""
    at: datetime | None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadRequest(f"{name} is {text!r}: a time such as 2026-11-28T10:00:00Z")
    return micro_time(at.timestamp())
