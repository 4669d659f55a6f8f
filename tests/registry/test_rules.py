"""Rules of joining, pure: those that a real bus would refuse first, or that need another time."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry import clusters, joining
from services.registry.model import JOINED, Now
from skerry.api.messages import JoinRequest
from skerry.errors import BadRequest, Conflict
from skerry.identity import nkey
from skerry.identity.nkey import KeyType

KEY = nkey.create(KeyType.USER).public


def request(**changes: Any) -> JoinRequest:
    fields: dict[str, Any] = {
        "nkey": KEY,
        "name": "m1",
        "cluster_uid": "u1",
        "kubernetes_version": "v1.36.3",
        "agent_version": "0.1.0",
    }
    return JoinRequest(**(fields | changes))


@pytest.mark.parametrize(
    "change", [{"nkey": "rubbish"}, {"name": "*"}, {"name": ""}, {"cluster_uid": ""}, {"format": 2}]
)
def test_requests_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        joining.check_request(request(**change))


def test_a_half_made_member_can_be_finished_by_its_key() -> None:
    existing = clusters.member(request(), JOINED, Now(0, 0))
    joining.check_cluster(request(), existing, frozenset(), replica=False)
    joining.check_cluster(request(), existing, frozenset({KEY}), replica=False)


def test_a_member_that_is_being_removed_takes_nobody() -> None:
    existing = clusters.member(request(), JOINED, Now(0, 0))
    existing["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(Conflict, match="is being removed"):
        joining.check_cluster(request(), existing, frozenset(), replica=True)
