"""Releases as their users live with them: rights that do not suffice, upgrades that fail, values that lie on members, CRDs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import CONFIG, SECRET, Installed, emptied, helm, shelve
from tests.kube.member import Member
from tests.kube.provider import Provider

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

FILES = {"values.yaml": "color: blue\n", "templates/config.yaml": CONFIG}
CLUSTER_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: {{ .Release.Name }}-reader}
rules: [{apiGroups: [""], resources: [nodes], verbs: [list]}]
"""
NEVER_READY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: a, image: none}]}
"""
SCALED = NEVER_READY.replace("spec:\n  selector", "spec:\n  replicas: 0\n  selector")
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ships.stories.example.org, annotations: {made-by: VERSION}}
spec:
  group: stories.example.org
  scope: Namespaced
  names: {plural: ships, singular: ship, kind: Ship, listKind: ShipList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
"""
SHIP = "apiVersion: stories.example.org/v1\nkind: Ship\nmetadata: {name: {{ .Release.Name }}}\n"
WORKSPACE = """
apiVersion: skerry.dev/v1alpha1
kind: Workspace
metadata: {name: shop}
spec:
  clusters: {names: [near]}
  members: [{kind: User, name: ann, role: edit}]
  namespaces: [{cluster: near, name: shop}]
"""


def fleet(version: str) -> dict[str, str]:
    """A chart with a CRD that says of which version of the chart it is, and an object of it."""
    return {**FILES, "crds/ships.yaml": CRD.replace("VERSION", f'"{version}"'), "templates/ship.yaml": SHIP}


@pytest.fixture(scope="module")
def far(kube: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """A second cluster."""
    with kube.plain(tmp_path_factory.mktemp("far"), "far") as member:
        yield member


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member, far: Member) -> Iterator[Host]:
    """A host with the App Store on, and members `near`, behind its agent, and `far`, direct."""
    emptied(plain_cluster)
    with ExitStack() as opened:
        made = opened.enter_context(Host(tmp_path_factory.mktemp("stories")))
        made.up()
        made.join(plain_cluster, "near")
        made.ok("cluster", "join", "far", "--direct", "--kubeconfig", str(far.kubeconfig))
        made.wait_ready("far")
        made.kubectl(None, "patch", "appstore", "host", "--type=merge", "-p", '{"spec":{"enabled":true}}')
        roles = {**FILES, "templates/role.yaml": CLUSTER_ROLE}
        shelve(made, "web", ("1.0.0", {**FILES, "templates/secret.yaml": SECRET}), ("1.1.0", roles))
        shelve(made, "slow", ("1.0.0", FILES), ("2.0.0", {**FILES, "templates/never.yaml": NEVER_READY}))
        shelve(made, "scaled", *((each, {**FILES, "templates/scaled.yaml": SCALED}) for each in ("1.0.0", "2.0.0")))
        shelve(made, "fleet", *((each, fleet(each)) for each in ("1.0.0", "2.0.0")))
        yield made
        for member in (plain_cluster, far):
            member.kubectl("delete", "crd", "ships.stories.example.org", "--ignore-not-found", "--wait=false")
            member.kubectl("delete", "namespace", "apps", "shop", "vault", "--ignore-not-found", "--wait=false")


def wanted(app: str, version: str, *clusters: str, namespace: str = "apps", **more: Any) -> dict[str, Any]:
    """The spec of a release."""
    where = {"clusters": {"names": list(clusters or ("near",))}, "targetNamespace": namespace, "createNamespace": True}
    return {"app": f"skerry-apps/{app}", "version": version, **where, **more}


def config(member: Member, release: str, namespace: str = "apps") -> str:
    """What the ConfigMap of a release says."""
    chosen = ("get", "configmap", f"{release}-config", "-o", "jsonpath={.data.color} {.data.chart}")
    return member.kubectl("-n", namespace, *chosen).decode()


