"""Conditions that follow from what a Cluster's status says already, alike for agent and direct members. Pure."""

from __future__ import annotations

from services.registry import clusters
from services.registry.model import TAKEN_OVER, Now
from services.registry.verdicts import NO_CERTIFICATE, agent_credentials, version, warn_s
from skerry.api.conditions import (
    CERTIFICATE_VALID,
    CREDENTIALS_VALID,
    JOINED,
    VERSION_SUPPORTED,
    Verdict,
    condition_of,
    with_condition,
)
from skerry.api.meta import Document
from skerry.api.times import seconds

LOOK_S = 3600.0


def derived(document: Document, now: Now, agent_ttl_s: float) -> Document:
    """A member with the conditions that follow from its status; itself if they stand there already."""
    if not clusters.is_managed(document):
        return document
    status = document.get("status") or {}
    before = conditions = status.get("conditions") or []
    verdicts = {
        VERSION_SUPPORTED: version(status.get("kubernetesVersion"), _agent(document)),
        JOINED: _joined(document),
    }
    if clusters.has_agent(document):
        verdicts[CERTIFICATE_VALID] = condition_of(document, CERTIFICATE_VALID)
        if not verdicts[CERTIFICATE_VALID].reason:
            verdicts[CERTIFICATE_VALID] = NO_CERTIFICATE
        if (end := expires(document)) is not None:
            verdicts[CREDENTIALS_VALID] = agent_credentials(end, now, agent_ttl_s)
    for kind, verdict in verdicts.items():
        if condition_of(document, kind) != verdict:
            conditions = with_condition(conditions, clusters.condition(kind, verdict, now))
    return document if conditions == before else {**document, "status": {**status, "conditions": conditions}}


def _joined(document: Document) -> Verdict:
    """The condition Joined: not ours any more from when another host took the cluster over until it is taken back."""
    ready = clusters.ready_of(document)
    if ready.reason == TAKEN_OVER:
        return Verdict("False", TAKEN_OVER, ready.message)
    before = condition_of(document, JOINED)
    if before.reason not in ("", TAKEN_OVER) or ready.status != "True":
        return before
    if clusters.is_host(document):
        return clusters.RUNS_IN
    return clusters.BY_AGENT if clusters.has_agent(document) else clusters.DIRECTLY


def due(document: Document, now: Now, agent_ttl_s: float) -> float | None:
    """In how many seconds time alone changes what `derived` says; None if it does not."""
    end = expires(document) if clusters.has_agent(document) else None
    if end is None:
        return None
    left = [moment - now.wall for moment in (end - warn_s(agent_ttl_s), end) if moment > now.wall]
    return min(*left, LOOK_S) if left else None


def _agent(document: Document) -> str | None:
    """The version of its agent; None if it has none."""
    if not clusters.has_agent(document):
        return None
    return str(((document.get("status") or {}).get("agent") or {}).get("version") or "")


def expires(document: Document) -> float | None:
    """When the stored credential ends."""
    try:
        return seconds(document["status"]["credentials"]["expires"])
    except (KeyError, TypeError, ValueError):
        return None
