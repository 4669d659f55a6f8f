"""The switch of the App Store, host and members in all combinations, an agent and a direct member: who writes what, with which client.

What there is to write is asked of the kinds themselves, so a kind or an action that is added later is tried here too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skerry.api.kinds import APP_RELEASE, APP_STORE, KINDS, Kind
from skerry.api.meta import Document
from tests.appstore.charts import package
from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import API, CONFIG, Installed
from tests.kube.member import Member
from tests.kube.provider import Provider

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

MEMBERS = ("m1", "m2")
SETTINGS = (("Unset", "Unset"), ("Enabled", "Disabled"), ("Disabled", "Enabled"), ("Enabled", "Enabled"))
"""Of the agent and of the direct member: each has each of the three."""
METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
GOES_ON = {("appinstances", "forget"), ("apprepositories", "credential", "delete")}
"""Actions that end something."""
HOW = "an administrator enables it: skerry app store enable"
OFF = f"the App Store is disabled on this host, so it is usable on no cluster; {HOW}"
ONLY = "the App Store is enabled only on member(s) {} and not on the host, so it is usable on no cluster; " + HOW
RELEASE = {"app": "web", "version": "1.0.0", "clusters": {"names": list(MEMBERS)}, "targetNamespace": "apps"}
SPECS: dict[str, Any] = {
    "apprepositories": {"url": "https://127.0.0.1:9/"},
    "appcategories": {"order": 3},
    "apps": {"displayName": "Web"},
    "appreviews": {"action": "Submit", "version": "web-1.0.0"},
    "appreleases": {**RELEASE, "createNamespace": True},
}
NAMES = {
    "apprepositories": "stable",
    "appcategories": "tools",
    "apps": "web",
    "appversions": "web-1.0.0",
    "appreleases": "web",
    "appinstances": "web.m1",
}
BODIES: dict[tuple[str, str], Any] = {
    ("credential", "update"): {"username": "me", "password": "pw"},
    ("diff", "create"): {"spec": {}},
    ("secretvalues", "update"): {"set": {"a": "b"}},
}


class Request(NamedTuple):
    """A write as a client sends it."""

    name: str
    method: str
    path: str
    body: Any


def writes() -> Iterator[Request]:
    """Every write and every action of every kind of the store that makes or changes something."""
    for kind in (each for each in KINDS if each.owner == APP_STORE.owner and each is not APP_STORE):
        place = f"{API}/{'namespaces/default/' * kind.namespaced}{kind.plural}"
        for verb in ("create", "update", "patch"):
            if verb in kind.verbs:
                path = place if verb == "create" else f"{place}/{NAMES[kind.plural]}"
                yield Request(f"{verb} {kind.plural}", METHODS[verb], path, _body(kind, verb))
        for action in kind.actions:
            names = {(kind.plural, action.subresource), (kind.plural, action.subresource, action.verb)}
            if action.verb != "get" and not names & GOES_ON:
                path = f"{place}/{NAMES[kind.plural]}/{action.subresource}"
                body = BODIES.get((action.subresource, action.verb), {})
                yield Request(f"{action.verb} {kind.plural}/{action.subresource}", METHODS[action.verb], path, body)


def _body(kind: Kind, verb: str) -> Document:
    if verb == "patch":
        return {"metadata": {"annotations": {"a": "b"}}}
    name = "another" if verb == "create" else NAMES[kind.plural]
    spec = SPECS.get(kind.plural, {"app": "web", "version": "1.0.0", "chart": "web"})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def host(
    kube: Provider, plain_cluster: Member, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Host, dict[str, Member]]]:
    """A host with an agent `m1` and a direct member `m2`, the store on, and something of every kind in it."""
    directory = tmp_path_factory.mktemp("switch")
    with kube.plain(tmp_path_factory.mktemp("direct"), "direct") as direct, Host(directory) as made:
        made.up()
        made.join(plain_cluster, "m1")
        made.ok("cluster", "join", "m2", "--direct", "--kubeconfig", str(direct.kubeconfig))
        made.wait_ready("m2")
        made.ok("app", "store", "enable")
        chart = directory / "web-1.0.0.tgz"
        chart.write_bytes(package("web", "1.0.0", files={"values.yaml": "color: blue\n", "templates/a.yaml": CONFIG}))
        made.ok("app", "push", str(chart))
        for kind in KINDS:
            if "create" in kind.verbs and kind.plural in ("apprepositories", "appcategories", "appreleases"):
                document = _body(kind, "update")
                made.kubectl(None, "create", "-f", "-", stdin=json.dumps(document).encode())
        for name in MEMBERS:
            Installed(made, "web").deployed(name, 1)
        yield made, {"m1": plain_cluster, "m2": direct}
        for member in (plain_cluster, direct):
            member.kubectl("annotate", "namespace", "kube-system", "skerry.dev/app-store-")
            member.kubectl("delete", "namespace", "apps", "--ignore-not-found", "--wait=false")


def set_on(host: Host, members: dict[str, Member], settings: tuple[str, str]) -> None:
    """Each member's own setting, as the host shows it."""
    wanted = dict(zip(MEMBERS, settings, strict=True))
    for name, setting in wanted.items():
        value = "-" if setting == "Unset" else f"={setting.lower()}"
        place = ("annotate", "namespace", "kube-system", "--overwrite", f"skerry.dev/app-store{value}")
        members[name].kubectl(*place)

    def shown() -> bool:
        return wanted == {name: host.cluster(name)["status"].get("appStore", {}).get("setting") for name in wanted}

    eventually(shown, f"the host shows {wanted}", 20)