def put(member: Member, kind: str, name: str, text: str) -> None:
    """Values on a member, in a Secret or a ConfigMap."""
    field = "stringData" if kind == "Secret" else "data"
    member.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}},
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "apps"},
            field: {"values.yaml": text},
        },
    )


def test_a_chart_that_wants_more_than_its_user_may_is_blocked_and_says_what_and_whom(
    host: Host, plain_cluster: Member
) -> None:
    host.kubectl(None, "apply", "-f", "-", stdin=WORKSPACE.encode())
    eventually(lambda: b"shop" in plain_cluster.kubectl("get", "namespaces", "-o", "name"), "there is shop", 60)
    ann = Installed(host, "web", "shop", host.credential("ann"))
    spec = {"app": "skerry-apps/web", "clusters": {"names": ["near"]}}
    ann.want(version="1.1.0", **spec)
    status = ann.until("near", lambda each: each.get("phase") == "Blocked", "it is blocked")
    assert status["error"]["reason"] == "Forbidden"
    for part in ('ann" cannot', '"clusterroles"', "at the cluster scope", "skerry app own web"):
        assert part in status["message"], status["message"]
    assert plain_cluster.kubectl("-n", "shop", "get", "configmap", "web-config", "--ignore-not-found") == b""
    ann.want(version="1.0.0", **spec)
    ann.deployed("near", 2)
    ann.want(version="1.1.0", **spec)
    ann.until("near", lambda each: each.get("phase") == "Blocked", "it is blocked again")
    assert config(plain_cluster, "web", "shop") == "blue 1.0.0", "what was there runs on"
    elsewhere = Installed(host, "else", "shop", host.credential("ann"))
    source = [{"kind": "Secret", "name": "anything"}]
    elsewhere.want(version="1.0.0", targetNamespace="kube-system", valuesFrom=source, **spec)
    status = elsewhere.until("near", lambda each: each.get("phase") == "Blocked", "nobody reads others' Secrets")
    assert "ann" in status["message"]
    for each in (ann, elsewhere):
        each.delete()
        each.gone()


def test_an_upgrade_that_gets_never_healthy_is_rolled_back(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path]
) -> None:
    slow = Installed(host, "slow")
    slow.want(**wanted("slow", "1.0.0"))
    slow.deployed("near", 1)
    slow.want(**wanted("slow", "2.0.0", timeout="3s", onFailure="Rollback"))
    status = slow.until("near", lambda each: (each["helm"]["revision"], each["phase"]) == (3, "Failed"), "it is back")
    assert status["error"]["reason"] == "NotHealthy"
    assert status["message"].startswith("not healthy after 3s: Deployment/slow: 0 of 1 pods")
    assert status["message"].endswith("; it was rolled back to Helm's revision 1")
    assert status["helm"]["chart"] == "slow-1.0.0"
    assert config(plain_cluster, "slow") == "blue 1.0.0"
    history = helm(helms["helm-4"], plain_cluster, "history", "slow", "-n", "apps", "-o", "json")
    assert [each["status"] for each in history] == ["superseded", "superseded", "deployed"]
    slow.want(**wanted("slow", "1.0.0", values={"color": "red"}))
    slow.deployed("near", 3)
    slow.delete()
    slow.gone()


def test_a_first_install_that_gets_never_healthy_is_taken_away(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path]
) -> None:
    slow = Installed(host, "never")
    slow.want(**wanted("slow", "2.0.0", timeout="3s", onFailure="Rollback"))
    status = slow.until("near", lambda each: each.get("phase") == "Failed" and "helm" not in each, "it is taken away")
    assert status["error"]["reason"] == "NotHealthy"
    assert status["message"].endswith("; it was uninstalled")
    assert "next" not in status["error"]
    assert [each["command"] for each in status["stays"]] == ["kubectl delete namespace apps"]
    assert helm(helms["helm-4"], plain_cluster, "list", "-n", "apps", "-o", "json") == []
    slow.want(**wanted("slow", "1.0.0"))
    assert "stays" not in slow.deployed("near", 2)
    slow.delete()
    slow.gone()


