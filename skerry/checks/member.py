"""The checks of a member by its Cluster, as the host keeps it: what the host saw, and what the member itself said in its
heartbeats. Pure. What is asked of it now, through the host, is in skerry/checks/live.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skerry.api.conditions import (
    CERTIFICATE_VALID,
    CLOCK_SYNCED,
    CREDENTIALS_VALID,
    DESIRED_APPLIED,
    FLAPPING,
    REPAIRED,
    RIGHTS_COMPLETE,
    VERSION_SUPPORTED,
    Verdict,
    condition_of,
)
from skerry.api.meta import Document
from skerry.api.names import CLUSTER_UID
from skerry.checks.report import CheckResult, Outcome, told
from skerry.member.identity import owner_of

MEMBER = (
    "member.presence", "member.tunnel", "member.credentials", "member.clock", "member.version", "member.api",
    "member.identity", "member.owner", "member.permissions", "member.desired", "member.agents",
)  # fmt: skip
"""The checks of a member, in order."""
SOON = "ExpiresSoon"
_QUARANTINED = "Quarantined"


def mode_of(cluster: Document) -> str:
    """How the host reaches it: agent, direct, in-cluster or none."""
    return str(((cluster.get("spec") or {}).get("connection") or {}).get("mode") or "")


def _presence(cluster: Document) -> Outcome:
    ready = condition_of(cluster, "Ready")
    if ready.status != "True":
        reachable = condition_of(cluster, "Reachable")
        return _bad(
            reachable if reachable.status == "False" else ready, "see the log of its agent, and of what is between"
        )
    for kind in (_QUARANTINED, FLAPPING):
        if (verdict := condition_of(cluster, kind)).status == "True":
            return _bad(verdict, "see the log of its agent", "warn")
    return Outcome(ready.message or "it is ready")


def _credentials(cluster: Document) -> Outcome:
    verdicts = [condition_of(cluster, kind) for kind in (CREDENTIALS_VALID, CERTIFICATE_VALID)]
    for verdict in verdicts:
        if verdict.status == "False":
            return _bad(verdict, "give it another credential")
    for verdict in verdicts:
        if verdict.reason == SOON:
            return _bad(verdict, "renew it", "warn")
    return _known(verdicts[0])


def _warned(kind: str, remedy: str) -> Callable[[Document], Outcome]:
    def outcome(cluster: Document) -> Outcome:
        verdict = condition_of(cluster, kind)
        return _bad(verdict, remedy, "warn") if verdict.status == "False" else _known(verdict)

    return outcome


def _permissions(cluster: Document) -> Outcome:
    verdict = condition_of(cluster, RIGHTS_COMPLETE)
    if verdict.status == "False":
        return _bad(verdict, "give them back")
    if verdict.reason == REPAIRED:
        return _bad(verdict, "look who takes away there what is Skerry's", "warn")
    return _known(verdict)


def _desired(cluster: Document) -> Outcome:
    name = cluster["metadata"]["name"]
    if (cluster.get("spec") or {}).get("paused") is True:
        return Outcome("it is paused: nothing is applied there", "skip")
    verdict = condition_of(cluster, DESIRED_APPLIED)
    if verdict.status == "False":
        return Outcome(verdict.message or verdict.reason, "warn", f"skerry desired {name} --problems -o wide says why")
    return _known(verdict)


def _agents(cluster: Document) -> Outcome:
    if mode_of(cluster) != "agent":
        return Outcome("the host reaches it itself, without an agent", "skip")
    agent = (cluster.get("status") or {}).get("agent") or {}
    replicas = agent.get("replicas")
    if not isinstance(replicas, int) or replicas < 1:
        return Outcome("no agent is connected", "fail", "start it where it ran: skerry agent --name NAME")
    return Outcome(f"{replicas} connected, version {agent.get('version') or 'unknown'}")


def _known(verdict: Verdict) -> Outcome:
    return Outcome("the host does not know it yet", "skip") if verdict.status == "Unknown" else Outcome(verdict.message)


def _bad(verdict: Verdict, remedy: str, result: CheckResult = "fail") -> Outcome:
    """A condition as it says, with the next step that it names, or `remedy`."""
    outcome = told(verdict.message or verdict.reason or "the host does not know it", result)
    return outcome._replace(next=outcome.next or remedy)


OF_CLUSTER: Mapping[str, Callable[[Document], Outcome]] = {
    "member.presence": _presence,
    "member.credentials": _credentials,
    "member.clock": _warned(CLOCK_SYNCED, "let it follow a time server"),
    "member.version": _warned(VERSION_SUPPORTED, "update it"),
    "member.permissions": _permissions,
    "member.desired": _desired,
    "member.agents": _agents,
}
"""Those that need nothing but the Cluster."""


def identity(cluster: Document, metadata: Mapping[str, Any]) -> Outcome:
    """By the metadata of kube-system, read through the host."""
    own, status = mode_of(cluster) == "in-cluster", cluster.get("status") or {}
    joined, uid = str(status.get("clusterUID" if own else "uid") or ""), str(metadata.get("uid") or "")
    if uid == joined:
        return Outcome(
            f"kube-system UID {uid}, as it joined" if not own else f"kube-system UID {uid}, where this host runs"
        )
    name = cluster["metadata"]["name"]
    if own:
        remedy = f"if this host was moved there: kubectl annotate cluster {name} --overwrite {CLUSTER_UID}={uid}"
        return Outcome(
            f"another cluster answers (kube-system UID {uid}) than this host runs in ({joined})", "fail", remedy
        )
    remedy = f"point its kubeconfig at the cluster that joined; or skerry cluster remove {name}, and join this one anew"
    return Outcome(f"another cluster answers (kube-system UID {uid}) than joined ({joined})", "fail", remedy)


def owner(host_uid: str, metadata: Mapping[str, Any]) -> Outcome:
    """By the mark in it."""
    mark, name = owner_of(metadata)
    if mark == host_uid:
        return Outcome("it is marked as this host's")
    if not mark:
        return Outcome("it has no mark of a host", "warn", "it is made again within a minute, if the account there may")
    remedy = "if that is right, remove it here; if not, take it back: with --take-over of skerry agent or cluster set"
    return Outcome(f"it was taken over by host {name or mark!r}", "fail", remedy)
