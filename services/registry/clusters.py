"""Documents of the Cluster kind: how they are made, and how a verdict becomes a status. Pure."""

from __future__ import annotations

import msgspec

from services.registry.inventories import inventory_of, with_inventory
from services.registry.model import (
    YEAR_3000,
    Agent,
    MemberAgents,
    Now,
    PresenceStatus,
    alive,
    at,
    rights,
)
from services.registry.verdicts import RENEW_AT_AGENT, certificate, clock, reachable
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.admission.metadata import IMMUTABLE
from skerry.api import duration
from skerry.api.conditions import (
    CERTIFICATE_VALID,
    CLOCK_SYNCED,
    JOINED,
    QUARANTINED,
    RIGHTS_COMPLETE,
    Verdict,
    condition_of,
    new_condition,
    with_condition,
)
from skerry.api.messages import Heartbeat, JoinRequest
from skerry.api.meta import Document
from skerry.api.names import CLEANUP, CLUSTER_UID, WITHDRAW
from skerry.api.text import clean
from skerry.api.v1alpha1 import APP_STORE_SETTINGS, Ceiling, RekeyStatus, RevokedAgentKey
from skerry.http.certificates import CertificateEnds

HOST = "host"
"""Name of the one Cluster with the role host."""
IN_CLUSTER, NO_CONNECTION = "in-cluster", "none"
"""Connections of the host: to the cluster that it runs in, which is managed as direct members are; none."""
FINALIZER = "skerry.dev/account"
"""Holds a member's Cluster until its account on the bus is evicted, or its credential is destroyed."""
UID = 128
"""Characters of a UID of Kubernetes."""
LONGEST_CLEANUP = "10m"
OWN = "skerry.dev/"
"""The prefix of what is the host's own: nobody else's finalizers begin so."""
_LIMITS = frozenset(Ceiling.__struct_encode_fields__)
HOST_NAME = "skerry.dev/host-name"
"""Annotation: the name of the host, for people."""


def host(name: str, uid: str, mode: str, now: Now) -> Document:
    """The Cluster of the host itself, with one of its connections."""
    document: Document = {
        "metadata": {"name": HOST, "annotations": {HOST_NAME: name}},
        "spec": {"role": "host"},
        "status": {"uid": uid},
    }
    return connected(document, mode, now)


def connected(document: Document, mode: str, now: Now) -> Document:
    """The Cluster of the host with one of its connections, and nothing that was seen by another one."""
    ready = condition("Ready", NOT_SEEN if mode == IN_CLUSTER else ITSELF, now)
    return {
        **document,
        "spec": {**document["spec"], "connection": {"mode": mode}},
        "status": {"conditions": [ready], "uid": document["status"]["uid"]},
    }


def located(document: Document, uid: str) -> Document:
    """The Cluster of the host, that runs in the cluster with this UID."""
    return {**document, "status": {**document.get("status", {}), "clusterUID": uid}}


ITSELF = Verdict("True", "Host", "this is the host itself")
NOT_SEEN = Verdict("Unknown", "NotSeen", "this host has not looked at the cluster that it runs in yet")
RUNS_IN = Verdict("True", "HostCluster", "this host runs in it")
BY_AGENT = Verdict("True", "AgentJoined", "joined through its agent")
DIRECTLY = Verdict("True", "DirectJoined", "joined directly: this host reaches its API server")
"""How a member joined: the condition Joined."""


def member(request: JoinRequest, verdict: Verdict, now: Now, labels: dict[str, str] | None = None) -> Document:
    """The Cluster of a member that joins through an agent."""
    labelled = {"labels": labels} if labels else {}
    return {
        "metadata": {"name": request.name, "finalizers": [FINALIZER], **labelled},
        "spec": {"role": "member", "connection": {"mode": "agent"}},
        "status": {
            "conditions": [
                condition(JOINED, BY_AGENT, now),
                condition("Ready", verdict, now),
                condition("Reachable", reachable(verdict), now),
            ],
            "kubernetesVersion": request.kubernetes_version,
            "uid": request.cluster_uid,
            "agent": {"version": request.agent_version, "replicas": 0},
            "ceiling": _builtins(request.ceiling),
        },
    }


