"""One request, as the front door's logs have it: filled in as it becomes known."""

from __future__ import annotations

import os
import time

from services.proxy.recording.demand import Demand
from services.proxy.recording.writing import Recording
from skerry.access.holdings import Basis
from skerry.api.messages import Caller
from skerry.audit.meaning import Meaning
from skerry.audit.policy import AuditDecision
from skerry.audit.tap import Tap
from skerry.errors import StatusError

NOBODY = Caller(user="system:anonymous", groups=("system:unauthenticated",))
"""Who asks without a credential that holds, as Kubernetes names them."""


class RequestRecord:
    """One request, as the access log and the audit log have it."""

    __slots__ = (
        "allowed", "basis", "class_", "cluster", "code", "credential", "decision", "demand", "error", "impersonated", "meaning", "member", "reason",
        "recording", "started", "stream", "tap", "user", "via", "who",
    )  # fmt: skip

    def __init__(self, id_: str = "") -> None:
        self.started = time.perf_counter()
        self.stream = id_
        """The Audit-ID: it joins this line with the audit log, with the agent's log, and with the member's audit log."""
        self.user = ""
        self.via = ""
        """Of a request with a delegation: what a service carries on for the user."""
        self.allowed: bool | None = None
        """Whether the host let it pass; None if nothing was decided."""
        self.impersonated: tuple[str, tuple[str, ...]] | None = None
        """User and groups as the member sees them."""
        self.basis: tuple[Basis, ...] = ()
        """What allowed it; of what was refused, and of what everybody may, nothing."""
        self.code = ""
        """The status that the client saw, `gone` if it left, `cut` if its answer was broken off."""
        self.reason = ""
        """Why its answer was cut."""
        self.class_ = "host"
        self.member = b""
        """`/clusters/<name>` of a request that came for a member by its name in TLS: lines look the same for both ways."""
        self.cluster = ""
        """The member that it is for."""
        self.credential = ""
        """The name of the one that was shown."""
        self.who = ""
        """Who asks, from where, as records have it."""
        self.decision: AuditDecision | None = None
        """How much of it is recorded; None while nobody is known to ask."""
        self.meaning: Meaning | None = None
        self.tap: Tap | None = None
        self.demand: Demand | None = None
        """That its session is recorded, if it has a terminal."""
        self.recording: Recording | None = None
        self.error: StatusError | None = None
        """With which the front door refused it."""


def audit_id() -> str:
    """A random UUID (RFC 9562, 5.4), which is what an API server takes; uuid.uuid4 needs three times as long for it."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
