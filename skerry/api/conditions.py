"""Conditions that more than one room speaks of, and how one is read from a document. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

RIGHTS_COMPLETE = "RightsComplete"
"""Condition: whether what joining made and verified on the member is still there."""
RIGHTS_MISSING = "RightsMissing"
"""Reason of the conditions Ready and RightsComplete when something that serving needs was taken away on the member."""
DESIRED_APPLIED = "DesiredApplied"
"""Condition: whether what the host's services want on the member is in place there."""
REPAIRED = "Repaired"
"""Reason of RightsComplete when it was taken away and is there again."""


class Verdict(NamedTuple):
    """A condition without its times. `status` is "True", "False" or "Unknown"."""

    status: str
    reason: str
    message: str


def condition_of(document: dict[str, Any], name: str) -> Verdict:
    """A stored condition; Unknown, without a reason, if there is none."""
    for found in document.get("status", {}).get("conditions") or ():
        if found.get("type") == name:
            return Verdict(
                str(found.get("status", "Unknown")), str(found.get("reason", "")), str(found.get("message", ""))
            )
    return Verdict("Unknown", "", "")
