"""Rules of joining and renewing, pure: who may, and the message of each refusal.

A join token works once: its object is bound, by compare-and-set, to the key of the agent that uses it first. The same
key may repeat within the token's life and gets the same answer, because an answer can be lost.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from services.registry import clusters
from services.registry.model import at
from skerry import heartbeats, subjects
from skerry.admission.writes import invalid
from skerry.api import duration
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import FORMAT, JoinRequest, RenewRequest
from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.api.times import rfc3339, seconds
from skerry.api.v1alpha1 import JoinToken
from skerry.api.validation import is_label
from skerry.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    ServiceUnavailable,
    StatusError,
    Unauthorized,
)
from skerry.identity import nkey

LONGEST = "24h"
SKEW_S = 600.0
"""How far the time in a renewal's challenge may be off: it is a second factor beside the connection's own key."""


# Join tokens


class NewToken(NamedTuple):
    """A token that was admitted."""

    document: Document
    jti: str
    cluster: str
    expires: int


def admit_token(document: Document, uid: uuid.UUID, now: datetime) -> NewToken:
    """The JoinToken to store: validated, defaulted, with its uid and expiry. Invalid names the field."""
    spec = msgspec.convert(document, JoinToken).spec
    if not is_label(spec.cluster_name):
        raise _invalid("spec.clusterName", "use a DNS label: a-z, 0-9 and -, at most 63 characters", spec.cluster_name)
    if spec.cluster_name == clusters.HOST:
        raise _invalid("spec.clusterName", "this name belongs to the host itself", spec.cluster_name)
    expires = now + timedelta(seconds=_ttl(spec.ttl))
    metadata = {**document["metadata"], "uid": str(uid), "finalizers": [clusters.FINALIZER]}
    if document["metadata"].get("finalizers"):
        raise _invalid("metadata.finalizers", "nobody could take them off again", document["metadata"]["finalizers"])
    metadata.setdefault("name", f"{spec.cluster_name[:50]}-{uid.hex[:8]}")
    if not is_label(metadata["name"]):
        raise _invalid("metadata.name", "use a DNS label: a-z, 0-9 and -, at most 63 characters", metadata["name"])
    stored = {
        **document,
        "metadata": metadata,
        "spec": {"ttl": "1h", **document["spec"]},
        "status": {"expires": rfc3339(expires), "used": False},
    }
    return NewToken(stored, jti_of(stored), spec.cluster_name, int(expires.timestamp()))


def _ttl(text: str) -> int:
    try:
        return duration.bounded(text, LONGEST)
    except ValueError as error:
        raise _invalid("spec.ttl", str(error), text) from error


def _invalid(field: str, message: str, value: object) -> Invalid:
    return invalid(JOIN_TOKEN, "", field, message, value)


def jti_of(token: Document) -> str:
    """The id of a JoinToken on the bus."""
    return f"{token['metadata']['name']}_{token['metadata']['uid'].replace('-', '')}"


def parse_jti(jti: str) -> tuple[str, str]:
    """(name, uid in hexadecimal) of the token object that a jti stands for; empty strings for rubbish."""
    name, _, uid = jti.rpartition("_")
    return (name, uid) if is_label(name) else ("", "")


# Joining


def check_request(request: JoinRequest) -> None:
    """Check that a request can be understood at all. BadRequest."""
    if request.format > FORMAT:
        raise BadRequest(
            f"the agent speaks join format {request.format}, this host understands up to {FORMAT}: upgrade the host, "
            "or use an agent of its version"
        )
    subjects.member(request.name)
    if nkey.kind_of(request.nkey) is not nkey.KeyType.USER:
        raise BadRequest("the agent's key is not the public half of a user's nkey: start it with a new state directory")
    if not 1 <= len(request.cluster_uid) <= 128 or not request.cluster_uid.isprintable():
        raise BadRequest("the agent did not tell the UID of the cluster's kube-system namespace")


def cleaned(request: JoinRequest) -> JoinRequest:
    """A request that was checked, as it may be kept: its texts are cut and print."""
    return msgspec.structs.replace(
        request,
        kubernetes_version=clean(request.kubernetes_version, 64),
        agent_version=clean(request.agent_version, 64),
        ceiling=heartbeats.ceiling(request.ceiling),
    )


def check_token(token: Document | None, uid: str, request: JoinRequest, now: float) -> None:
    """Check that this token lets this agent join. Unauthorized, Forbidden; the message says which rule and what to do."""
    again = f"make a new one on the host: skerry token create {request.name}"
    if token is None or token["metadata"]["uid"].replace("-", "") != uid:
        raise Unauthorized(f"this host does not know the join token: it was revoked or has expired long ago; {again}")
    name, expires = token["spec"]["clusterName"], token["status"]["expires"]
    if request.name != name:
        raise Forbidden(
            f"the join token is for a cluster named {name!r}, not {request.name!r}: use --name {name}, or {again}"
        )
    if seconds(expires) <= now:
        raise Unauthorized(f"the join token for {name!r} expired at {expires} by the host's clock; {again}")
    used_by = token["status"].get("usedBy", "")
    if used_by and used_by != request.nkey:
        raise Forbidden(
            f"the join token for {name!r} was used already, by another agent (key {used_by}): a token works once; {again}"
        )


def bind_token(token: Document, nkey_public: str) -> Document | None:
    """The token, used by this key; None if it already is."""
    if token["status"].get("usedBy") == nkey_public:
        return None
    return {**token, "status": {**token["status"], "used": True, "usedBy": nkey_public}}


def check_cluster(request: JoinRequest, existing: Document | None, agents: frozenset[str], *, replica: bool) -> None:
    """Check that the name is free for this cluster, or the agent belongs to it. Conflict, Forbidden."""
    name = request.name
    if existing is None:
        if replica:
            raise Forbidden(
                f"this token is for one more agent of {name!r}, and no such cluster has joined: use a token made without "
                "--replica"
            )
        return
    if clusters.is_leaving(existing):
        raise Conflict(f"cluster {name!r} is being removed: try again in a moment")
    if not clusters.has_agent(existing):
        raise Conflict(
            f"cluster {name!r} has joined already, directly, without an agent: to change that, remove it first: "
            f"skerry cluster remove {name}"
        )
    uid = clusters.uid_of(existing)
    if uid != request.cluster_uid:
        raise Conflict(
            f"the name {name!r} belongs to another cluster (kube-system UID {uid}; this one has {request.cluster_uid}): "
            f"join under another name, or remove that one first: skerry cluster remove {name}"
        )
    if agents and not replica and request.nkey not in agents:
        raise Conflict(
            f"cluster {name!r} has joined already, with another agent: keep using its state directory, add one more "
            f"agent with skerry token create {name} --replica, or remove it first: skerry cluster remove {name}"
        )


def check_uid(request: JoinRequest, owner: str) -> None:
    """Conflict if this physical cluster is a member under another name."""
    if owner and owner != request.name:
        raise Conflict(
            f"this cluster (kube-system UID {request.cluster_uid}) has joined already, as {owner!r}: use that one, or "
            f"remove it first: skerry cluster remove {owner}"
        )


# Renewing


def check_renewal(request: RenewRequest, name: str, now: float) -> None:
    """Check that the challenge was signed by the key, for this member, about now. BadRequest, Unauthorized."""
    parts = request.challenge.split(" ")
    if len(parts) != 4 or parts[0] != name or parts[1] != request.nkey or not parts[2].isdecimal():
        raise BadRequest("the renewal's challenge is malformed: upgrade the agent")
    if not nkey.verify(request.nkey, request.challenge.encode(), _signature(request.signature)):
        raise Unauthorized(
            "the renewal is not signed by the key that it names: the agent's stored credentials are damaged"
        )
    skew = float(parts[2]) - now
    if abs(skew) > SKEW_S:
        raise Unauthorized(
            f"the renewal was made at {at(float(parts[2][:11]))}, the host has {at(now)}: correct the clock of the "
            "agent's machine"
        )


def not_renewable(name: str, host: str, *, evicted: bool) -> StatusError:
    """The error for an agent whose key is not one of a living member's.

    Gone ends it for good, so that needs the proof that its key was evicted. A key that is merely unknown may be that of a
    store which was lost and is not restored yet: 503, and the agent asks again, for ever.
    """
    if evicted:
        return Gone(farewell(name, host))
    return ServiceUnavailable(
        f"host {host!r} does not know this agent of cluster {name!r} now, nor that it was removed: the cluster is just "
        f"leaving, or the host's store is not restored yet. The agent goes on asking; if the store is whole, {_again(name)}"
    )


def farewell(name: str, host: str) -> str:
    """The text for agents of a member that was removed."""
    return f"cluster {name!r} was removed from host {host!r}: to join again, {_again(name)}"


def _again(name: str) -> str:
    return f"make a token on the host (skerry token create {name}) and start the agent with it"


def _signature(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
