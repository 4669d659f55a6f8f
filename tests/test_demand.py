"""What pods ask for, beside k8s.io/component-helpers 0.36: pods.json was written by its resource.PodRequests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.api.quantity import NANO
from skerry.demand import Pod, amounts, of_pod, placed, written

# [pod, what it asks for]
CASES = json.loads((Path(__file__).parent / "pods.json").read_text())


def pod(spec: dict[str, Any], **status: Any) -> Pod:
    """A pod with one container that asks for one CPU, changed by `spec`."""
    whole = {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}], **spec}
    return msgspec.json.decode(json.dumps({"spec": whole, "status": status}), type=Pod)


def asked(one: Pod) -> dict[str, str]:
    """What it asks for besides being one pod."""
    return {name: written(name, nano) for name, nano in of_pod(one).items() if name != "pods"}


@pytest.mark.parametrize(("document", "requests"), CASES)
def test_it_is_what_the_scheduler_counts(document: dict[str, Any], requests: dict[str, str]) -> None:
    found = of_pod(msgspec.json.decode(json.dumps(document), type=Pod))
    assert found == {**amounts(requests), "pods": NANO}


def test_missing_requests_are_the_limits() -> None:
    container = {"name": "a", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}}
    assert asked(pod({"containers": [container]})) == {"cpu": "1", "memory": "1Gi"}


def test_limits_of_the_pod_stand_for_what_no_container_asks_for() -> None:
    assert asked(pod({"resources": {"limits": {"cpu": "4", "memory": "1Gi"}}})) == {"cpu": "1", "memory": "1Gi"}


def test_huge_pages_are_their_limit() -> None:
    container = {"name": "a", "resources": {"requests": {"hugepages-2Mi": "2Mi"}}}
    limited = {"containers": [container], "resources": {"limits": {"hugepages-2Mi": "8Mi"}}}
    assert asked(pod(limited)) == {"hugepages-2Mi": "8Mi"}


def test_pods_that_wait_or_are_over_take_no_room() -> None:
    waits, over, failed = pod({}), pod({"nodeName": "n"}, phase="Succeeded"), pod({"nodeName": "n"}, phase="Failed")
    runs, starts = pod({"nodeName": "n"}, phase="Running"), pod({"nodeName": "n"}, phase="Pending")
    assert placed([waits, over, failed, runs, starts]) == {"cpu": 2 * NANO, "pods": 2 * NANO}


def test_a_pod_without_anything_is_a_pod() -> None:
    assert of_pod(msgspec.json.decode(b'{"spec": {"containers": null}}', type=Pod)) == {"pods": NANO}


def test_what_is_no_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="'much' is not an amount"):
        of_pod(pod({"overhead": {"cpu": "much"}}))


@pytest.mark.parametrize(
    ("resource", "nano", "text"),
    [("cpu", NANO // 4, "250m"), ("memory", 2**30 * NANO, "1Gi"), ("nvidia.com/gpu", 2 * NANO, "2"), ("pods", 110 * NANO, "110")],
)  # fmt: skip
def test_amounts_are_written_as_people_write_them(resource: str, nano: int, text: str) -> None:
    assert written(resource, nano) == text
