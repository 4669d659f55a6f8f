"""skerry app uninstall: what it waits for and what it prints; a stand-in for the host's front door answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skerry.cli.__main__ import main
from skerry.cli.commands.app import departing, releases
from skerry.errors import NotFound

Captured = pytest.CaptureFixture[str]
LINE = "kubectl -n shop delete persistentvolumeclaim -l app=db"
STAYS = [{"object": "volumes", "because": "volumes are kept", "command": LINE}]


def instance(cluster: str, version: str, phase: str = "Uninstalling", **status: Any) -> dict[str, Any]:
    metadata = {"name": f"web.{cluster}", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"cluster": cluster}, "status": {"phase": phase, **status}}


class Host:
    """A host with release `web`; `watches` are the events of one watch after the other."""

    def __init__(self) -> None:
        self.listed = [instance("m1", "5", "Deployed"), instance("m2", "6", "Deployed")]
        self.watches: list[list[tuple[str, dict[str, Any]]]] = []
        self.watched: list[dict[str, list[str]]] = []
        self.ends: list[dict[str, Any]] = []
        """Events of each watch of the release itself."""
        self.followed: list[dict[str, list[str]]] = []
        self.asked: list[Any] = []
        self.looks = 2
        """At the release, until it is gone."""

    def get(self, path: str) -> dict[str, Any]:
        if "appinstances" in path:
            return {"metadata": {"resourceVersion": "7"}, "items": self.listed}
        self.looks -= 1
        if self.looks < 0:
            raise NotFound("web not found")
        return {"metadata": {"resourceVersion": "20"}}

    def delete(self, path: str) -> dict[str, Any]:
        self.asked.append(path.rpartition("/")[2])
        return {}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(path.split("/", 6)[-1])
        return {}

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        return {}

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        if "appreleases" in path:
            self.followed.append(parse_qs(urlsplit(path).query))
            yield from self.ends
            return
        self.watched.append(parse_qs(urlsplit(path).query))
        for kind, document in self.watches.pop(0) if self.watches else []:
            yield {"type": kind, "object": document}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(releases, "connect", lambda kubeconfig, context: found)
    monkeypatch.setattr(departing, "RETRY_S", 0.01)
    return found


def test_what_was_said_for_a_moment_only_is_printed_once_with_its_clusters(host: Host, capsys: Captured) -> None:
    host.watches = [
        [("MODIFIED", instance("m1", "8", stays=STAYS)), ("MODIFIED", instance("m2", "9"))],
        [("DELETED", instance("m1", "10", stays=STAYS)), ("DELETED", instance("m2", "11", stays=STAYS))],
    ]
    assert main(["app", "uninstall", "web"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [LINE]
    assert "stays on m1, m2: volumes are kept" in said.err
    assert host.asked == ["web"]
    since = [each["resourceVersion"] for each in host.watched]
    assert since == [["7"], ["9"]], "what is said between the listing and the first watch is in it"
    assert all(each["fieldSelector"] == ["spec.release=web"] for each in host.watched)


def test_a_host_that_forgot_what_was_is_asked_what_is(host: Host) -> None:
    host.watches = [[("ERROR", {"code": 410})], [("DELETED", instance(each, "9")) for each in ("m1", "m2")]]
    assert main(["app", "uninstall", "web"]) == 0
    assert len(host.watched) == 2


def test_what_is_not_gone_in_time_is_named(host: Host, capsys: Captured) -> None:
    host.watches = [[("DELETED", instance("m1", "8"))]]
    assert main(["app", "uninstall", "web", "--wait", "1s"]) == 5
    said = capsys.readouterr().err
    assert "not gone yet from m2 (Deployed)" in said
    assert "--forget" in said
    assert main(["app", "uninstall", "web", "--wait", "0s"]) == 5
    assert "m1 (Deployed), m2 (Deployed)" in capsys.readouterr().err


def test_a_release_that_is_on_no_cluster_is_waited_for_itself(host: Host, capsys: Captured) -> None:
    host.listed = []
    assert main(["app", "uninstall", "web"]) == 0
    assert host.looks < 0
    host.looks = 10**6
    assert main(["app", "uninstall", "web", "--wait", "1s"]) == 5
    assert "not gone yet from the host" in capsys.readouterr().err
    assert not host.watched


def test_the_end_of_the_release_is_told_by_a_watch(host: Host) -> None:
    host.listed, host.looks = [], 10**6
    host.ends = [{"type": "MODIFIED", "object": {}}, {"type": "DELETED", "object": {}}]
    assert main(["app", "uninstall", "web"]) == 0
    (asked,) = host.followed
    assert (asked["resourceVersion"], asked["fieldSelector"]) == (["20"], ["metadata.name=web"])


def test_a_host_that_forgot_what_was_is_asked_for_the_release_again(host: Host) -> None:
    host.listed = []
    host.ends = [{"type": "ERROR", "object": {"code": 410}}]
    assert main(["app", "uninstall", "web"]) == 0
    assert len(host.followed) == 2


def test_what_is_left_or_forgotten_is_said_to_the_host(host: Host) -> None:
    host.watches = [[("DELETED", instance(each, "9")) for each in ("m1", "m2")]]
    assert main(["app", "uninstall", "web", "--orphan", "--forget", "m2"]) == 0
    assert host.asked == [
        {"spec": {"deletion": "Orphan"}},
        "web",
        "appinstances/web.m2/forget",
    ]
