"""Apps on members through the whole system: a host, its front door, Helm, and real API servers. What runs are ordinary Helm releases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from skerry.api.conditions import Verdict, condition_of
from tests.appstore.charts import package
from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import CONFIG, SECRET, Installed, emptied, helm, shelve
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

FILES = {"values.yaml": "color: blue\n", "templates/config.yaml": CONFIG, "templates/secret.yaml": SECRET}


@pytest.fixture(scope="module", params=["direct", pytest.param("agent", marks=pytest.mark.soak)])
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member
) -> Iterator[Host]:
    """A host with the App Store on, one member `m1`, and versions of `web` on its shelf."""
    emptied(plain_cluster)
    with Host(tmp_path_factory.mktemp("releases")) as made:
        made.up()
        if request.param == "direct":
            made.ok("cluster", "join", "m1", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
            made.wait_ready("m1")
        else:
            made.join(plain_cluster, "m1")
        made.kubectl(None, "patch", "appstore", "host", "--type=merge", "-p", '{"spec":{"enabled":true}}')
        shelve(made, "web", *((version, FILES) for version in ("1.0.0", "1.1.0", "1.2.0")))
        yield made
        made.ok("cluster", "remove", "m1")
        plain_cluster.kubectl("delete", "namespace", "apps", "--ignore-not-found", "--wait=false")


def color(member: Member, name: str = "web") -> str:
    """What the release's ConfigMap on the member says."""
    return member.kubectl(
        "-n", "apps", "get", "configmap", f"{name}-config", "-o", "jsonpath={.data.color} {.data.chart}"
    ).decode()


def test_an_app_is_installed_upgraded_rolled_back_and_uninstalled(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path]
) -> None:
    web = Installed(host, "web")
    app = {"app": "skerry-apps/web", "clusters": {"names": ["m1"]}, "targetNamespace": "apps", "createNamespace": True}
    web.want(version="1.0.0", **app)
    status = web.deployed("m1", 1)
    assert status["helm"]["chart"] == "web-1.0.0"
    assert status["objects"] == {"total": 2, "ready": 2, "notReady": []}
    assert color(plain_cluster) == "blue 1.0.0"
    for program in ("helm-3", "helm-4"):
        (listed,) = helm(helms[program], plain_cluster, "list", "-n", "apps", "-o", "json")
        assert (listed["name"], listed["chart"], listed["status"]) == ("web", "web-1.0.0", "deployed")

    (change,) = web.diff({"version": "1.1.0", "values": {"color": "red", "password": "hunter2"}, **app})
    assert "-  color: blue" in change["manifest"]
    assert "+  color: red" in change["manifest"]
    assert "hunter2" not in change["manifest"]
    assert change["values"].splitlines()[-2:] == ["+color: red", "+password: hunter2"]
    assert web.diff() == [{"cluster": "m1", "values": "", "manifest": "", "rendered": "", "error": ""}]
    names = [(each["kind"], each["name"], each["health"]) for each in web.resources("m1")]
    assert names == [("Secret", "web-secret", "Healthy"), ("ConfigMap", "web-config", "Healthy")]

    web.want(version="1.1.0", values={"color": "red"}, **app)
    assert web.deployed("m1", 2)["helm"]["revision"] == 2
    assert color(plain_cluster) == "red 1.1.0"
    values = helm(helms["helm-4"], plain_cluster, "get", "values", "web", "-n", "apps", "-o", "json")
    assert values == {"color": "red"}

    web.act("rollback", {"revision": 1})
    web.deployed("m1", 3)
    assert color(plain_cluster) == "blue 1.0.0"
    history = helm(helms["helm-4"], plain_cluster, "history", "web", "-n", "apps", "-o", "json")
    assert [each["status"] for each in history] == ["superseded", "superseded", "deployed"]

    web.delete()
    web.gone()
    assert helm(helms["helm-4"], plain_cluster, "list", "-n", "apps", "-o", "json") == []
    assert plain_cluster.kubectl("-n", "apps", "get", "secrets", "-o", "name") == b""