def condition(kind: str, verdict: Verdict, now: Now) -> Document:
    """A condition that changes now."""
    return new_condition(kind, verdict, now.wall)


def change_problems(current: Document, document: Document) -> list[FieldError]:
    """What nobody may change in a Cluster that has joined: how it joined, and what holds it until it is evicted; and what
    becomes of what is on it, if that is neither.
    """
    spec, before = document.get("spec", {}), current.get("spec", {})
    errors = [
        invalid_value(f"spec.{key}", spec.get(key), IMMUTABLE)
        for key in ("role", "connection")
        if spec.get(key) != before.get(key)
    ]
    if _held_by(document) != _held_by(current):
        errors.append(
            forbidden("metadata.finalizers", f"finalizers that begin with {OWN} are put on and taken off by the host")
        )
    how = _annotations(document).get(WITHDRAW)
    if how != _annotations(current).get(WITHDRAW) and how not in (None, "Delete", "Orphan"):
        errors.append(
            invalid_value(f"metadata.annotations[{WITHDRAW}]", how[:100], "must be Delete, as without it, or Orphan")
        )
    if (time := _annotations(document).get(CLEANUP)) != _annotations(current).get(CLEANUP) and time is not None:
        try:
            duration.bounded(time, LONGEST_CLEANUP, "0s")
        except ValueError as error:
            errors.append(invalid_value(f"metadata.annotations[{CLEANUP}]", time[:100], str(error)))
    return errors


def cleanup_s(document: Document, default_s: float) -> float:
    """For how long a member that is removed may take away what is on it."""
    try:
        return duration.parse(_annotations(document)[CLEANUP])
    except (KeyError, ValueError):
        return default_s


def _annotations(document: Document) -> dict[str, str]:
    annotations: dict[str, str] = document["metadata"].get("annotations") or {}
    return annotations


def is_kept(document: Document) -> bool:
    """Whether what the host's services have on a member stays there when it is removed."""
    return _annotations(document).get(WITHDRAW) == "Orphan"


def _held_by(document: Document) -> set[str]:
    return {each for each in document["metadata"].get("finalizers") or () if each.startswith(OWN)}


def uid_of(document: Document) -> str:
    """UID of the physical cluster; empty for the host's own if none is managed, or it was not seen yet."""
    return str(document.get("status", {}).get("clusterUID" if is_host(document) else "uid", ""))


def said_uid(document: Document) -> str:
    """UID of the cluster that the host runs in, where an administrator says it; else empty."""
    return clean(_annotations(document).get(CLUSTER_UID, ""), UID)


def is_host(document: Document) -> bool:
    """Whether a Cluster is the host itself."""
    return str(document.get("spec", {}).get("role")) == "host"


def is_managed(document: Document) -> bool:
    """Whether a Cluster is a member, or the one that the host runs in."""
    return is_member(document) or mode_of(document) == IN_CLUSTER


def mode_of(document: Document) -> str:
    """How a Cluster is connected."""
    return str(document.get("spec", {}).get("connection", {}).get("mode", ""))


def is_member(document: Document) -> bool:
    """Whether a Cluster is a member, not the host itself."""
    return str(document.get("spec", {}).get("role")) == "member"


def has_agent(document: Document) -> bool:
    """Whether a Cluster is reached through an agent."""
    return mode_of(document) == "agent"


HOLDING = ("HeartbeatFlood", "RequestFlood")
"""Reasons of the condition Quarantined for which the bus takes no connection of a member."""


def is_held(document: Document) -> bool:
    """Whether a member floods this host, so that none of its agents is let in for a while."""
    quarantined = condition_of(document, QUARANTINED)
    return quarantined.status == "True" and quarantined.reason in HOLDING


def is_leaving(document: Document) -> bool:
    """Whether a Cluster is being removed."""
    return "deletionTimestamp" in document["metadata"]


def ready_of(document: Document) -> Verdict:
    """The stored condition Ready."""
    return condition_of(document, "Ready")


def presence_of(document: Document) -> PresenceStatus:
    """How a member stands, as it is stored."""
    return PresenceStatus(ready_of(document), int(document.get("status", {}).get("agent", {}).get("replicas", 0)))