def test_a_field_that_somebody_else_set_stays_theirs_until_it_is_to_be_taken(host: Host, plain_cluster: Member) -> None:
    scaled = Installed(host, "scaled")
    scaled.want(**wanted("scaled", "1.0.0"))
    scaled.deployed("near", 1)
    plain_cluster.kubectl("-n", "apps", "scale", "deployment", "scaled", "--replicas=1")
    scaled.want(**wanted("scaled", "2.0.0"))
    status = scaled.until("near", lambda each: each.get("phase") == "Blocked", "it is somebody else's")
    assert status["error"]["reason"] == "Conflict"
    assert ".spec.replicas" in status["message"]
    assert "spec.conflicts: Take" in status["message"]
    scaled.patch(conflicts="Take")
    assert scaled.deployed("near", 2)["helm"]["chart"] == "scaled-2.0.0"
    chosen = ("get", "deployment", "scaled", "-o", "jsonpath={.spec.replicas}")
    assert plain_cluster.kubectl("-n", "apps", *chosen) == b"0"
    scaled.delete()
    scaled.gone()


def test_values_lie_on_each_member_below_those_of_the_release_and_of_the_cluster(
    host: Host, plain_cluster: Member, far: Member
) -> None:
    put(plain_cluster, "Secret", "colors", "color: near\npassword: hunter2\n")
    put(far, "ConfigMap", "colors", "color: far\n")
    sources = [{"kind": kind, "name": "colors", "optional": True} for kind in ("Secret", "ConfigMap")]
    web = Installed(host, "web")
    web.want(**wanted("web", "1.0.0", "near", "far", valuesFrom=sources))
    for cluster in ("near", "far"):
        web.deployed(cluster, 1)
    assert [config(each, "web") for each in (plain_cluster, far)] == ["near 1.0.0", "far 1.0.0"]
    over = [{"clusters": {"names": ["far"]}, "values": {"color": "over"}}]
    web.want(**wanted("web", "1.0.0", "near", "far", valuesFrom=sources, values={"color": "all"}, overrides=over))
    for cluster in ("near", "far"):
        web.deployed(cluster, 2)
    assert [config(each, "web") for each in (plain_cluster, far)] == ["all 1.0.0", "over 1.0.0"]
    assert "hunter2" not in f"{web.document()}{web.on('near')}{host.logs()}"
    web.delete()
    web.gone()


def test_values_that_are_missing_or_are_none_are_named_and_taken_when_they_are_there(
    host: Host, plain_cluster: Member
) -> None:
    web = Installed(host, "waits")
    web.want(**wanted("web", "1.0.0", valuesFrom=[{"kind": "Secret", "name": "late"}]))
    status = web.until("near", lambda each: (each.get("error") or {}).get("next"), "it is tried again by itself")
    assert (status["phase"], status["message"]) == ("Failed", "valuesFrom: Secret apps/late is not there")
    put(plain_cluster, "Secret", "late", "hunter2")
    web.act("retry")
    wrong = "valuesFrom: Secret apps/late: key 'values.yaml' is no mapping of values"
    web.until("near", lambda each: each.get("message") == wrong, "they are none")
    put(plain_cluster, "Secret", "late", "color: late")
    web.act("retry")
    web.deployed("near", 1)
    assert config(plain_cluster, "waits") == "late 1.0.0"
    web.delete()
    web.gone()


def vault(*readable: str) -> list[dict[str, Any]]:
    """A namespace in which the group `vaulters` may do what Helm does, and of Secrets read these alone, besides Helm's own."""
    secrets = {"apiGroups": [""], "resources": ["secrets"]}
    helms = [f"sh.helm.release.v1.vault.v{number}" for number in range(1, 5)]
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
        {**secrets, "verbs": ["list", "create", "update", "patch", "delete"]},
        {**secrets, "verbs": ["get"], "resourceNames": [*helms, *readable]},
    ]
    rbac, place = "rbac.authorization.k8s.io", {"name": "vaulters", "namespace": "vault"}
    group = {"kind": "Group", "apiGroup": rbac, "name": "skerry:vaulters"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault"}},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": place, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": place,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "vaulters"},
            "subjects": [group],
        },
    ]


