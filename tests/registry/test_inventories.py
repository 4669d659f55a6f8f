"""What of an inventory a Cluster says, and when it is written."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.inventories import with_inventory
from skerry.api.messages import Inventory
from skerry.api.v1alpha1 import APIVersions, Platform

ROOM = {"cpu": "10", "memory": "10000Mi", "pods": "1000"}
THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def inventory(**changes: Any) -> Inventory:
    fields: dict[str, Any] = {
        "platform": Platform(provider="aws", region="eu-central-1", source="nodes"),
        "nodes": 3,
        "nodes_ready": 3,
        "capacity": ROOM,
        "allocatable": ROOM,
        "requested": {"cpu": "5", "memory": "5000Mi", "pods": "100"},
        "used": {"cpu": "2", "memory": "2000Mi"},
        "api_versions": APIVersions(count=64, digest="0" * 16, extra=["example.com/v1"]),
    }
    return Inventory(**(fields | changes))


def cluster(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "m"}, "spec": spec, "status": {"uid": "u"}}


def after(**changes: Any) -> dict[str, Any]:
    """A Cluster that knew `inventory()` and is told another one."""
    return with_inventory(with_inventory(cluster(), inventory(), THEN), inventory(**changes), NOW)


def test_all_of_it_stands_in_the_status() -> None:
    status = with_inventory(cluster(), inventory(), THEN)["status"]
    assert status == {
        "uid": "u",
        "platform": {"provider": "aws", "region": "eu-central-1", "source": "nodes"},
        "nodes": 3,
        "nodesReady": 3,
        "capacity": ROOM,
        "allocatable": ROOM,
        "requested": {"cpu": "5", "memory": "5000Mi", "pods": "100"},
        "used": {"cpu": "2", "memory": "2000Mi"},
        "apiVersions": {"count": 64, "digest": "0" * 16, "extra": ["example.com/v1"]},
        "observed": THEN,
    }


def test_a_look_that_finds_the_same_writes_nothing() -> None:
    stored = with_inventory(cluster(), inventory(), THEN)
    assert with_inventory(stored, inventory(), NOW) is stored


@pytest.mark.parametrize(
    ("field", "less", "more"),
    [
        ("requested", {"cpu": "5100m", "memory": "5100Mi", "pods": "110"}, {"cpu": "5101m", "memory": "5000Mi", "pods": "100"}),
        ("requested", {"cpu": "4900m", "memory": "4900Mi", "pods": "90"}, {"cpu": "5", "memory": "4899Mi", "pods": "100"}),
        ("used", {"cpu": "2500m", "memory": "2500Mi"}, {"cpu": "2", "memory": "2501Mi"}),
    ],
)  # fmt: skip
def test_what_moved_little_did_not_move(field: str, less: dict[str, str], more: dict[str, str]) -> None:
    """1 % of what is allocatable for requests, 5 % for use."""
    assert after(**{field: less})["status"]["observed"] == THEN
    moved = after(**{field: more})["status"]
    assert (moved[field], moved["observed"]) == (more, NOW)


def test_many_small_steps_are_a_move() -> None:
    document = with_inventory(cluster(), inventory(), THEN)
    for milli in (5040, 5080, 5101):
        document = with_inventory(
            document, inventory(requested={"cpu": f"{milli}m", "memory": "5000Mi", "pods": "100"}), NOW
        )
    assert document["status"]["requested"]["cpu"] == "5101m"


def test_a_resource_that_is_new_or_gone_is_a_move() -> None:
    requested = {"cpu": "5", "memory": "5000Mi", "pods": "100", "nvidia.com/gpu": "1"}
    assert after(requested=requested)["status"]["requested"] == requested
    assert after(used={"cpu": "2"})["status"]["used"] == {"cpu": "2"}


def test_what_is_allocatable_is_as_it_is() -> None:
    status = after(nodes_ready=2)["status"]
    assert (status["nodesReady"], status["observed"]) == (2, NOW)


def test_what_may_not_be_read_any_more_is_not_there() -> None:
    status = after(used=None, requested=None, nodes=None)["status"]
    assert {"used", "requested", "nodes"}.isdisjoint(status)
    assert status["capacity"] == ROOM


def test_what_people_say_of_provider_and_region_wins() -> None:
    platform = with_inventory(cluster(provider="cellar"), inventory(), NOW)["status"]["platform"]
    assert platform == {"provider": "cellar", "region": "eu-central-1", "source": "spec"}
    assert "platform" not in with_inventory(cluster(), inventory(platform=Platform()), NOW)["status"]


def test_an_amount_that_cannot_be_read_any_more_is_written_anew() -> None:
    stored = with_inventory(cluster(), inventory(), THEN)
    stored["status"]["used"] = {"cpu": "?", "memory": "2000Mi"}
    assert with_inventory(stored, inventory(), NOW)["status"]["used"] == {"cpu": "2", "memory": "2000Mi"}


def test_what_a_newer_registry_keeps_there_stays() -> None:
    stored = with_inventory(cluster(), inventory(), THEN)
    stored["status"]["platform"]["zones"] = 3
    assert with_inventory(stored, inventory(), NOW) == stored
    assert with_inventory(stored, inventory(nodes=4), NOW)["status"]["platform"]["zones"] == 3