def refusals(host: Host, ask: Callable[[Request], Document]) -> dict[str, tuple[int, list[str], str]]:
    """What each write is answered: code, reasons and message."""
    answers = {each.name: ask(each) for each in writes()}
    return {
        name: (
            answer.get("code", 200),
            [cause.get("reason") for cause in (answer.get("details") or {}).get("causes") or ()],
            answer.get("message", ""),
        )
        for name, answer in answers.items()
    }


def test_off_at_the_host_nothing_is_made_or_changed_whatever_members_say_and_on_everything_is(
    host: tuple[Host, dict[str, Member]], tmp_path: Path
) -> None:
    store, members = host
    token = (store.state / "host" / "admin.token").read_text().strip()

    def ask(request: Request) -> Document:
        return store.ask(request.method, request.path, request.body, token)

    for settings in SETTINGS:
        store.ok("app", "store", "disable")
        set_on(store, members, settings)
        enabled = [name for name, setting in zip(MEMBERS, settings, strict=True) if setting == "Enabled"]
        reason, message = ("OnlyOnMembers", ONLY.format(", ".join(enabled))) if enabled else ("HostDisabled", OFF)
        answers = refusals(store, ask)
        assert {name: each for name, each in answers.items() if each != (403, [reason], message)} == {}
        _by_people(store, reason, message, tmp_path)
        store.ok("app", "store", "enable")
        table = json.loads(store.ok("app", "store", "-o", "json"))
        assert (table["usable"], table["reason"]) == (True, "Enabled")
        assert [(each["setting"], each["usable"]) for each in table["clusters"]] == [(each, True) for each in settings]
        dry = {
            **_body(next(each for each in KINDS if each.plural == "appreleases"), "create"),
            "spec": {**RELEASE, "releaseName": "b"},
        }
        answer = store.ask("POST", f"{API}/namespaces/default/appreleases?dryRun=All", dry, token)
        assert answer["kind"] == "AppRelease", answer


def _by_people(store: Host, reason: str, message: str, tmp_path: Path) -> None:
    """kubectl and the command line show the same words."""
    release = json.dumps(_body(APP_RELEASE, "create")).encode()
    for done in (
        store.kubectl_run(None, "create", "-f", "-", stdin=release),
        store.kubectl_run(None, "patch", "apprelease", "web", "--type=merge", "-p", '{"spec":{"values":{"a":1}}}'),
    ):
        assert (done.returncode, message in done.stderr.decode()) == (1, True), done.stderr
    (tmp_path / "web-1.0.0.tgz").write_bytes(package("web", "1.0.0"))
    for words in (
        ("install", "another", "web", "--cluster", "m1"),
        ("push", str(tmp_path / "web-1.0.0.tgz")),
        ("rollback", "web"),
        ("repo", "add", "x", "https://charts.example.org/x"),
    ):
        said = store.skerry("app", *words)
        assert (said.returncode, said.stderr.strip()) == (1, f"error: {message}"), words
    table = json.loads(store.ok("app", "store", "-o", "json"))
    assert (table["usable"], table["reason"], table["message"]) == (False, reason, message)
    assert {each["usable"] for each in table["clusters"]} == {False}


def test_while_it_is_off_it_is_read_what_runs_runs_on_and_what_is_to_go_goes(
    host: tuple[Host, dict[str, Member]],
) -> None:
    """The last: everything goes."""
    store, members = host
    store.ok("app", "store", "disable")
    token = (store.state / "host" / "admin.token").read_text().strip()
    for kind, verb in product(KINDS, ("get", "list")):
        if kind.owner == APP_STORE.owner and kind.plural in NAMES and verb in kind.verbs:
            place = f"{API}/{'namespaces/default/' * kind.namespaced}{kind.plural}"
            assert store.get(place if verb == "list" else f"{place}/{NAMES[kind.plural]}") is not None, kind.plural
    assert "deployed" in store.ok("app", "status", "web").lower()
    for member in members.values():
        assert b"web-config" in member.kubectl("-n", "apps", "get", "configmaps", "-o", "name")
    store.ok("app", "uninstall", "web")
    for member in members.values():
        assert b"web-config" not in member.kubectl("-n", "apps", "get", "configmaps", "-o", "name")
    for plural in ("apprepositories", "appversions", "appcategories"):
        place = f"{API}/{'namespaces/default/' * (plural != 'appcategories')}{plural}/{NAMES[plural]}"
        answer = store.ask("DELETE", place, {}, token)
        assert answer.get("code", 200) == 200, answer
