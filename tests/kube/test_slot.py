"""Nothing of a run stays on the machine: neither after an orderly end nor after `kill -9` of the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube import pods, slot
from tests.kube.provider import OwnClusters, Provider

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

_CRASHING_RUN = """
import json, os, sys
from tests.kube import pods, provider, slot
clusters = provider.OwnClusters(lambda line: None, os.environ)
member = clusters.members(["crash"])["crash"]
member.run_pod(pods.busybox("left"))
print(member.kubeconfig.parent.parent, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def own_clusters(kube: Provider) -> OwnClusters:
    """A second provider, of which the test sees the end; skipped where clusters are given ones or have no nodes."""
    if not isinstance(kube, OwnClusters) or kube.without_nodes:
        pytest.skip("these clusters are not started here with nodes")
    return OwnClusters(lambda line: None, os.environ)


def test_an_orderly_end_leaves_nothing(own_clusters: OwnClusters) -> None:
    try:
        member = own_clusters.members(["short"])["short"]
        member.run_pod(pods.busybox("left"))
        held = slot.Slot(int(member.kubeconfig.parent.parent.name), member.kubeconfig.parent.parent)
        assert len(slot.leftovers(held)) > 10, "the test would not notice leftovers"
    finally:
        own_clusters.close()
    assert slot.leftovers(held) == []


def test_what_a_killed_run_left_is_removed_by_the_next_one(own_clusters: OwnClusters) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CRASHING_RUN],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        directory = Path(run.stdout.readline().strip())
        run.send_signal(signal.SIGKILL)
    stale = slot.Slot(int(directory.name), directory)
    assert any("containerd-shim" in line for line in slot.leftovers(stale))
    with slot.hold() as held:  # a slot before it may have become free meanwhile
        assert slot.leftovers(stale) == ([f"directory {directory}"] if held.number == stale.number else [])
    assert slot.leftovers(stale) == []


def test_a_slot_that_is_held_is_not_given_to_another() -> None:
    if os.geteuid() != 0:
        pytest.skip("slots are used by root only")
    with slot.hold() as first, slot.hold() as second:
        assert first.number != second.number
        assert first.directory.exists()
