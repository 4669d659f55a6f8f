"""What Skerry asks of clusters: the contract of resources, and versions."""

from __future__ import annotations

import pytest

from skerry import requirements
from skerry.api.quantity import quantity


def nano(**texts: str) -> dict[str, int]:
    return {name: quantity(text).nano for name, text in texts.items()}


@pytest.mark.parametrize(
    ("name", "replicas", "memory", "most"),
    [("agent", 1, "128Mi", "256Mi"), ("tower", 1, "128Mi", "256Mi"), ("controller-manager", 2, "64Mi", "512Mi")],
)
def test_the_table_is_the_contract(name: str, replicas: int, memory: str, most: str) -> None:
    workload = requirements.workload(name)
    assert workload.replicas == replicas
    assert workload.requests == nano(cpu="100m", memory=memory, pods="1")
    assert workload.limits == nano(cpu="500m", memory=most)


def test_the_bus_has_a_row_of_its_own() -> None:
    bus = requirements.workload("nats-server")
    assert bus.requests == nano(cpu="100m", memory="128Mi", pods="1")
    assert bus.limits == nano(cpu="1", memory="1Gi")


def test_where_each_workload_runs() -> None:
    assert {row.name: row.where for row in requirements.rows()} == {
        "controller-manager": "host",
        "tower": "host",
        "nats-server": "host",
        "agent": "agent member",
    }


def test_other_workloads_are_a_bug() -> None:
    with pytest.raises(KeyError):
        requirements.workload("kubernetes")


@pytest.mark.parametrize(
    ("version", "fit"),
    [("v1.31.0", ""), ("v1.36.3+k3s1", ""), ("v1.30.14", "old"), ("v0.99", "old"), ("v2.0.0", ""), ("", "unknown")],
)
def test_kubernetes_is_tested_from_the_oldest_on(version: str, fit: str) -> None:
    assert requirements.kubernetes_fit(version) == fit


@pytest.mark.parametrize(
    ("agent", "fit"),
    [
        ("1.3.9", ""),
        ("1.2.9", "old"),
        ("1.6.0", ""),
        ("1.7.0", "new"),
        ("0.9", "old"),
        ("2.0", "new"),
        ("x", "unknown"),
    ],
)
def test_an_agent_is_two_minors_behind_to_one_ahead(agent: str, fit: str) -> None:
    assert requirements.agent_fit(agent, "1.5.2") == fit


def test_a_host_that_does_not_say_is_unknown() -> None:
    assert requirements.agent_fit("1.0", "") == "unknown"
