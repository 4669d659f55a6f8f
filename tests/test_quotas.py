"""What a namespace lets in, as the API server's admission would: quotas over all replicas, ranges for each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.demand import amounts
from skerry.quotas import LimitRange, PodSize, Refused, ResourceQuota, of_quota, of_range

CLAIMS = amounts({"data-0": "10Gi", "data-1": "10Gi"})


def pods(number: int = 2, priority: str = "") -> list[PodSize]:
    requests, limits = {"cpu": "100m", "memory": "128Mi"}, {"cpu": "500m", "memory": "256Mi"}
    return [PodSize("tower", number, amounts(requests), amounts(limits), priority)]


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> ResourceQuota:
    status = {} if used is None else {"hard": hard, "used": used}
    return msgspec.convert({"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": status}, ResourceQuota)


def refused(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> list[str]:
    return [each.message for each in of_quota(quota(hard, used, **spec), pods(), CLAIMS, "fast")]


@pytest.mark.parametrize("name", ["cpu", "requests.cpu"])
def test_all_replicas_count_together(name: str) -> None:
    assert refused({name: "200m"}) == []
    assert refused({name: "199m"}) == [f"{name}: 200m needed, 199m of 199m left"]
    assert refused({name: "1"}, {name: "900m"}) == [f"{name}: 200m needed, 100m of 1 left"]
    assert refused({name: "1"}, {name: "2"}) == [f"{name}: 200m needed, 0 of 1 left"]


@pytest.mark.parametrize(
    ("hard", "message"),
    [
        ({"limits.memory": "511Mi"}, "limits.memory: 512Mi needed, 511Mi of 511Mi left"),
        ({"requests.memory": "255Mi"}, "requests.memory: 256Mi needed, 255Mi of 255Mi left"),
        ({"pods": "1"}, "pods: 2 needed, 1 of 1 left"),
        ({"count/pods": "1"}, "count/pods: 2 needed, 1 of 1 left"),
        ({"persistentvolumeclaims": "1"}, "persistentvolumeclaims: 2 needed, 1 of 1 left"),
        ({"requests.storage": "19Gi"}, "requests.storage: 20Gi needed, 19Gi of 19Gi left"),
        ({"fast.storageclass.storage.k8s.io/requests.storage": "19Gi"},
         "fast.storageclass.storage.k8s.io/requests.storage: 20Gi needed, 19Gi of 19Gi left"),
    ],
)  # fmt: skip
def test_what_is_too_little_is_said_as_people_write_it(hard: dict[str, str], message: str) -> None:
    assert refused(hard) == [message]


def test_what_a_quota_does_not_know_or_we_do_not_ask_for_is_no_matter() -> None:
    assert refused({"requests.nvidia.com/gpu": "0", "slow.storageclass.storage.k8s.io/requests.storage": "0"}) == []
    assert of_quota(quota({"requests.storage": "0"}), pods(), {}) == []
    assert of_quota(quota({"fast.storageclass.storage.k8s.io/requests.storage": "0"}), [], CLAIMS) == []


def test_a_quota_is_judged_by_what_the_api_server_enforces() -> None:
    stale = msgspec.convert(
        {"spec": {"hard": {"pods": "9"}}, "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}}}, ResourceQuota
    )
    assert [each.message for each in of_quota(stale, pods(), {})] == ["pods: 2 needed, 0 of 1 left"]


@pytest.mark.parametrize(
    ("scopes", "counts"),
    [
        (["NotTerminating"], True),
        (["NotBestEffort"], True),
        (["NotTerminating", "NotBestEffort"], True),
        (["Terminating"], False),
        (["BestEffort"], False),
        (["CrossNamespacePodAffinity"], False),
        (["PriorityClass"], False),
        (["ScopeOfTomorrow"], False),
    ],
)
def test_scopes_choose_pods(scopes: list[str], counts: bool) -> None:
    assert bool(refused({"pods": "0"}, scopes=scopes)) is counts


@pytest.mark.parametrize(
    ("operator", "values", "priority", "counts"),
    [
        ("In", ["high"], "high", True),
        ("In", ["high"], "", False),
        ("NotIn", ["high"], "high", False),
        ("NotIn", ["high"], "", True),
        ("Exists", [], "high", True),
        ("Exists", [], "", False),
        ("DoesNotExist", [], "high", False),
        ("DoesNotExist", [], "", True),
    ],
)
def test_scopes_select_priorities(operator: str, values: list[str], priority: str, counts: bool) -> None:
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}
    assert bool(of_quota(quota({"pods": "0"}, scopeSelector=selector), pods(1, priority), {})) is counts


def test_volumes_have_no_scope() -> None:
    assert refused({"requests.storage": "0"}, scopes=["NotTerminating"]) == []


def limits(**item: Any) -> LimitRange:
    return msgspec.convert({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", **item}]}}, LimitRange)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"min": {"cpu": "200m"}}, "tower: requests 100m of cpu, at least 200m is asked for"),
        ({"max": {"memory": "200Mi"}}, "tower: limits memory to 256Mi, at most 200Mi is allowed"),
        (
            {"maxLimitRequestRatio": {"cpu": "4"}},
            "tower: limits cpu to 5 times its request, at most 4 times is allowed",
        ),
        ({"type": "Pod", "max": {"memory": "200Mi"}}, "tower: limits memory to 256Mi, at most 200Mi is allowed"),
    ],
)
def test_a_range_says_what_it_does_not_admit(item: dict[str, Any], message: str) -> None:
    assert of_range(limits(**item), pods()) == [Refused("LimitRange l", message)]


def test_a_range_admits_what_lies_in_it() -> None:
    item = {
        "min": {"cpu": "100m", "gpu": "1"},
        "max": {"cpu": "500m", "gpu": "1"},
        "maxLimitRequestRatio": {"cpu": "5", "gpu": "1"},
    }
    assert of_range(limits(**item), pods()) == []
    assert of_range(limits(type="PersistentVolumeClaim", max={"storage": "1"}), pods()) == []


def test_what_is_no_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        refused({"pods": "many"})
