"""What would be installed, by the values of the charts."""

from __future__ import annotations

from typing import Any

import pytest

from skerry import requirements
from skerry.demand import amounts
from skerry.installation import Installation, ValuesError, installation


def named(wanted: Installation, name: str) -> Any:
    return next(each for each in wanted.workloads if each.name == name)


def test_without_values_it_is_the_table() -> None:
    host = installation("host", {})
    assert [(each.name, each.replicas) for each in host.workloads] == [
        ("skerry-controller-manager", 2),
        ("skerry-tower", 1),
        ("skerry-nats", 1),
    ]
    tower, row = named(host, "skerry-tower"), requirements.workload("tower")
    assert (tower.requests, tower.limits) == (row.requests, row.limits)
    assert (tower.wanted.wanted, tower.wanted.requests, tower.wanted.labels) == (1, row.requests, tower.labels)
    assert host.claims == amounts({"data-skerry-nats-0": "10Gi"})
    agent = installation("agent", {})
    assert [(each.name, each.replicas) for each in agent.workloads] == [("skerry-agent", 1)]
    assert installation("direct", {"replicas": 3}) == Installation("direct", [], {})


def test_values_are_put_over_it() -> None:
    values = {
        "image": {"tag": "x"},
        "tower": {"replicas": 3, "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}, "priorityClassName": "high"},
        "bus": {"persistence": {"size": "1Gi", "storageClass": "fast"}},
    }  # fmt: skip
    host = installation("host", values)
    tower = named(host, "skerry-tower")
    assert tower.replicas == 3
    assert tower.size.requests == amounts({"cpu": "1", "memory": "128Mi"})
    assert tower.size.limits == amounts({"cpu": "500m", "memory": "1Gi"})
    assert tower.size.priority_class == "high"
    assert (host.claims, host.storage_class) == (amounts({"data-skerry-nats-0": "1Gi"}), "fast")


def test_a_bus_of_others_takes_no_room() -> None:
    host = installation("host", {"bus": {"mode": "external"}})
    assert [each.name for each in host.workloads] == ["skerry-controller-manager", "skerry-tower"]
    assert host.claims == {}


def test_a_service_of_its_own_is_as_large_as_the_controller_manager() -> None:
    host = installation("host", {"standalone": ["appstore", "appstore"], "controllerManager": {"replicas": 3}})
    assert [each.name for each in host.workloads][:2] == ["skerry-controller-manager", "skerry-appstore"]
    manager, service = host.workloads[:2]
    assert service == manager._replace(name="skerry-appstore")
    assert service.labels["app.kubernetes.io/name"] == "skerry-appstore"


def test_a_bus_without_volumes_claims_none() -> None:
    host = installation("host", {"bus": {"persistence": {"enabled": False, "storageClass": "fast"}}})
    assert (host.claims, host.storage_class) == ({}, "")


def test_servers_have_hosts_of_their_own_unless_values_say_otherwise() -> None:
    servers = named(installation("host", {"bus": {"replicas": 3}}), "skerry-nats")
    [spread] = servers.rules.topology_spread_constraints
    assert (spread.topology_key, spread.max_skew, spread.hard) == ("kubernetes.io/hostname", 1, True)
    assert named(installation("host", {}), "skerry-nats").rules.topology_spread_constraints == []
    soft = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    servers = named(installation("host", {"bus": {"replicas": 3, "topologySpreadConstraints": [soft]}}), "skerry-nats")
    assert [each.topology_key for each in servers.rules.topology_spread_constraints] == ["zone"]


def test_a_pod_has_what_admission_looks_at() -> None:
    values = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "priorityClassName": "high",
    }
    pod = installation("agent", values).workloads[0].pod("skerry-system")
    assert pod["metadata"]["namespace"] == "skerry-system"
    assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "skerry"
    spec = pod["spec"]
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"disk": "ssd"}, "high")
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "128Mi"}
    assert "priorityClassName" not in installation("agent", {}).workloads[0].pod("x")["spec"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tower": {"replicas": "ten"}}, "values.tower.replicas: Expected `int | null`, got `str`"),
        ({"tower": {"replicas": 21}}, "values.tower.replicas: 21, 0 to 20 are possible"),
        ({"tower": {"replicas": -1}}, "values.tower.replicas: -1, 0 to 20 are possible"),
        ({"tower": []}, "values.tower: Expected `object`, got `array`"),
        ({"bus": {"mode": "both"}}, "values.bus.mode: Invalid enum value 'both'"),
        ({"bus": {"resources": {"limits": {"cpu": "much"}}}},
         "values.bus.resources.limits: 'much' is not an amount: write it as 100m, 2 or 1.5Gi"),
        ({"bus": {"resources": {"limits": {"cpu": "-1"}}}}, "values.bus.resources.limits.cpu: an amount below nothing"),
        ({"bus": {"persistence": {"size": "big"}}},
         "values.bus.persistence: 'big' is not an amount: write it as 100m, 2 or 1.5Gi"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_read_are_named_by_their_path(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValuesError) as raised:
        installation("host", values)
    assert str(raised.value) == message
