"""skerry explain access: what it asks, and how it tells the answer; a stand-in for the host's front door answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skerry.cli import api
from skerry.cli.__main__ import main
from skerry.cli.commands import explain
from skerry.errors import NotFound

Captured = pytest.CaptureFixture[str]
DENIED: dict[str, Any] = {
    "allowed": False,
    "identity": {
        "user": "alice",
        "groups": ["org:shop"],
        "source": "IdentityProvider",
        "provider": "corp",
        "expires": "2030-01-01T14:02:00Z",
    },
    "basis": [{"kind": "AccessGrant", "name": "shop-view", "gives": "view in namespace shop"}],
    "member": {
        "asked": True,
        "allowed": False,
        "reason": "delete on pods needs edit",
        "binding": "shop/skerry:view",
        "state": "Enforced",
    },
    "ceiling": {},
    "missing": "edit in namespace shop",
    "canGrant": ["bob", "admin"],
    "next": "skerry request create edit --cluster m1 -n shop --reason …",
}
ALLOWED: dict[str, Any] = {
    "allowed": True,
    "identity": {"user": "vera", "groups": [], "source": "Asked", "provider": "", "expires": ""},
    "basis": [],
    "member": {
        "asked": False,
        "allowed": False,
        "reason": "not asked, away",
        "binding": "skerry:view",
        "state": "Away",
    },
    "ceiling": {"readOnly": True, "namespaces": ["shop"]},
    "missing": "",
    "canGrant": [],
    "next": "",
}
CORE = [
    {"resource": "pods", "singularResource": "pod", "shortNames": ["po"]},
    {"resource": "events", "singularResource": "event", "shortNames": ["ev"]},
]
APPS = [{"resource": "deployments", "singularResource": "deployment", "shortNames": ["deploy"]}]


def group(name: str, resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "versions": [{"version": "v1", "resources": resources}]}


class Host:
    """Notes what is posted, and serves the discovery of m1."""

    def __init__(self) -> None:
        self.posted: dict[str, Any] = {}
        self.status = DENIED

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == api.path_of("accessexplanations")
        assert (body["apiVersion"], body["kind"]) == ("skerry.dev/v1alpha1", "AccessExplanation")
        self.posted = body["spec"]
        return {**body, "status": self.status}

    def get(self, path: str, *, accept: str) -> dict[str, Any]:
        if path == "/clusters/m1/api":
            return {"items": [{"versions": [{"resources": CORE}]}]}
        if path == "/clusters/m1/apis":
            return {"items": [group("apps", APPS), group("events.k8s.io", CORE[1:]), group("empty.example", [])]}
        raise NotFound("no such cluster")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(explain, "connect", lambda kubeconfig, context: found)
    return found


def test_a_refusal_is_told_in_steps_and_is_exit_1(host: Host, capsys: Captured) -> None:
    assert main(["explain", "access", "--cluster", "m1", "-n", "shop", "delete", "pods"]) == 1
    assert capsys.readouterr().out == (
        "denied: alice may not delete pods in namespace shop on m1\n"
        "  identity  alice, groups org:shop, from provider corp until 2030-01-01T14:02:00Z\n"
        "  basis     AccessGrant shop-view gives view in namespace shop\n"
        "  member    no: delete on pods needs edit (binding shop/skerry:view is in place)\n"
        "  ceiling   none\n"
        "  missing   edit in namespace shop\n"
        "  next      skerry request create edit --cluster m1 -n shop --reason …   (bob, admin can approve)\n"
    )


def test_a_yes_is_exit_0(host: Host, capsys: Captured) -> None:
    host.status = ALLOWED
    assert main(["explain", "access", "--cluster", "m1", "--as", "vera", "get", "/healthz"]) == 0
    assert capsys.readouterr().out == (
        "allowed: vera may get /healthz on m1\n"
        "  identity  vera, as asked\n"
        "  basis     none\n"
        "  member    not asked, away (binding skerry:view is Away)\n"
        "  ceiling   read-only, namespaces shop, desired All\n"
    )
    assert host.posted == {
        "cluster": "m1", "user": "vera", "groups": [], "nonResourceAttributes": {"verb": "get", "path": "/healthz"},
    }  # fmt: skip


def test_json_is_the_answer_alone(host: Host, capsys: Captured) -> None:
    assert main(["explain", "access", "--cluster", "m1", "delete", "pods", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == DENIED


@pytest.mark.parametrize(
    ("cluster", "word", "attributes", "warned"),
    [
        ("m1", "po/exec", {"resource": "pods", "subresource": "exec"}, ""),
        ("m1", "Deploy", {"resource": "deployments", "group": "apps"}, ""),
        ("m1", "ev", {"resource": "events"}, ""),
        ("m1", "event.events.k8s.io", {"resource": "events", "group": "events.k8s.io"}, ""),
        ("m1", "*", {"resource": "*"}, ""),
        ("m1", "gadget.x", {"resource": "gadget", "group": "x"}, "cluster m1 has no resource gadget.x: it is asked"),
        ("m2", "deploy", {"resource": "deploy"}, ""),
    ],
)
def test_resources_are_named_as_for_kubectl(
    cluster: str, word: str, attributes: dict[str, str], warned: str, host: Host, capsys: Captured
) -> None:
    main(
        ["explain", "access", "--cluster", cluster, "--as", "a", "--as-group", "g", "--as-group", "h", "get", word, "x"]
    )
    assert host.posted["resourceAttributes"] == {"verb": "get", "name": "x", **attributes}
    assert (host.posted["user"], host.posted["groups"]) == ("a", ["g", "h"])
    assert capsys.readouterr().err.startswith(warned)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["get", "pods"], "--cluster"),
        (["get", "pods", "--cluster", "m1", "-o", "wide"], "use json or yaml"),
        (["get", "pods", "--cluster", "m1", "--as-group", "g"], "--as-group is for --as"),
        (["get", "/healthz", "--cluster", "m1", "-n", "a"], "a path has no name and no namespace"),
        (["get", ".apps", "--cluster", "m1"], "use RESOURCE[.GROUP][/SUB]"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_exit_2(words: list[str], says: str, host: Host, capsys: Captured) -> None:
    assert main(["explain", "access", *words]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
