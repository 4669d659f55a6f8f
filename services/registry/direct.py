"""Direct members: their documents, and how what the prober saw becomes conditions. Pure.

Messages hold no running figure: an unchanged state is an unchanged text, and nothing is written.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from services.registry import clusters, verdicts
from services.registry.inventories import with_inventory
from services.registry.model import TAKEN_OVER, TEXT_LIMIT, WRONG, YEAR_3000, Now, at, rights
from skerry.api.conditions import (
    CERTIFICATE_VALID,
    CLOCK_SYNCED,
    JOINED,
    RIGHTS_COMPLETE,
    Verdict,
    condition_of,
    with_condition,
)
from skerry.api.decode import decoded
from skerry.api.messages import Inventory
from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.http import certificates
from skerry.http.certificates import CertificateEnds
from skerry.inventory.limits import bounded
from skerry.member.kubeconfig import Target
from skerry.member.role import HOST, HOST_CLUSTER

MODE = "direct"
VERSION = 64
"""Characters of a version."""


class ProbeState(Enum):
    """What the prober found."""

    READY = auto()
    UNREADY = auto()
    """It answers, and says that it is not ready."""
    REFUSED = auto()
    """It does not take the credential."""
    WRONG = auto()
    """Another cluster answers."""
    TAKEN_OVER = auto()
    """It is marked as another host's."""
    UNREACHABLE = auto()


class ProbeResult(NamedTuple):
    """One look at an API server. `message` says why it is not ready; facts that were not asked for are None."""

    state: ProbeState
    message: str = ""
    version: str | None = None
    inventory: Inventory | None = None
    clock_s: float | None = None
    """How far its clock is ahead of the host's."""
    certificates: CertificateEnds | None = None
    """None if that was not looked at."""
    rtt_ms: float | None = None
    missing: str = ""
    """What serving needs and the host's account may not repair."""
    repaired: str = ""
    """What was taken away and is there again."""
    app_store: str = ""
    """Its own setting of the App Store; empty if that was not seen."""


class JoinFacts(NamedTuple):
    """What the checks found before a member joins."""

    uid: str
    version: str


def is_direct(document: Document) -> bool:
    """Whether the host itself reaches this Cluster's API server: a direct member's, or that of the cluster that it runs in."""
    return clusters.mode_of(document) in (MODE, clusters.IN_CLUSTER)


def may_be_written_to(document: Document) -> bool:
    """Whether a Cluster's API server answers this host, as the cluster that joined, and is not another host's by now."""
    if condition_of(document, "Reachable").status == "False":
        return False
    return clusters.ready_of(document).reason not in (WRONG, TAKEN_OVER)


def member(name: str, object_uid: str, facts: JoinFacts, expires: float | None, now: Now) -> Document:
    """The Cluster of a member that joins directly."""
    document: Document = {
        "metadata": {"name": name, "uid": object_uid, "finalizers": [clusters.FINALIZER]},
        "spec": {"role": "member", "connection": {"mode": MODE}},
        "status": {
            "conditions": [clusters.condition(JOINED, clusters.DIRECTLY, now)],
            "kubernetesVersion": clean(facts.version, VERSION),
            "uid": facts.uid,
        },
    }
    return observed(credited(document, 1, expires), ProbeResult(ProbeState.READY), expires, now)


def credited(document: Document, revision: int, expires: float | None) -> Document:
    """`document` with the number and the end of the credential that the host has now."""
    status = document.get("status", {})
    others = {key: value for key, value in status.get("credentials", {}).items() if key != "expires"}
    credentials = {**others, "revision": revision} | ({} if expires is None else {"expires": at(expires)})
    return {**document, "status": {**status, "credentials": credentials}}


def revision_of(document: Document) -> int:
    """The number of the credential that a Cluster's status speaks of."""
    return int(document.get("status", {}).get("credentials", {}).get("revision", 0))


