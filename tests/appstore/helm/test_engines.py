"""Engines do the operations on a real cluster, and say why where they cannot; Helm 3 and 4 read what they leave."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.appstore.helm import releases
from services.appstore.helm.engine import (
    Engine,
    HelmError,
    Reason,
    RollbackRequest,
    UninstallRequest,
    UpgradeRequest,
)
from services.appstore.helm.manifest import objects
from skerry.member.kubeconfig import Target, Tls
from tests.appstore.helm.charts import CONFIG, chart
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

NAMESPACE = "shop"
HOOK = """apiVersion: batch/v1
kind: Job
metadata: {name: never, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: none}]}}}
"""
KEPT = CONFIG.replace("name: a", "name: kept, annotations: {helm.sh/resource-policy: keep}") + "one"
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {a: "{{ .Values.label }}"}}
  template: {metadata: {labels: {a: "{{ .Values.label }}"}}, spec: {containers: [{name: c, image: none}]}}
"""
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n"


@pytest.fixture(scope="module")
def member(plain_cluster: Member) -> Member:
    """A cluster with a namespace for releases, and somebody who may edit there."""
    plain_cluster.kubectl("create", "namespace", NAMESPACE)
    plain_cluster.kubectl("-n", NAMESPACE, "create", "serviceaccount", "tenant")
    binding = ("--clusterrole=edit", f"--serviceaccount={NAMESPACE}:tenant")
    plain_cluster.kubectl("-n", NAMESPACE, "create", "rolebinding", "tenant", *binding)
    return plain_cluster


