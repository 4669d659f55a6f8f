"""client-go as controllers use it: informers that outlive a cut tunnel, leader election, executors, content types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clients.rig import Rig
from tests.clients.shore import Client, Shore, Started
from tests.kube import pods

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

ALLOW_CBOR = {"KUBE_FEATURE_ClientsAllowCBOR": "true", "KUBE_FEATURE_ClientsPreferCBOR": "true"}


@pytest.fixture(scope="module")
def clientgo(programs: Mapping[str, Path], rig: Rig) -> Client:
    """The program against the rig."""
    return Client(programs["clientgo"], rig.shore, (rig.shore.context,))


class TestInformer:
    def _start(self, clientgo: Client, *resource: str) -> Any:
        return clientgo.start("informer", "default", *(resource or ("", "v1", "configmaps")))

    def test_it_misses_nothing_while_the_tunnel_is_cut(self, clientgo: Client, rig: Rig) -> None:
        rig.change("create", "before")
        with self._start(clientgo) as informer:
            informer.until("synced")
            rig.change("create", "live")
            informer.until("add live")
            rig.cut_off()
            rig.change("create", "unseen")
            rig.change("delete", "before")
            rig.come_back()
            self._hears(informer, "add unseen", "delete before")

    def test_it_starts_again_from_a_version_that_has_expired(self, clientgo: Client, rig: Rig) -> None:
        """The resource is made anew meanwhile: its watch cache begins behind the version that the informer has."""
        rig.define_fishes("old")
        with self._start(clientgo, "sea.example", "v1", "fishes") as informer:
            informer.until("synced")
            rig.cut_off()
            rig.define_fishes("new")
            rig.come_back()
            self._hears(informer, "add new", "delete old")

    @staticmethod
    def _hears(informer: Started, *events: str) -> None:
        """All of these, each once, and no others; in any order, as a new list is compared in any order."""
        heard: list[str] = []
        while len(heard) < len(events):
            line = informer.line(60.0)
            if not line.startswith("error"):  # of the watch: what the client retries
                heard.append(line)
        assert sorted(heard) == sorted(events)


class TestLeaderElection:
    def test_the_lease_passes_on_when_its_holder_leaves(self, clientgo: Client) -> None:
        with self._start(clientgo, "lease", "a") as first:
            assert first.line() == "leading a"
            with self._start(clientgo, "lease", "b") as second:
                first.process.terminate()
                assert first.line() == "lost a"
                assert second.line() == "leading b"

    def test_who_is_cut_off_from_the_cluster_gives_up_in_time(self, clientgo: Client, rig: Rig) -> None:
        with self._start(clientgo, "cut", "a") as leader:
            assert leader.line() == "leading a"
            rig.cut_off()
            assert leader.line() == "lost a"
        rig.come_back()
        with self._start(clientgo, "cut", "b") as second:
            assert second.line() == "leading b"

    @staticmethod
    def _start(clientgo: Client, lease: str, identity: str) -> Any:
        return clientgo.start("elect", "default", lease, identity)


class TestContentTypes:
    def test_protobuf_both_ways(self, clientgo: Client) -> None:
        kind = "application/vnd.kubernetes.protobuf"
        said = clientgo.ok("content", kind, "default", "protobuf").splitlines()
        assert said[:3] == [
            f"POST 201 {kind} -> {kind}",
            f"GET 200 - -> {kind}",
            f"GET 200 - -> {kind};stream=watch",
        ]
        assert said[-1] == "deleted protobuf"

    def test_cbor_both_ways(self, clientgo: Client) -> None:
        said = clientgo.having(**ALLOW_CBOR).ok("content", "application/cbor", "default", "cbor").splitlines()
        assert said[:3] == [
            "POST 201 application/cbor -> application/cbor",
            "GET 200 - -> application/cbor",
            "GET 200 - -> application/cbor-seq",
        ]
        assert said[-1] == "deleted cbor"


@pytest.fixture(scope="module")
def gopher(programs: Mapping[str, Path], shore: Shore, one_kubectl: Client) -> Client:
    """The program against a member that runs pods, with a pod to run commands in."""
    one_kubectl.ok("apply", "-f", "-", stdin=json.dumps(pods.busybox("gopher")).encode())
    one_kubectl.ok("wait", "--for=condition=Ready", "pod/gopher", "--timeout=60s")
    return Client(programs["clientgo"], shore, (shore.context, "exec"))


@pytest.mark.node
@pytest.mark.parametrize("protocol", ["spdy", "websocket", "fallback"])
class TestExec:
    def test_input_output_and_exit_code(self, gopher: Client, protocol: str) -> None:
        script = "cat; echo err >&2; exit 9"
        done = gopher.run(protocol, "gopher", "sh", "-c", script, stdin=b"in\0out" * 50_000)
        assert (done.returncode, done.stdout, done.stderr) == (9, b"in\0out" * 50_000, b"err\n")

    def test_a_pod_that_is_not_there_is_an_error_with_the_servers_words(self, gopher: Client, protocol: str) -> None:
        done = gopher.run(protocol, "nobody", "true")
        assert done.returncode == 1
        assert b"not found" in done.stderr
