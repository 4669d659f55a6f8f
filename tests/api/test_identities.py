"""What is told of identity providers, and what their table shows."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.identities import ALGORITHMS, USUAL_ALGORITHMS
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.api.kinds.kind import Occurrence


def provider(status: str, reason: str, message: str = "so it is") -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"metadata": {"name": "corp", "generation": 1}, "status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (provider("Unknown", "NotAskedYet"), provider("True", "KeysFetched"), [("KeysFetched", False)]),
        (provider("True", "KeysFetched"), provider("False", "TLSFailed"), [("TLSFailed", True)]),
        (provider("False", "TLSFailed"), provider("False", "TLSFailed", "in other words"), []),
        (provider("True", "KeysFetched"), {"metadata": {"generation": 1}}, []),
        (provider("True", "KeysFetched"), {}, [("Deleted", False)]),
    ],
)
def test_events_say_when_a_provider_becomes_ready_and_why_not(
    old: dict[str, Any], new: dict[str, Any], told: list[tuple[str, bool]]
) -> None:
    assert IDENTITY_PROVIDER.events is not None
    occurrences: list[Occurrence] = list(IDENTITY_PROVIDER.events(old, new))
    assert [(each.reason, each.warning) for each in occurrences] == told


def test_no_algorithm_needs_a_shared_secret() -> None:
    assert set(USUAL_ALGORITHMS) < set(ALGORITHMS)
    assert not [each for each in ALGORITHMS if each.startswith("HS") or each.lower() == "none"]
