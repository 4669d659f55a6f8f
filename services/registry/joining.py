"""Rules of joining and renewing, pure: who may, and the message of each refusal. Those of tokens are in `tokens`."""

from __future__ import annotations

import base64
import binascii

import msgspec

from services.registry import clusters
from services.registry.model import at
from services.registry.secrets import Evicted
from skerry import heartbeats, subjects
from skerry.api.messages import FORMAT, JoinRequest, RenewRequest
from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
    ServiceUnavailable,
    StatusError,
    Unauthorized,
)
from skerry.identity import nkey

SKEW_S = 600.0
"""How far the time in a renewal's challenge may be off: it is a second factor beside the connection's own key."""


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
        raise joined_already(request.cluster_uid, owner)


def joined_already(uid: str, owner: str) -> Conflict:
    """The error for a physical cluster that is a member under the name `owner`, or is the one that the host runs in."""
    if owner == clusters.HOST:
        return Conflict(
            f"this cluster (kube-system UID {uid}) is the one that this host runs in, and is managed already: use it as {owner!r}; to "
            "have it join under a name of its own, the host must not manage it: manageHost: false in the chart"
        )
    return Conflict(
        f"this cluster (kube-system UID {uid}) has joined already, as {owner!r}: use that one, or remove it first: skerry cluster "
        f"remove {owner}"
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


def not_renewable(name: str, host: str, *, evicted: Evicted | None) -> StatusError:
    """The error for an agent whose key is not one of a living member's.

    Gone ends it for good, so that needs the proof that its key was evicted. A key that is merely unknown may be that of a
    store which was lost and is not restored yet: 503, and the agent asks again, for ever.
    """
    if evicted is not None:
        return Gone(evicted.farewell or farewell(name, host))
    return ServiceUnavailable(
        f"host {host!r} does not know this agent of cluster {name!r} now, nor that it was removed: the cluster is just "
        f"leaving, or the host's store is not restored yet. The agent goes on asking; if the store is whole, {_again(name)}"
    )


def agent_farewell(name: str, host: str, agent: str) -> str:
    """The text for an agent that was revoked, while its member stays."""
    return (
        f"agent {agent} of cluster {name!r} was revoked on host {host!r}: to be one again, make a token there (skerry token "
        f"create {name} --replica) and start with it"
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
