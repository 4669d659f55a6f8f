"""The App Store from the command line, on a host of its own: the switch, a chart that is pushed, and its way to everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.appstore.charts import package
from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import CONFIG, SECRET, emptied
from tests.kube.member import Member

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def workspace(name: str, **members: str) -> bytes:
    """A Workspace with these members and their roles."""
    listed = [{"kind": "User", "name": user, "role": role} for user, role in members.items()]
    head = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}
    return json.dumps({**head, "spec": {"members": listed}}).encode()


ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\nrules: []\n"


def as_user(host: Host, user: str, *groups: str) -> Callable[..., tuple[int, str, str]]:
    """`skerry app …` as somebody: exit code, stdout, stderr."""
    kubeconfig = host.credential(user, *groups)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = host.skerry("app", *arguments, "--kubeconfig", str(kubeconfig))
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_chart_of_a_workspace_goes_to_everybody_through_two_peoples_hands(
    new_host: Callable[..., Host], tmp_path: Path
) -> None:
    host = new_host()
    for each in (workspace("shop", alice="edit", eve="view"), workspace("lab", carol="view")):
        host.kubectl(None, "apply", "-f", "-", stdin=each)
    alice, bob, eve, carol = (
        as_user(host, "alice"),
        as_user(host, "bob", "skerry:app-reviewer"),
        as_user(host, "eve"),
        as_user(host, "carol"),
    )
    chart = tmp_path / "shop-1.4.0.tgz"
    files = {"README.md": "# Shop \x1b[31m", "values.yaml": "replicas: 1\n", "templates/role.yaml": ROLE}
    chart.write_bytes(package("shop", "1.4.0", more="description: sells things\n", files=files))

    code, _, said = alice("push", str(chart), "-w", "shop")
    assert code == 1
    assert "the App Store is disabled on this host, so it is usable on no cluster" in said
    assert json.loads(host.ok("app", "store", "-o", "json"))["reason"] == "HostDisabled"
    assert alice("store", "enable")[0] == 1
    host.ok("app", "store", "enable")
    inside = json.loads(host.ok("status", "-o", "json"))["appStore"]
    assert (inside["reason"], inside["helm"]["engine"], inside["helm"]["jail"][:1]) == (
        "Enabled",
        "commandline",
        ["limits"],
    )
    assert f"app store: Enabled, helm {inside['helm']['version']} (commandline) behind limits" in host.ok("status")

    assert alice("push", str(chart), "-w", "shop")[:2] == (0, "shop-1.4.0\n")
    assert eve("push", str(chart), "-w", "shop")[0] == 1
    assert carol("show", "shop/shop")[0] == 2
    eventually(lambda: "ClusterScoped: ClusterRole/all" in alice("show", "shop", "-w", "shop")[1], "risks")
    code, text, _ = eve("show", "shop", "-w", "shop", "--readme")
    assert (code, text) == (0, "# Shop \ufffd[31m")

    assert alice("review", "pass", "shop", "-w", "shop")[0] == 1
    assert alice("review", "submit", "shop", "--version", "1.4.0", "-w", "shop")[0] == 0
    assert "shop-1.4.0" in bob("review", "list", "--pending", "-A")[1]
    code, _, said = bob("review", "reject", "shop", "-w", "shop")
    assert (code, "needs a message" in said) == (1, True)
    assert bob("review", "pass", "shop", "-w", "shop")[0] == 0
    code, _, said = alice("review", "release", "shop", "-w", "shop")
    assert (code, "Passed became Active" in said) == (0, True)

    found = eventually(lambda: [line for line in carol("search")[1].splitlines() if "shop.shop" in line], "the pool")
    assert found[0].split()[:2] == ["skerry-apps/shop.shop", "1.4.0"]
    code, _, _ = carol("pull", "shop.shop", "--output", str(tmp_path / "pulled.tgz"))
    assert (code, (tmp_path / "pulled.tgz").read_bytes()) == (0, chart.read_bytes())
    assert carol("review", "suspend", "shop.shop")[0] == 1
    assert bob("review", "suspend", "shop", "-w", "shop", "--all", "-m", "CVE")[0] == 0
    eventually(lambda: "Suspended" in carol("show", "shop.shop", "--versions")[1], "the pool follows")
    code, text, _ = alice("review", "list", "-w", "shop", "-o", "wide")
    assert [line.split()[2] for line in text.splitlines()[1:]] in (
        [*["Submit", "Pass", "Release", "Suspend"]],
        sorted(["Submit", "Pass", "Release", "Suspend"]),
    ), text


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["show", "no-such"], 2, "there is no app no-such in workspace default or in the pool: "),
        (["push", "/nowhere"], 2, "No such file"),
        (["install", "web", "no-such"], 2, "say where"),
        (["install", "web", "no-such", "--cluster", "m1", "--set-secret", "a=plain"], 2, "a secret is no argument"),
        (["install", "web", "no-such", "--cluster", "m1"], 2, "there is no app no-such"),
        (["repo", "add", "x", "https://charts.example.org", "--username", "u"], 2, "belong together"),
        (["repo", "list", "-w", "shop", "--global"], 2, "exclude each other"),
        (["upgrade", "no-such"], 1, '"no-such" not found'),
        (["status", "no-such"], 1, '"no-such" not found'),
        (["list", "-o", "xml"], 2, "-o xml"),
        (["rollback", "no-such"], 1, '"no-such" not found'),
        (["retry", "no-such"], 1, '"no-such" not found'),
        (["own", "no-such"], 1, '"no-such" not found'),
        (["history", "no-such"], 1, '"no-such" not found'),
        (["uninstall", "no-such"], 1, '"no-such" not found'),
        (["diff", "no-such"], 1, '"no-such" not found'),
        (["pull", "no-such"], 2, "there is no app no-such"),
        (["review", "submit", "no-such"], 2, "there is no app no-such"),
        (["repo", "show", "no-such"], 1, '"no-such" not found'),
        (["repo", "sync", "no-such"], 1, '"no-such" not found'),
        (["repo", "remove", "no-such"], 1, '"no-such" not found'),
        (["repo", "add", "x", "https://me:pw@c.example", "--wait", "0s"], 1, "spec.url"),
        (["repo", "add", "x", "https://c.example", "--keep", "99", "--wait", "0s"], 1, "spec.keepVersions"),
        (["repo", "add", "x", "https://c.example", "--sync-period", "1s", "--wait", "0s"], 1, "spec.syncPeriod"),
        (["store", "enable", "--cluster", "no/such"], 1, '"no%2Fsuch" not found'),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(store_host: Host, words: list[str], code: int, text: str) -> None:
    done = store_host.skerry("app", *words)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert "plain" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def store_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("store"))
    with host:
        host.up()
        host.ok("app", "store", "enable")
        yield host


@pytest.mark.kube
def test_an_app_on_a_member_from_the_command_line(
    new_host: Callable[..., Host], plain_cluster: Member, tmp_path: Path
) -> None:
    emptied(plain_cluster)
    host = new_host()
    host.join(plain_cluster, "m1")
    host.ok("app", "store", "enable", "--cluster", "m1")
    eventually(
        lambda: (
            _store(host)["clusters"]
            == [{"name": "m1", "setting": "Enabled", "usable": False, "reason": "OnlyOnMembers"}]
        ),
        "m1 says so",
    )
    host.ok("app", "store", "enable")
    files = {"values.yaml": "color: blue\n", "templates/a.yaml": CONFIG, "templates/b.yaml": SECRET}
    for version in ("1.0.0", "1.1.0"):
        chart = tmp_path / f"web-{version}.tgz"
        chart.write_bytes(package("web", version, files=files))
        host.ok("app", "push", str(chart))
    password = tmp_path / "password"
    password.write_text("s3cret-of-the-shop\n")

    def color() -> str:
        place = ("-n", "apps", "get", "configmap", "site-config", "-o", "jsonpath={.data.color} {.data.chart}")
        return plain_cluster.kubectl(*place).decode()

    wanted = ("site", "web", "--version", "1.0.0", "--cluster", "m1", "-n", "apps", "--create-namespace")
    options = ("--set", "color=red", "--set-secret", f"password=@{password}")
    dry = host.ok("app", "install", *wanted, *options, "--dry-run")
    assert "color: red" in dry.replace('"', "")
    assert "s3cret" not in dry
    table = host.ok("app", "install", *wanted, *options, "--wait", "60s")
    assert table.splitlines()[1].split()[:5] == ["m1", "Deployed", "Healthy", "1", "web-1.0.0"], table
    assert color() == "red 1.0.0"
    stored = plain_cluster.kubectl("-n", "apps", "get", "secret", "site-secret", "-o", "json")
    assert "czNjcmV0LW9mLXRoZS1zaG9w" in stored.decode()
    everything = host.kubectl(None, "get", "apprelease,appinstance", "-A", "-o", "yaml")
    assert "s3cret" not in everything
    assert "version 1.1.0 is available" in host.skerry("app", "status", "site").stderr

    assert host.skerry("app", "diff", "site", "--exit-code").returncode == 0
    done = host.skerry("app", "diff", "site", "--version", "1.1.0", "--set", "color=green", "--exit-code")
    assert (done.returncode, "s3cret" in done.stdout) == (10, False)
    assert "-  color: red" in done.stdout.replace('"', "")
    host.ok("app", "upgrade", "site", "--version", "1.1.0", "--set", "color=green", "--wait", "60s")
    assert color() == "green 1.1.0"
    history = json.loads(host.ok("app", "history", "site", "-o", "json"))
    assert [(each["revision"], each["version"], each["by"]) for each in history][:2] == [
        (2, "1.1.0", "admin"),
        (1, "1.0.0", "admin"),
    ]
    host.ok("app", "rollback", "site", "--wait", "60s")
    assert color() == "red 1.0.0"
    state = json.loads(host.ok("app", "status", "site", "-o", "json"))
    assert state["release"]["status"]["revision"] == 3
    password.write_text("an0ther\n")
    more = ("--set", "color=blue", "--set-secret", f"password=@{password}")
    table = host.ok("app", "upgrade", "site", *more, "--wait", "60s")
    assert (table.splitlines()[1].split()[3], color()) == ("4", "blue 1.0.0")
    stored = plain_cluster.kubectl("-n", "apps", "get", "secret", "site-secret", "-o", "jsonpath={.data.password}")
    assert stored == b"YW4wdGhlcg=="

    host.ok("app", "uninstall", "site", "--wait", "60s")
    assert b"site-config" not in plain_cluster.kubectl("-n", "apps", "get", "configmap")
    plain_cluster.kubectl("delete", "namespace", "apps", "--ignore-not-found", "--wait=false")
    plain_cluster.kubectl("annotate", "namespace", "kube-system", "skerry.dev/app-store-")


def _store(host: Host) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(host.ok("app", "store", "-o", "json"))
    return document