def test_secret_values_are_on_the_member_and_nowhere_else(host: Host, plain_cluster: Member) -> None:
    kept = Installed(host, "kept")
    kept.want(app="skerry-apps/web", version="1.0.0", clusters={"names": ["m1"]}, targetNamespace="apps", suspend=True)
    kept.act("secretvalues", {"set": {"password": "hunter2"}}, method="PUT")
    kept.patch(suspend=False)
    kept.deployed("m1", 1)
    secret = plain_cluster.kubectl("-n", "apps", "get", "secret", "kept-secret", "-o", "jsonpath={.data.password}")
    assert secret == b"aHVudGVyMg=="
    assert "hunter2" not in f"{kept.document()}{kept.on('m1')}{host.logs()}"
    kept.delete()
    kept.gone()


def test_what_somebody_else_installed_is_left_alone(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path], tmp_path: Path
) -> None:
    chart = tmp_path / "web-0.9.0.tgz"
    chart.write_bytes(package("web", "0.9.0", files=FILES))
    helm(helms["helm-3"], plain_cluster, "install", "theirs", str(chart), "-n", "theirs", "--create-namespace")
    theirs = Installed(host, "theirs")
    theirs.want(app="skerry-apps/web", version="1.0.0", clusters={"names": ["m1"]}, targetNamespace="theirs")
    status = theirs.until("m1", lambda each: each.get("phase") == "Blocked", "it is blocked")
    assert status["error"]["reason"] == "ReleaseExists"
    assert "helm uninstall -n theirs theirs" in status["message"]
    theirs.delete()
    theirs.gone()
    (listed,) = helm(helms["helm-3"], plain_cluster, "list", "-n", "theirs", "-o", "json")
    assert listed["chart"] == "web-0.9.0"
    plain_cluster.kubectl("delete", "namespace", "theirs", "--wait=false")


def test_helm_by_hand_is_an_upgrade_like_any_other(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path], tmp_path: Path
) -> None:
    both = Installed(host, "both")
    app = {"app": "skerry-apps/web", "clusters": {"names": ["m1"]}, "targetNamespace": "both", "createNamespace": True}
    both.want(version="1.0.0", **app)
    both.deployed("m1", 1)
    chart = tmp_path / "web-1.1.0.tgz"
    chart.write_bytes(package("web", "1.1.0", files=FILES))
    for program in ("helm-4", "helm-3"):
        helm(helms[program], plain_cluster, "upgrade", "both", str(chart), "-n", "both", "--set", "color=green")
    both.act("own")  # so it is looked at now, and not within a minute
    both.until("m1", lambda each: each["helm"].get("byHand"), "it is seen")
    assert "somebody ran helm on m1: its revision 3 is web-1.1.0" in host.ok("app", "status", "both", "-o", "wide")
    ready = eventually(lambda: _ready(both, "ChangedByHand"), "the release says so")
    assert (ready.status, "somebody ran helm on m1" in ready.message) == ("True", True)
    both.want(version="1.2.0", **app)
    assert both.deployed("m1", 2)["helm"]["revision"] == 4
    helm(helms["helm-4"], plain_cluster, "rollback", "both", "1", "-n", "both")
    status = both.until("m1", lambda each: each.get("phase") == "Blocked", "it is seen", 90)
    assert status["error"]["reason"] == "ChangedByHand"
    both.act("retry")
    assert both.deployed("m1", 2)["helm"]["chart"] == "web-1.2.0"
    eventually(lambda: _ready(both, "Healthy"), "nothing is by hand any more")
    both.delete()
    both.gone()
    plain_cluster.kubectl("delete", "namespace", "both", "--wait=false")


def _ready(release: Installed, reason: str) -> Verdict | None:
    """Its condition Ready, if it has this reason."""
    verdict = condition_of(release.document() or {}, "Ready")
    return verdict if verdict.reason == reason else None