def test_values_that_its_user_may_not_read_are_named_though_helms_own_can_be_read(
    host: Host, plain_cluster: Member
) -> None:
    grant = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": {"name": "vaulters"},
        "spec": {
            "subjects": [{"kind": "User", "name": "ann"}],
            "clusters": {"names": ["near"]},
            "groups": ["vaulters"],
        },
    }
    for document in (WORKSPACE, json.dumps(grant)):
        host.kubectl(None, "apply", "-f", "-", stdin=document.encode())
    values = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "vault"}}
    plain_cluster.apply(*vault(), {**values, "stringData": {"values.yaml": "color: hidden\n"}})
    ann = Installed(host, "vault", "shop", host.credential("ann"))
    spec = {"app": "skerry-apps/slow", "version": "1.0.0", "clusters": {"names": ["near"]}, "targetNamespace": "vault"}
    ann.want(**spec)
    ann.deployed("near", 1)
    ann.want(**spec, valuesFrom=[{"kind": "Secret", "name": "db"}])
    status = ann.until("near", lambda each: each.get("phase") == "Blocked", "it is blocked")
    assert status["error"]["reason"] == "Forbidden"
    for part in ("valuesFrom: Secret vault/db cannot be read", 'ann"', "skerry app own vault"):
        assert part in status["message"], status["message"]
    assert "hidden" not in json.dumps(status)
    assert config(plain_cluster, "vault", "vault") == "blue 1.0.0", "what was there runs on"
    plain_cluster.apply(*vault("db"))
    ann.act("retry")
    ann.deployed("near", 2)
    assert config(plain_cluster, "vault", "vault") == "hidden 1.0.0"
    ann.delete()
    ann.gone()


def test_crds_are_made_once_or_anew_or_not_at_all(host: Host, plain_cluster: Member, far: Member) -> None:
    def made_by(member: Member) -> str:
        chosen = ("get", "crd", "ships.stories.example.org", "--ignore-not-found", "-o", "json")
        text = member.kubectl(*chosen).decode()
        return str(json.loads(text)["metadata"]["annotations"]["made-by"]) if text else ""

    skipped = Installed(host, "skipped")
    skipped.want(**wanted("fleet", "1.0.0", crds="Skip"))
    status = skipped.until("near", lambda each: each.get("phase") == "Blocked", "its kind is not there")
    assert status["error"]["reason"] == "UnknownKind"
    assert "Ship" in status["message"]
    assert made_by(plain_cluster) == ""
    ships = Installed(host, "ships")
    ships.want(**wanted("fleet", "1.0.0"))
    ships.deployed("near", 1)
    assert made_by(plain_cluster) == "1.0.0"
    skipped.act("retry")
    skipped.deployed("near", 1)
    ships.want(**wanted("fleet", "2.0.0"))
    ships.deployed("near", 2)
    assert made_by(plain_cluster) == "1.0.0", "Helm makes them once"
    ships.want(**wanted("fleet", "1.0.0", crds="Replace"))
    ships.deployed("near", 3)
    ships.want(**wanted("fleet", "2.0.0", crds="Replace"))
    ships.deployed("near", 4)
    assert made_by(plain_cluster) == "2.0.0"
    fresh = Installed(host, "fresh")
    fresh.want(**wanted("fleet", "2.0.0", "far", crds="Replace"))
    fresh.deployed("far", 1)
    assert made_by(far) == "2.0.0"
    stays = host.ok("app", "uninstall", "ships", "--wait", "60s").splitlines()
    assert "kubectl delete customresourcedefinition.apiextensions.k8s.io ships.stories.example.org" in stays
    for each in (skipped, fresh):
        each.delete()
        each.gone()
    assert made_by(plain_cluster) == "2.0.0"
