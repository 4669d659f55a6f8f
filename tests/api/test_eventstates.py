"""What events tell of an object before and after."""

from __future__ import annotations

from skerry.api.eventstates import ClusterState, ObjectState, cluster_state, state_of


def test_the_state_of_any_object_is_its_generation_readiness_and_phase() -> None:
    document = {
        "metadata": {"generation": 3, "deletionTimestamp": "2030-01-31T12:00:00Z"},
        "status": {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False", "reason": "Broken"}]},
    }
    assert state_of(document) == ObjectState(
        generation=3, ready="False", reason="Broken", phase="Failed", deleting=True
    )
    assert state_of({}) == ObjectState()


def test_a_cluster_tells_besides_how_it_is_connected_and_its_version() -> None:
    document = {"spec": {"connection": {"mode": "agent"}}, "status": {"kubernetesVersion": "v1.36.1"}}
    assert cluster_state(document) == ClusterState(mode="agent", kubernetes_version="v1.36.1")