@pytest.fixture
def release(member: Member, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a release of the test's own; what is left of it is deleted."""
    yield "web"
    for kind in ("secrets", "deployments", "configmaps", "jobs"):
        member.kubectl("-n", NAMESPACE, "delete", kind, "--all", "--wait=true", "--cascade=background")


def as_whom(member: Member, token: str = "") -> Target:
    address = urlsplit(member.url)
    assert member.ca is not None
    tls = Tls(ca=member.ca.read_bytes())
    return Target(
        scheme="https", host=str(address.hostname), port=int(address.port or 0), tls=tls, token=token or member.token
    )


def wanted(member: Member, path: Path, **more: Any) -> UpgradeRequest:
    return UpgradeRequest(
        **{"access": as_whom(member), "release": "web", "namespace": NAMESPACE, "chart": path, **more}
    )


def stored(member: Member, release: str = "web") -> list[releases.Revision]:
    """The revisions, read as the service reads them."""
    listed = json.loads(member.kubectl("-n", NAMESPACE, "get", "secrets", "-l", releases.SELECTOR, "-o", "json"))[
        "items"
    ]
    chosen = {each.secret for each in releases.entries(listed, release)}
    revisions = [releases.revision(each) for each in listed if each["metadata"]["name"] in chosen]
    return sorted(revisions, key=lambda each: each.entry.revision)


async def refused(engine: Engine, request: UpgradeRequest) -> tuple[Reason, str]:
    with pytest.raises(HelmError) as caught:
        await engine.upgrade(request)
    return caught.value.reason, str(caught.value)


async def test_a_release_lives(engine: Engine, member: Member, release: str, tmp_path: Path, rooms: Path) -> None:
    first = chart(tmp_path, CONFIG + "{{ .Values.colour }}", KEPT, version="1.0.0")
    second = chart(tmp_path, CONFIG + '{{ .Values.colour | default "none" }}-2', KEPT, version="2.0.0")
    labels = {"skerry.dev/release": "uid-1"}
    assert (await engine.upgrade(wanted(member, first, values={"colour": "red"}, labels=labels))).revision == 1
    assert (await engine.upgrade(wanted(member, second, values={}, labels=labels))).revision == 2
    await engine.rollback(RollbackRequest(access=as_whom(member), release=release, namespace=NAMESPACE, revision=1))
    one, two, three = stored(member)
    assert [each.entry.status for each in (one, two, three)] == ["superseded", "superseded", "deployed"]
    assert [each.values for each in (one, two, three)] == [{"colour": "red"}, {}, {"colour": "red"}]
    assert [each.chart_version for each in (one, two, three)] == ["1.0.0", "2.0.0", "1.0.0"]
    assert one.server_side
    assert {each.entry.labels["skerry.dev/release"] for each in (one, two, three)} == {"uid-1"}
    gone = await engine.uninstall(UninstallRequest(access=as_whom(member), release=release, namespace=NAMESPACE))
    assert gone.kept == ("[ConfigMap] kept",)
    assert stored(member) == []
    again = await engine.uninstall(UninstallRequest(access=as_whom(member), release=release, namespace=NAMESPACE))
    assert again.kept == ()
    assert list(rooms.iterdir()) == []


async def test_a_dry_run_asks_the_cluster_and_changes_nothing(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    text = CONFIG + '{{ dig "metadata" "name" "offline" (lookup "v1" "Namespace" "" "shop") }}'
    answer = await engine.upgrade(wanted(member, chart(tmp_path, text, HOOK), dry_run=True))
    rendered = {str(each.identity): each for each in objects(answer.manifest)}
    assert answer.revision == 1
    assert rendered["ConfigMap/a"].content["data"]["x"] == NAMESPACE
    assert rendered["Job/never"].is_hook
    assert stored(member) == []


async def test_hooks_are_left_out_or_that_is_refused(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    request = wanted(member, chart(tmp_path, CONFIG + "one", HOOK), hooks=False)
    if engine.name == "sdk":
        reason, text = await refused(engine, request)
        assert (reason, "cannot leave hooks out" in text) == ("EngineMissing", True)
    else:
        assert (await engine.upgrade(request)).revision == 1


async def test_history_is_cut(engine: Engine, member: Member, release: str, tmp_path: Path) -> None:
    for number in range(4):
        path = chart(tmp_path, f"{CONFIG}v{number}", version=f"1.0.{number}")
        await engine.upgrade(wanted(member, path, history=2))
    assert [each.entry.revision for each in stored(member)] == [3, 4]


async def test_fields_of_others_are_a_conflict_or_are_taken(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    path = chart(tmp_path, DEPLOYMENT)
    values = {"replicas": 1, "label": "b"}
    await engine.upgrade(wanted(member, path, values=values))
    member.kubectl("-n", NAMESPACE, "scale", "deployment", "a", "--replicas=3")
    reason, text = await refused(engine, wanted(member, path, values=values | {"replicas": 2}))
    assert (reason, 'conflict with "kubectl"' in text) == ("Conflict", True)
    request = wanted(member, path, values=values | {"replicas": 2}, conflicts="Take", server_side=True)
    if engine.name == "sdk":
        reason, text = await refused(engine, request)
        assert (reason, "cannot take fields from other managers" in text) == ("EngineMissing", True)
    else:
        assert (await engine.upgrade(request)).revision == 3
    reason, _ = await refused(engine, wanted(member, path, values=values | {"replicas": 3, "label": "c"}))
    assert reason == "Immutable"


async def test_what_the_cluster_refuses_has_its_reason(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    ship = "apiVersion: sea.io/v1\nkind: Ship\nmetadata: {name: a}\n"
    assert (await refused(engine, wanted(member, chart(tmp_path, ship))))[0] == "UnknownKind"
    wrong = CONFIG.replace("ConfigMap", "Service") + "one"
    assert (await refused(engine, wanted(member, chart(tmp_path, wrong))))[0] == "RenderFailed"
    member.kubectl("-n", NAMESPACE, "create", "configmap", "a")
    assert (await refused(engine, wanted(member, chart(tmp_path, CONFIG + "one"))))[0] == "Conflict"


async def test_an_actor_does_what_their_rights_allow(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    tenant = as_whom(member, member.kubectl("-n", NAMESPACE, "create", "token", "tenant").decode().strip())
    await engine.upgrade(wanted(member, chart(tmp_path, CONFIG + "one"), access=tenant))
    reason, text = await refused(engine, wanted(member, chart(tmp_path, CONFIG + "one", ROLE), access=tenant))
    assert (reason, "clusterroles" in text) == ("Forbidden", True)
    stolen = CONFIG + '{{ (lookup "v1" "Secret" "kube-system" "any").data | toJson | quote }}'
    reason, text = await refused(engine, wanted(member, chart(tmp_path, stolen), access=tenant))
    assert (reason, 'secrets "any" is forbidden' in text) == ("Forbidden", True)
    reason, _ = await refused(engine, wanted(member, chart(tmp_path, CONFIG + "one"), access=as_whom(member, "wrong")))
    assert reason == "Forbidden"


async def test_a_hook_that_never_ends_fails_and_a_deadline_ends_the_whole(
    engine: Engine, member: Member, release: str, tmp_path: Path, rooms: Path
) -> None:
    path = chart(tmp_path, CONFIG + "one", HOOK)
    assert (await refused(engine, wanted(member, path, hook_timeout_s=2)))[0] == "HookFailed"
    assert (await refused(engine, wanted(member, path, deadline_s=4)))[0] == "Deadline"
    assert [each.entry.status for each in stored(member)] == ["failed", "failed"]
    assert list(rooms.iterdir()) == []


async def test_a_hook_that_never_ends_does_not_hold_up_an_uninstallation_for_ever(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    await engine.upgrade(
        wanted(member, chart(tmp_path, CONFIG + "one", HOOK.replace("pre-install,pre-upgrade", "pre-delete")))
    )
    gone = UninstallRequest(access=as_whom(member), release=release, namespace=NAMESPACE, hook_timeout_s=2)
    with pytest.raises(HelmError) as caught:
        await engine.uninstall(gone)
    assert caught.value.reason == "HookFailed", caught.value
    assert [each.entry.status for each in stored(member)] == ["uninstalling"]


async def test_one_operation_at_a_time_on_a_release_and_who_is_cancelled_leaves_it_pending(
    engine: Engine, member: Member, release: str, tmp_path: Path, rooms: Path
) -> None:
    path = chart(tmp_path, CONFIG + "one", HOOK)
    running = asyncio.create_task(engine.upgrade(wanted(member, path)))
    while not await asyncio.to_thread(stored, member):
        await asyncio.sleep(0.05)
    assert (await refused(engine, wanted(member, path)))[0] == "ReleaseBusy"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (only,) = stored(member)
    assert releases.state([only.entry]).state == "Pending"
    assert list(rooms.iterdir()) == []


async def test_a_helm_that_is_killed_is_told_and_the_next_one_takes_up_what_it_left(
    engine: Engine, member: Member, release: str, tmp_path: Path, rooms: Path
) -> None:
    path = chart(tmp_path, CONFIG + "one", HOOK)
    running = asyncio.create_task(engine.upgrade(wanted(member, path)))
    while not await asyncio.to_thread(stored, member):
        await asyncio.sleep(0.05)
    killed = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _is_in(each, rooms)]
    assert killed
    for process in killed:
        os.kill(process, signal.SIGKILL)
    with pytest.raises(HelmError, match="signal 9") as caught:
        await running
    assert (caught.value.reason, caught.value.final) == ("Failed", False)
    assert releases.state(each.entry for each in stored(member)).state == "Pending"
    await engine.uninstall(UninstallRequest(access=as_whom(member), release=release, namespace=NAMESPACE))
    plain = chart(tmp_path, CONFIG + "one")
    assert (await engine.upgrade(wanted(member, plain))).revision == 1
    assert list(rooms.iterdir()) == []


def _is_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


async def test_a_release_that_cannot_be_stored_is_too_large(
    engine: Engine, member: Member, release: str, tmp_path: Path
) -> None:
    noise = f"{{{{ range until 30 }}}}---\n{CONFIG.replace('name: a', 'name: a{{ . }}')}"
    path = chart(tmp_path, noise + "{{ randAlphaNum 100000 }}\n{{ end }}")
    assert (await refused(engine, wanted(member, path)))[0] == "ResourceLimit"
    assert member.kubectl("-n", NAMESPACE, "get", "configmaps", "-o", "name").split() == [b"configmap/kube-root-ca.crt"]


@pytest.mark.parametrize("version", ["helm-3", "helm-4"])
async def test_helm_reads_and_upgrades_what_the_engine_made_and_the_other_way_round(
    engine: Engine, member: Member, release: str, tmp_path: Path, helms: Mapping[str, Path], version: str
) -> None:
    def by_hand(*arguments: str) -> Any:
        command = [str(helms[version]), "--kubeconfig", str(member.kubeconfig), "--namespace", NAMESPACE, *arguments]
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=60, env={"HOME": str(tmp_path), "PATH": ""}
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    path = chart(tmp_path, CONFIG + "{{ .Values.colour }}")
    await engine.upgrade(wanted(member, path, values={"colour": "red"}))
    assert [(each["name"], each["revision"]) for each in by_hand("list", "-o", "json")] == [("web", "1")]
    assert by_hand("get", "values", "web", "-o", "json") == {"colour": "red"}
    by_hand("upgrade", "web", str(path), "--set", "colour=blue", "-o", "json")
    last = stored(member)[-1]
    assert (last.entry.revision, last.values) == (2, {"colour": "blue"})
    await engine.upgrade(wanted(member, path, values={"colour": "green"}, server_side=last.server_side))
    assert [each["status"] for each in by_hand("history", "web", "-o", "json")] == [
        "superseded",
        "superseded",
        "deployed",
    ]
