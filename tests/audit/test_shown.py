"""What of URIs, commands and bodies is recorded."""

from __future__ import annotations

import json

import pytest

from skerry.audit import shown
from skerry.audit.meaning import meaning_of
from skerry.httpwire.requestinfo import RequestInfo

TOKEN = "skerry_" + "a" * 43


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        (b"/api/v1/pods?limit=5&watch=1", "/api/v1/pods?limit=5&watch=1"),
        (b"/x?command=rm&container=c&token=s3cret&&flag", "/x?command=&container=c&token=&flag"),
        (b"/x?", "/x?"),
        (f"/x/{TOKEN}?fieldSelector={TOKEN}".encode(), "/x/[secret]?fieldSelector=[secret]"),
        (b"/" + b"a" * 5000, "/" + "a" * (shown.URI - 1)),
    ],
)
def test_a_query_keeps_its_names_and_the_values_that_say_how(target: bytes, uri: str) -> None:
    assert shown.uri(target) == uri


@pytest.mark.parametrize(
    "secret",
    [TOKEN, "skerry-join-" + "b" * 40, "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.sig", "SUAI" + "A" * 54],
)
def test_what_looks_like_a_secret_of_ours_is_not_shown(secret: str) -> None:
    assert secret not in shown.clean(f"x {secret} y")
    assert secret.encode() not in shown.command(*_exec(f"command=login&command={secret}"))


def _exec(query: str) -> tuple[RequestInfo, bytes]:
    meaning = meaning_of(b"POST", f"/api/v1/namespaces/a/pods/p/exec?{query}".encode())
    return meaning.info, meaning.query


def test_a_command_is_told_as_the_options_of_kubernetes() -> None:
    options = json.loads(
        shown.command(*_exec("command=sh&command=-c&command=ls%20%2F&stdin=true&tty=1&container=web&stdout=0"))
    )
    assert options == {
        "kind": "PodExecOptions",
        "apiVersion": "v1",
        "stdin": True,
        "tty": True,
        "container": "web",
        "command": ["sh", "-c", "ls /"],
    }


def test_ports_are_told_and_a_long_command_is_cut() -> None:
    meaning = meaning_of(b"GET", b"/api/v1/namespaces/a/pods/p/portforward?ports=80&ports=443")
    options = json.loads(shown.command(meaning.info, meaning.query))
    assert options == {"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": ["80", "443"]}
    long = json.loads(shown.command(*_exec("&".join(["command=" + "x" * 9000] * 5))))["command"]
    assert [len(word) for word in long] == [9000, shown.ARGUMENTS - 9000, 1]


APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def test_of_a_body_what_others_copied_into_it_is_left_out() -> None:
    item = {
        "metadata": {"name": "p", "managedFields": [{}], "annotations": {APPLIED: "s3cret", "a": "b"}},
        "spec": {"x": 1},
    }
    pruned = {"metadata": {"name": "p", "annotations": {"a": "b"}}, "spec": {"x": 1}}
    assert json.loads(shown.body(json.dumps(item).encode(), "application/json", whole=True).json) == pruned
    many = shown.body(
        json.dumps({"items": [item, 7]}).encode(), "application/merge-patch+json; charset=utf-8", whole=True
    )
    assert json.loads(many.json) == {"items": [pruned, 7]}
    assert shown.body(b'[{"op":"add"}]', "application/json-patch+json", whole=True).json == b'[{"op":"add"}]'


@pytest.mark.parametrize(
    ("data", "media", "whole", "omitted"),
    [
        (b"", "", True, ""),
        (b"k8s\x00", "application/vnd.kubernetes.protobuf", True, "not JSON: application/vnd.kubernetes.protobuf"),
        (b"{", "application/json", True, "not JSON"),
        (b"[" * 100_000, "application/json", True, "not JSON"),
        (b"", "application/json", False, "too large"),
    ],
)
def test_a_body_that_is_not_recorded_says_why(data: bytes, media: str, whole: bool, omitted: str) -> None:
    assert shown.body(data, media, whole=whole) == shown.Body(b"", omitted)
