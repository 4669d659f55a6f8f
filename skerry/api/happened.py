"""What is told besides changes of objects: events of the system and of members. Reasons are declared here, and documented from here."""

from __future__ import annotations

from skerry.api.messages import Message

SYSTEM, MEMBER = "system", "member"
"""Kinds of events about no object: of the host, and what a member's agent tells."""

SYSTEM_EVENTS = {
    "JoinRefused": "somebody asked to join and was refused; the message has the step and why",
    "AttackRefused": "a write that no proxy of this host signed was refused",
    "Flooded": "a member, or who joins, sends more than the host reads",
    "Quarantined": "a member that flooded is left alone for a while",
    "LimitReached": "a limit of the host was reached; the message says which",
    "Draining": "a process takes no new requests and finishes what runs",
    "KeyRotated": "a key of the host was replaced",
    "AuditGap": "records of the audit are missing",
    "AuditAnchor": "where the audit logs end that went on: a copy outside shows later that nothing was rewritten",
    "Lost": "events did not fit the queue of a process and are missing",
}
"""Reasons of events of the kind `system`, and what each means. The name of one is that of whom or what it is about."""
MEMBER_EVENTS = {
    "Started": "an agent of the member started",
    "Stopping": "an agent of the member stops",
}
"""Reasons of events of the kind `member`, which agents tell: the name is the member's."""
MEMBER_EVENT_BYTES = 1024
"""What an agent tells in one event has so many bytes at most."""


class MemberEvent(Message, frozen=True, kw_only=True):
    """An agent tells that something happened: `up.<m>.ev.<reason in lower case>`."""

    message: str = ""
    """For people, and the member's word."""


class Told(Message, frozen=True, kw_only=True):
    """It was taken."""