def observed(document: Document, outcome: ProbeResult, expires: float | None, now: Now) -> Document:
    """`document` with the status that follows from a look at it; facts of the past stay. Its API server is no more trusted
    than a heartbeat is: texts are cut and print."""
    outcome = outcome._replace(
        message=clean(outcome.message, TEXT_LIMIT),
        missing=clean(outcome.missing, TEXT_LIMIT),
        repaired=clean(outcome.repaired, TEXT_LIMIT),
    )
    status = dict(document.get("status", {}))
    conditions = status.get("conditions", [])
    renew = RENEW_OWN if clusters.is_host(document) else RENEW
    for kind, verdict in (*_verdicts(outcome, expires, now, renew), *_others(outcome, document, now)):
        conditions = with_condition(conditions, clusters.condition(kind, verdict, now))
    status["conditions"] = conditions
    if outcome.version:
        status["kubernetesVersion"] = clean(outcome.version, VERSION)
    if outcome.app_store:
        status["appStore"] = {"setting": outcome.app_store}
    after = {**document, "status": status}
    return after if outcome.inventory is None else with_inventory(after, bounded(outcome.inventory), at(now.wall))


def _verdicts(outcome: ProbeResult, expires: float | None, now: Now, renew: str) -> list[tuple[str, Verdict]]:
    reachable = Verdict("True", "Answers", "its API server answers this host")
    if outcome.state is ProbeState.UNREACHABLE:
        reachable = Verdict("False", "Unreachable", outcome.message)
    return [
        ("Reachable", reachable),
        ("CredentialsValid", credentials(outcome, expires, now, renew)),
        ("Ready", _ready(outcome, expires, now, renew)),
        *([(RIGHTS_COMPLETE, rights(outcome.missing, outcome.repaired))] if outcome.state is ProbeState.READY else []),
    ]


def _others(outcome: ProbeResult, document: Document, now: Now) -> Iterator[tuple[str, Verdict]]:
    """Of what is not looked at each time."""
    if outcome.clock_s is not None:
        yield CLOCK_SYNCED, verdicts.clock(outcome.clock_s, document, "its API server's")
    if (ends := outcome.certificates) is not None:
        stored = condition_of(document, CERTIFICATE_VALID)
        yield CERTIFICATE_VALID, verdicts.certificate(ends, now, stored, verdicts.RENEW_AT_HOST)


def _ready(outcome: ProbeResult, expires: float | None, now: Now, renew: str) -> Verdict:
    match outcome.state:
        case ProbeState.READY if outcome.missing:
            return rights(outcome.missing, "")
        case ProbeState.READY:
            return Verdict("True", "Connected", "this host reaches its API server")
        case ProbeState.UNREADY:
            return Verdict("False", "APIServerNotReady", outcome.message)
        case ProbeState.REFUSED:
            return credentials(outcome, expires, now, renew)
        case ProbeState.WRONG:
            return Verdict("False", WRONG, outcome.message)
        case ProbeState.TAKEN_OVER:
            return Verdict("False", TAKEN_OVER, outcome.message)
        case ProbeState.UNREACHABLE:
            return Verdict("False", "Unreachable", outcome.message)


RENEW, RENEW_OWN = HOST.remedy, HOST_CLUSTER.remedy
"""How a credential is renewed that a member's administrator gave, and the host's own."""


def credentials(outcome: ProbeResult, expires: float | None, now: Now, renew: str = RENEW) -> Verdict:
    """The condition CredentialsValid; `renew` says how a new one comes."""
    if expires is not None and expires <= now.wall:
        return Verdict("False", "Expired", f"the host's credential for it ended at {at(expires)}: {renew}")
    if outcome.state is ProbeState.REFUSED:
        return Verdict("False", "Refused", f"its API server does not take the host's credential: {renew}")
    if expires is None:
        return Verdict("True", "NoExpiry", "the host's credential for it does not end by itself")
    if left := verdicts.days_left(expires, now):
        return Verdict("True", "ExpiresSoon", f"it ends at {at(expires)}, in less than {left}: {renew}")
    return Verdict("True", "Valid", f"it ends at {at(expires)}")


# Credentials


def expires_of(target: Target) -> float | None:
    """When the credential ends: its certificate or its token, whichever is first; None if neither tells."""
    ends = (_token_end(target.token), certificates.ends(target.tls.certificate))
    return min((end for end in ends if end is not None), default=None)


class _BearerClaims(msgspec.Struct, frozen=True):
    exp: float | None = None


def _token_end(token: str) -> float | None:
    """The claim `exp`, if the token is a JWT; it is the API server that verifies it."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = binascii.a2b_base64(parts[1].translate(_STANDARD) + "=" * (-len(parts[1]) % 4))
        end = decoded(payload, _BearerClaims).exp
    except (binascii.Error, ValueError):
        return None
    return end if end is not None and 0 < end < YEAR_3000 else None


_STANDARD = str.maketrans("-_", "+/")