def observed(document: Document, member: MemberAgents, presence: PresenceStatus, now: Now) -> Document:
    """`document` with the status that follows from presence and the heartbeats; facts of the past stay, and so do fields
    that a newer registry put there. Facts are taken when all agents were heard: some do not speak for all.
    """
    status = dict(document.get("status", {}))
    for kind, verdict in (("Ready", presence.ready), ("Reachable", reachable(presence.ready))):
        status["conditions"] = with_condition(status.get("conditions", []), condition(kind, verdict, now))
    status["agent"] = {**status.get("agent", {}), "replicas": presence.replicas}
    live = alive(member, now)
    if live and len(live) == presence.replicas:
        beat = live[0].beat
        if beat.missing is not None:
            complete = condition(RIGHTS_COMPLETE, rights(beat.missing, beat.repaired), now)
            status["conditions"] = with_condition(status["conditions"], complete)
        if clocks := [agent.beat.clock_s for agent in live if agent.beat.clock_s is not None]:
            verdict = clock(max(clocks, key=abs), document, "its agent's")
            status["conditions"] = with_condition(status["conditions"], condition(CLOCK_SYNCED, verdict, now))
        if (certificates := _certificates(live)) != CertificateEnds():
            verdict = certificate(certificates, now, condition_of(document, CERTIFICATE_VALID), RENEW_AT_AGENT)
            status["conditions"] = with_condition(status["conditions"], condition(CERTIFICATE_VALID, verdict, now))
        status |= _facts(beat) | {"ceiling": _with_ceiling(status.get("ceiling", {}), beat.ceiling)}
        status["agent"]["version"] = live[0].beat.version
        ends = [agent.beat.expires for agent in live if 0 < agent.beat.expires < YEAR_3000]
        if ends:
            status["credentials"] = {**status.get("credentials", {}), "expires": at(min(ends))}
        if (inventory := inventory_of(live)) is not None:
            return with_inventory({**document, "status": status}, inventory, at(now.wall))
    return {**document, "status": status}


def _certificates(live: list[Agent]) -> CertificateEnds:
    """The first to end of what its agents saw."""
    servers = [each.beat.server_certificate for each in live if each.beat.server_certificate is not None]
    clients = [each.beat.client_certificate for each in live if each.beat.client_certificate is not None]
    return CertificateEnds(min(servers, default=None), min(clients, default=None))


def rekey_of(document: Document) -> RekeyStatus | None:
    """The rekey that is under way."""
    rekey = ((document.get("status") or {}).get("credentials") or {}).get("rekey")
    return None if rekey is None else msgspec.convert(rekey, RekeyStatus)


def with_rekey(document: Document, rekey: RekeyStatus | None) -> Document | None:
    """`document` with a rekey in its status, or without one; None if it is so already."""
    if rekey == rekey_of(document):
        return None
    status = dict(document.get("status") or {})
    credentials = {key: value for key, value in (status.get("credentials") or {}).items() if key != "rekey"}
    if rekey is not None:
        credentials["rekey"] = msgspec.to_builtins(rekey)
    status["credentials"] = credentials
    return {**document, "status": status}


def with_revoked(document: Document, revoked: RevokedAgentKey) -> Document:
    """`document` that says who was revoked last."""
    status = document.get("status") or {}
    credentials = {**(status.get("credentials") or {}), "revoked": msgspec.to_builtins(revoked)}
    return {**document, "status": {**status, "credentials": credentials}}


def _facts(beat: Heartbeat) -> Document:
    """What a heartbeat says of the cluster; texts were bounded where it came in."""
    facts: Document = {}
    if beat.kubernetes_version:
        facts["kubernetesVersion"] = beat.kubernetes_version
    if beat.nodes is not None:
        facts["nodes"] = beat.nodes
    if beat.app_store in APP_STORE_SETTINGS:
        facts["appStore"] = {"setting": beat.app_store}
    return facts


def _with_ceiling(stored: Document, ceiling: Ceiling) -> Document:
    """`ceiling` as it is stored: limits that are taken back go, fields of a newer registry stay."""
    return {name: value for name, value in stored.items() if name not in _LIMITS} | _builtins(ceiling)


def _builtins(ceiling: Ceiling) -> Document:
    document: Document = msgspec.to_builtins(ceiling)
    return document
