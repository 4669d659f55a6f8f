"""What conditions of members say, by the facts that they are made of: alike for agent and direct members. Pure."""

from __future__ import annotations

import skerry
from services.registry.model import Now, at
from skerry import requirements
from skerry.api.conditions import CLOCK_SYNCED, Verdict, condition_of
from skerry.api.meta import Document
from skerry.http.certificates import CertificateEnds

DAY_S = 86400.0
WARN_DAYS = (1, 7, 30)
"""Before the end of what people renew: the text changes, and a line is logged, so many days before."""
AGENT_WARN_S = 7 * DAY_S
"""An agent renews its credential long before its end; with less left than this, or a sixth of its life, something is wrong."""
OFF_S, BACK_S = 30.0, 25.0
"""A clock is off beyond the first, and right again below the second."""


def version(kubernetes: object, agent: str | None, host: str = skerry.__version__) -> Verdict:
    """The condition VersionSupported. A version that nobody can read is told as such, and refused nothing."""
    cluster = requirements.kubernetes_fit(str(kubernetes or ""))
    if cluster == "unknown":
        return Verdict("Unknown", "VersionUnknown", "its Kubernetes version is not known")
    if cluster == "old":
        oldest = requirements.oldest_kubernetes()
        return Verdict(
            "False", "KubernetesTooOld", f"it runs Kubernetes {kubernetes}; tested is {oldest} and later: upgrade it"
        )
    match "" if agent is None else requirements.agent_fit(agent, host):
        case "unknown":
            return Verdict("Unknown", "VersionUnknown", "the version of its agent is not known")
        case "old":
            return Verdict("False", "AgentTooOld", f"its agent is {agent}, the host is {host}: update the agent")
        case "new":
            return Verdict("False", "AgentTooNew", f"its agent is {agent}, the host is {host}: update the host")
    return Verdict("True", "Supported", "Kubernetes and Skerry on it are of versions that are tested with this host")


def agent_credentials(end: float, now: Now, ttl_s: float) -> Verdict:
    """The condition CredentialsValid of a member with agents: they renew by themselves, also when they come back late."""
    if end <= now.wall:
        return Verdict(
            "False", "Expired", f"its agent's credential ended at {at(end)}; it renews it when it reaches this host"
        )
    if end - now.wall < warn_s(ttl_s):
        return Verdict("True", "ExpiresSoon", f"it ends at {at(end)} and was not renewed: look at the log of its agent")
    return Verdict("True", "Valid", "its agent renews its credential by itself")


def warn_s(ttl_s: float) -> float:
    """With less than this left an agent's credential should have been renewed."""
    return min(AGENT_WARN_S, ttl_s / 6)


NO_CERTIFICATE = Verdict("True", "NoCertificate", "no certificate was seen between it and Skerry")
RENEW_AT_HOST = "give this host a new kubeconfig: skerry cluster set NAME --kubeconfig FILE"
RENEW_AT_AGENT = "put a new one into the agent's kubeconfig, which is read again in place"
"""How a client certificate is renewed that the host, or an agent, has."""


def certificate(ends: CertificateEnds, now: Now, stored: Verdict, renew: str) -> Verdict:
    """The condition CertificateValid, by what ends first: what the API server shows, or the client certificate. It warns; what
    really was refused says Reachable. Who has not seen the server yet leaves what is `stored`, unless there is worse to say."""
    client = _certificate("the client certificate", ends.client, now, renew)
    server = _certificate(
        "the certificate of its API server, or of the authority that made it,",
        ends.server,
        now,
        "renew it on the cluster",
    )
    if ends.server is None and stored.reason and (client is None or client.reason == "Valid"):
        return stored
    known = [(end, each) for end, each in ((ends.server, server), (ends.client, client)) if end is not None and each]
    return min(known)[1] if known else NO_CERTIFICATE


def _certificate(what: str, end: float | None, now: Now, renew: str) -> Verdict | None:
    if end is None:
        return None
    if end <= now.wall:
        return Verdict("False", "Expired", f"{what} ended at {at(end)}: {renew}")
    if left := days_left(end, now):
        return Verdict("True", "ExpiresSoon", f"{what} ends at {at(end)}, in less than {left}: {renew}")
    return Verdict("True", "Valid", f"{what} ends at {at(end)}")


def days_left(end: float, now: Now) -> str:
    """`7 days`: the first of WARN_DAYS that is more than what is left; empty if none is."""
    for days in WARN_DAYS:
        if end - now.wall < days * DAY_S:
            return "a day" if days == 1 else f"{days} days"
    return ""


def clock(ahead_s: float, document: Document, whose: str) -> Verdict:
    """The condition ClockSynced of a Cluster whose clock is so far ahead. It warns; nothing depends on that clock."""
    limit = BACK_S if condition_of(document, CLOCK_SYNCED).status == "False" else OFF_S
    if abs(ahead_s) <= limit:
        return Verdict("True", "InSync", f"{whose} clock is within {OFF_S:.0f} s of the host's")
    reason, word = ("Ahead", "ahead of") if ahead_s > 0 else ("Behind", "behind")
    return Verdict(
        "False", reason, f"{whose} clock is {_about(abs(ahead_s))} {word} the host's: let it follow a time server"
    )


def _about(seconds_off: float) -> str:
    for unit_s, name in ((DAY_S, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds_off >= unit_s:
            return f"more than {'an' if name == 'hour' else 'a'} {name}"
    return "more than 30 seconds"


def reachable(ready: Verdict) -> Verdict:
    """The condition Reachable of a member with agents, by its condition Ready: whether an agent is there, whatever it says."""
    if ready.status == "Unknown" or ready.reason in ("AgentStopped", "AgentDisconnected", "HeartbeatLost"):
        return ready
    return Verdict("True", "AgentConnected", "its agent is connected")
