"""Rules of joining, pure: those that a real bus would refuse first, or that need another time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from services.registry import clusters, joining
from services.registry.model import JOINED, Now
from skerry.api.messages import JoinRequest
from skerry.errors import BadRequest, Conflict, Forbidden, Unauthorized
from skerry.identity import nkey
from skerry.identity.nkey import KeyType

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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


def token(**spec: Any) -> tuple[dict[str, Any], str]:
    found = joining.admit_token({"metadata": {}, "spec": {"clusterName": "m1", **spec}}, uuid.uuid4(), NOW)
    return found.document, joining.parse_jti(found.jti)[1]


def test_a_jti_finds_its_token_and_no_later_one_of_that_name() -> None:
    first, uid = token()
    second, _ = token()
    joining.check_token(first, uid, request(), NOW.timestamp())
    with pytest.raises(Unauthorized, match="does not know the join token"):
        joining.check_token(second, uid, request(), NOW.timestamp())


@pytest.mark.parametrize("jti", ["", "x", "_", "a.b_1", "*_1", "_1"])
def test_rubbish_is_no_jti(jti: str) -> None:
    assert joining.parse_jti(jti)[0] == ""


def test_the_last_second_counts() -> None:
    document, uid = token(ttl="1h")
    joining.check_token(document, uid, request(), NOW.timestamp() + 3599)
    with pytest.raises(Unauthorized, match="expired at 2026-01-01T01:00:00Z by the host's clock"):
        joining.check_token(document, uid, request(), NOW.timestamp() + 3600)


def test_a_bound_token_is_its_keys_alone() -> None:
    document, uid = token()
    bound = joining.bind_token(document, KEY)
    assert bound is not None
    joining.check_token(bound, uid, request(), NOW.timestamp())
    assert joining.bind_token(bound, KEY) is None
    with pytest.raises(Forbidden, match="used already"):
        joining.check_token(bound, uid, request(nkey="UOTHER"), NOW.timestamp())


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
