"""Clients of the Kubernetes world against the host's own API: informers, controllers, and how GitOps tools apply.

Each is the library that the real tool is made of, with the calls that it makes (go/gitops.go says which).
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.plan import read_status
from tests.clients_hostapi.conftest import Running, Start
from tests.e2e.federation import Host, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def manifest(name: str, title: str, **labels: str) -> bytes:
    """A Workspace as kubectl takes it."""
    metadata = {"name": name, "labels": labels}
    spec = {"displayName": title}
    return json.dumps(
        {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": metadata, "spec": spec}
    ).encode()


def apply(host: Host, name: str, title: str, **labels: str) -> None:
    """kubectl apply."""
    host.kubectl(None, "apply", "-f", "-", stdin=manifest(name, title, **labels))


def listed(host: Host) -> tuple[int, dict[str, str]]:
    """(resourceVersion, name -> resourceVersion) of all workspaces."""
    found: dict[str, Any] = json.loads(host.kubectl(None, "get", "--raw", "/apis/skerry.dev/v1alpha1/workspaces"))
    return int(found["metadata"]["resourceVersion"]), {
        o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in found["items"]
    }


def test_a_client_go_informer_sees_every_change(host: Host, clients: Start) -> None:
    apply(host, "informed", "first")
    with clients("informer") as informer:
        informer.until(event="add", name="informed")
        informer.until(event="synced")
        apply(host, "informed", "second")
        informer.until(event="update", name="informed")
        host.kubectl(None, "delete", "workspace", "informed")
        informer.until(event="delete", name="informed")
        informer.ask("store")
        assert informer.until(event="store")["items"] == listed(host)[1]


def test_a_tenants_client_go_informer_has_what_is_the_tenants_own_and_follows_it(host: Host, clients: Start) -> None:
    """Others change and go beside it, and it never hears of them; what somebody is let into comes, and goes with their leave."""

    def people(name: str, *members: str) -> None:
        listed = [{"kind": "User", "name": each, "role": "view"} for each in members]
        host.kubectl(None, "patch", "workspace", name, "--type=merge", "-p", json.dumps({"spec": {"members": listed}}))

    for name in ("bobs", "anns"):
        apply(host, name, "first")
    people("bobs", "bob", "ann")
    people("anns", "ann")
    with clients("informer", host.credential("bob")) as bob, clients("informer", host.credential("ann")) as ann:
        assert {bob.until(event="add")["name"], bob.until(event="synced")["event"]} == {"bobs", "synced"}
        assert {ann.until(event="add")["name"] for _ in range(2)} == {"anns", "bobs"}
        ann.until(event="synced")
        apply(host, "anns", "second")
        people("anns", "ann", "bob")
        while (heard := bob.next())["name"] != "anns":
            assert heard["event"] == "update"
        assert heard["event"] == "add", "nothing of it was heard before"
        people("anns", "ann")
        bob.until(event="delete", name="anns")
        host.kubectl(None, "delete", "workspace", "anns")
        people("bobs", "ann")
        assert bob.until(event="delete")["name"] == "bobs"
        ann.until(event="delete", name="anns")
        for running, names in ((bob, set()), (ann, {"bobs"})):
            running.ask("store")
            assert running.until(event="store")["items"].keys() == names
    host.kubectl(None, "delete", "workspace", "bobs")


def test_a_client_go_informer_goes_on_after_its_front_door_was_killed(host: Host, clients: Start) -> None:
    apply(host, "survivor", "first")
    with clients("informer") as informer:
        informer.until(event="synced")
        status = read_status(host.state / "host")
        assert status is not None
        pid = next(process.pid for process in status.processes if process.name == "tower")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: host.status()["ready"] and pid not in _pids(host), "the host is ready again", 60)
        apply(host, "survivor", "second")
        apply(host, "afterwards", "new")
        informer.until(event="add", name="afterwards")
        informer.ask("store")
        assert informer.until(event="store")["items"] == listed(host)[1]


def _pids(host: Host) -> set[int]:
    return {process["pid"] for process in host.status()["processes"]}


def test_a_client_go_informer_resumes_after_a_restore(host: Host, clients: Start, tmp_path: Path) -> None:
    file = tmp_path / "skerry.backup"
    apply(host, "kept", "before")
    apply(host, "removed", "before")
    with clients("informer") as informer:
        informer.until(event="synced")
        host.ok("backup", str(file))
        host.kubectl(None, "delete", "workspace", "removed")
        informer.until(event="delete", name="removed")
        apply(host, "later", "after")
        informer.until(event="add", name="later")
        before, _ = listed(host)
        host.ok("down")
        host.ok("restore", str(file))
        host.up()
        after, items = listed(host)
        assert after > before
        assert min(map(int, items.values())) > before
        told = agreed(informer, items)
        assert int(told["last"]) > before


def agreed(informer: Running, items: dict[str, str]) -> dict[str, Any]:
    """Its store, once it is as it should be: every event makes it look again."""
    while True:
        informer.ask("store")
        told = informer.until(event="store")
        if told["items"] == items:
            return told
        informer.next()


def test_controller_runtimes_cache_holds_what_it_selects(host: Host, clients: Start) -> None:
    with clients("cache") as cache:
        cache.until(event="synced")
        apply(host, "cached", "shown", cached="yes")
        apply(host, "other", "shown")
        cache.until(event="add", name="cached")
        cache.ask("shown")
        assert cache.until(event="list")["names"] == ["cached"]
        host.kubectl(None, "label", "workspace", "cached", "cached-")
        cache.until(event="delete", name="cached")
        cache.ask("shown")
        assert cache.until(event="list")["names"] == []
        host.kubectl(None, "label", "workspace", "other", "cached=yes")
        cache.until(event="add", name="other")


def test_argo_cds_way_of_applying(clients: Start) -> None:
    with clients("argo") as argo:
        assert argo.next()["managers"]["argocd-controller"] == "Apply"


def test_fluxs_way_of_applying(clients: Start) -> None:
    with clients("flux") as flux:
        assert flux.next() == {"event": "synced", "pruned": 2}
