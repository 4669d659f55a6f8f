"""`skerry clusters` and its like: a command for each kind that declares one, and the styles of what it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from skerry.api.kinds import CLUSTER, CREDENTIAL, KINDS
from skerry.cli import listing
from skerry.cli.__main__ import main
from skerry.cli.commands.listings import LISTED
from skerry.cli.failure import Failure

Captured = pytest.CaptureFixture[str]
M1 = {"kind": "Cluster", "metadata": {"name": "m1"}}
TABLE = {
    "columnDefinitions": [{"name": "Name"}, {"name": "UID", "priority": 1}],
    "rows": [{"cells": ["m1", "u"]}],
    "items": [M1],
    "metadata": {"resourceVersion": "7"},
}


class Host:
    """Answers everything with one document, and notes what was asked."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer, self.asked = answer, list[str]()

    def get(self, path: str, *, accept: str = "application/json") -> dict[str, Any]:
        self.asked.append(path)
        return self.answer

    def watch(self, path: str, *, accept: str = "application/json") -> Iterator[dict[str, Any]]:
        self.asked.append(path)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("style", "printed"),
    [("", "NAME\nm1\n"), ("wide", "NAME   UID\nm1     u\n"), ("name", "cluster.skerry.dev/m1\n")],
)
def test_a_listing_has_a_style(style: str, printed: str, capsys: Captured) -> None:
    listing.show(lambda: Host(TABLE), CLUSTER, style)
    assert capsys.readouterr().out == printed


def test_as_a_document_it_is_the_list(capsys: Captured) -> None:
    listing.show(lambda: Host(TABLE), CLUSTER, "json")
    assert json.loads(capsys.readouterr().out) == TABLE


def test_one_object_is_asked_for_by_its_name(capsys: Captured) -> None:
    host = Host(M1)
    listing.show(lambda: host, CLUSTER, "name", name="m1")
    assert host.asked == ["/apis/skerry.dev/v1alpha1/clusters/m1"]
    assert capsys.readouterr().out == "cluster.skerry.dev/m1\n"


def test_labels_select(capsys: Captured) -> None:
    host = Host(TABLE)
    listing.show(lambda: host, CLUSTER, "name", selector="env=prod")
    assert host.asked == ["/apis/skerry.dev/v1alpha1/clusters?labelSelector=env%3Dprod"]


def test_a_watch_of_one_object_lists_and_follows_it_alone(capsys: Captured) -> None:
    host = Host(TABLE)
    with pytest.raises(KeyboardInterrupt):
        listing.show(lambda: host, CLUSTER, "", name="m1", watch=True)
    assert all("fieldSelector=metadata.name%3Dm1" in path for path in host.asked)
    assert "watch=1" in host.asked[1]


def test_when_there_are_none_it_says_how_to_make_one(capsys: Captured) -> None:
    listing.show(lambda: Host({"rows": []}), CREDENTIAL, "")
    assert capsys.readouterr().err.startswith("No credentials. Make one: ")


def test_a_style_is_looked_at_before_the_host_is() -> None:
    def nobody() -> Host:
        raise AssertionError("the host was asked")

    with pytest.raises(Failure, match="-o xml"):
        listing.show(nobody, CLUSTER, "xml")


def test_every_kind_has_its_command(capsys: Captured) -> None:
    assert list(LISTED) == [
        "clusters",
        "nats-credentials",
        "tokens",
        "credentials",
        "workspaces",
        "grants",
        "settings",
        "requests",
        "providers",
        "revocations",
        "sinks",
        "audit-policies",
    ]
    assert set(LISTED.values()) == {kind for kind in KINDS if kind.owner != "appstore"}  # skerry app lists those
    for command, kind in LISTED.items():
        assert main([command, "--help"]) == 0
        assert kind.listing is not None
        assert kind.listing.help.splitlines()[0] in " ".join(capsys.readouterr().out.split())
