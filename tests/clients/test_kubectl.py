"""kubectl 1.35, 1.36 and 1.37 on objects: what it prints through the host is what it prints next door."""

from __future__ import annotations

import json
import re
import urllib.request
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.clients.shore import Client, Done
from tests.e2e.federation import eventually
from tests.kube import images, pods

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

AGE = re.compile(r" +(?:\d+[dhms]){1,2}(?= |$) *", re.MULTILINE)
"""A column that counts seconds, and grows between two calls; with the spaces that fill it."""


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def manifest(*objects: dict[str, Any]) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()


def next_door(kubectl: Client, *arguments: str) -> Done:
    """The same kubectl against the member itself, inside its network."""
    first = [str(kubectl.program), "--kubeconfig", str(kubectl.shore.member.kubeconfig), *kubectl.first]
    cache = ["--cache-dir", str(kubectl.shore.host.directory / "next-door")]
    return kubectl.shore.member.run_inside([*first, *cache, *arguments])


@pytest.fixture(scope="module")
def things(kubectl: Client) -> str:
    """Something to look at: a ConfigMap and a Secret."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "thing"}, "stringData": {"a": "b"}}
    kubectl.ok("apply", "-f", "-", stdin=manifest(config_map("thing", key="value"), secret))
    return "thing"


@pytest.mark.parametrize(
    "arguments",
    [
        "get configmaps",
        "get configmap thing -o wide",
        "get configmap thing -o yaml",
        "get configmaps,secrets -o json",
        "get configmap thing -o jsonpath={.data.key}",
        "get configmap thing -o custom-columns=NAME:.metadata.name",
        "get nodes -o wide --show-labels --no-headers=false",
        "get configmap absent",
        "get nonsense",
        "describe configmap thing",
        "explain deployment.spec.template.spec.containers",
        "explain pod --recursive",
        "api-resources --sort-by=name",
        "api-versions",
        "top nodes",
        "top pods",
        "get --raw /version",
        "get --raw /readyz?verbose",
        "get --raw /apis/absent.example/v1",
        "create configmap thing",
        "delete configmap absent",
        "apply -f - --dry-run=server --validate=strict",
    ],
)
def test_it_prints_what_it_prints_next_door(kubectl: Client, things: str, arguments: str) -> None:
    words = arguments.split()
    assert _seen(kubectl.run(*words)) == _seen(next_door(kubectl, *words))


def _seen(done: Done) -> tuple[int, str, list[str]]:
    return done.returncode, AGE.sub(" <age> ", done.stdout.decode()), _without_cluster(done.stderr)


def _without_cluster(said: bytes) -> list[str]:
    """stderr but for log lines with times of day (discovery complains about metrics at different moments)."""
    return [line for line in said.decode().splitlines() if line[:1] not in {"E", "W", "I"} or not line[1:5].isdigit()]


def test_apply_creates_changes_and_notices_that_nothing_changed(kubectl: Client) -> None:
    first, second = (manifest(config_map("applied", key=value)) for value in ("1", "2"))
    said = [kubectl.ok("apply", "-f", "-", stdin=each).split()[-1] for each in (first, second, second)]
    assert said == ["created", "configured", "unchanged"]


def test_server_side_apply_tells_conflicts_and_can_take_over(kubectl: Client) -> None:
    mine, theirs = (manifest(config_map("shared", key=value)) for value in ("mine", "theirs"))
    server_side = ("apply", "--server-side", "-f", "-")
    kubectl.ok(*server_side, "--field-manager=mine", stdin=mine)
    refused = kubectl.run(*server_side, "--field-manager=theirs", stdin=theirs)
    assert refused.returncode == 1
    assert b'conflict with "mine"' in refused.stderr
    kubectl.ok(*server_side, "--field-manager=theirs", "--force-conflicts", stdin=theirs)
    assert kubectl.ok("get", "configmap", "shared", "-o", "jsonpath={.data.key}") == "theirs"


def test_diff_says_by_its_exit_code_whether_something_would_change(kubectl: Client) -> None:
    kubectl.ok("apply", "-f", "-", stdin=manifest(config_map("differing", key="1")))
    assert kubectl.run("diff", "-f", "-", stdin=manifest(config_map("differing", key="1"))).returncode == 0
    changed = kubectl.run("diff", "-f", "-", stdin=manifest(config_map("differing", key="2")))
    assert changed.returncode == 1, changed.stderr
    assert b"-  key: " in changed.stdout
    assert b"+  key: " in changed.stdout


@pytest.mark.parametrize("kind", ["json", "merge", "strategic"])
def test_patches_keep_their_content_type(kubectl: Client, kind: str) -> None:
    name = f"patched-{kind}"
    kubectl.ok("create", "configmap", name, "--from-literal=key=1")
    patch = '[{"op":"replace","path":"/data/key","value":"2"}]' if kind == "json" else '{"data":{"key":"2"}}'
    kubectl.ok("patch", "configmap", name, f"--type={kind}", "-p", patch)
    assert kubectl.ok("get", "configmap", name, "-o", "jsonpath={.data.key}") == "2"


def test_wait_sees_a_change_a_deletion_and_the_end_of_its_time(kubectl: Client) -> None:
    kubectl.ok("create", "configmap", "awaited", "--from-literal=key=1")
    with kubectl.start("wait", "configmap/awaited", "--for=jsonpath={.data.key}=2", "--timeout=30s") as waiting:
        kubectl.ok("patch", "configmap", "awaited", "--type=merge", "-p", '{"data":{"key":"2"}}')
        assert waiting.process.wait(30) == 0
    assert kubectl.run("wait", "configmap/awaited", "--for=jsonpath={.data.key}=3", "--timeout=1s").returncode == 1
    with kubectl.start("wait", "configmap/awaited", "--for=delete", "--timeout=30s") as waiting:
        kubectl.ok("delete", "configmap", "awaited")
        assert waiting.process.wait(30) == 0


def test_auth_knows_who_asks_and_what_they_may(kubectl: Client) -> None:
    who = json.loads(kubectl.ok("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert who["username"] == "skerry:admin"
    assert "skerry:cluster-admin" in who["groups"]
    assert kubectl.ok("auth", "can-i", "create", "deployments").strip() == "yes"
    assert kubectl.ok("auth", "can-i", "--list").startswith("Resources")


def test_create_token_mints_one_of_the_members(kubectl: Client) -> None:
    assert kubectl.ok("create", "token", "default", "--duration=10m").count(".") == 2


def test_warm_discovery_asks_again_and_gets_no_body(kubectl: Client, tmp_path: Path) -> None:
    warm = ("api-resources", "--cache-dir", str(tmp_path), "-v=8")
    cold = kubectl.run(*warm)
    again = kubectl.run(*warm, "--cached=false")
    assert again.stdout == cold.stdout
    assert len(again.stdout.splitlines()) > 40
    validators = [path for path in (tmp_path / "http").rglob("*") if path.is_file() and b"Etag" in path.read_bytes()]
    assert validators, "nothing was cached with its ETag"


def test_a_list_in_chunks_is_whole(kubectl: Client) -> None:
    many = [
        config_map(f"many-{number:03}") | {"metadata": {"name": f"many-{number:03}", "labels": {"set": "many"}}}
        for number in range(60)
    ]
    kubectl.ok("create", "-f", "-", stdin=manifest(*many))
    for size in ("7", "50", "0"):
        names = kubectl.ok("get", "configmaps", "-l", "set=many", "-o", "name", f"--chunk-size={size}").split()
        assert names == [f"configmap/many-{number:03}" for number in range(60)]
    assert len(kubectl.ok("get", "configmaps", "-l", "set=many", "--chunk-size=7", "--no-headers").splitlines()) == 60
    kubectl.ok("delete", "configmaps", "-l", "set=many", "--wait=false")


def test_watch_only_starts_with_what_comes_next(kubectl: Client, things: str) -> None:
    with kubectl.start("get", "configmaps", "--watch-only", "-o", "name") as watching:
        numbers = count()

        def tick() -> str | None:
            kubectl.ok("create", "configmap", f"tick-{next(numbers)}")
            return watching.line_within(1.0)

        assert eventually(tick, "an event").startswith("configmap/tick-")


def test_rollout_status_follows_a_deployment_and_undo_goes_back(kubectl: Client) -> None:
    pod = {"terminationGracePeriodSeconds": 0, "containers": [_container("one")]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "fleet"}},
        "template": {"metadata": {"labels": {"app": "fleet"}}, "spec": pod},
    }
    kubectl.ok(
        "apply",
        "-f",
        "-",
        stdin=manifest({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fleet"}, "spec": spec}),
    )
    assert "successfully rolled out" in kubectl.ok("rollout", "status", "deployment/fleet", "--timeout=60s")
    kubectl.ok("set", "env", "deployment/fleet", "COLOUR=blue")
    kubectl.ok("rollout", "status", "deployment/fleet", "--timeout=60s")
    kubectl.ok("rollout", "undo", "deployment/fleet")
    kubectl.ok("rollout", "status", "deployment/fleet", "--timeout=60s")
    assert "COLOUR" not in kubectl.ok("get", "deployment", "fleet", "-o", "yaml")
    kubectl.ok("scale", "deployment/fleet", "--replicas=0")
    kubectl.ok("delete", "deployment", "fleet")


def _container(name: str) -> dict[str, Any]:
    return {"name": name, "image": images.BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", pods.FOREVER]}


def test_cordon_and_drain(kubectl: Client) -> None:
    node = str(kubectl.shore.member.node)
    pod = pods.busybox("guest", namespace=kubectl.first[1])
    pod["metadata"]["labels"] = {"who": "guest"}
    kubectl.ok("apply", "-f", "-", stdin=manifest(pod))
    kubectl.ok("wait", "--for=condition=Ready", "pod/guest", "--timeout=60s")
    try:
        kubectl.ok("cordon", node)
        kubectl.ok("drain", node, "--pod-selector=who=guest", "--force", "--timeout=60s")
        assert kubectl.run("get", "pod", "guest").returncode == 1
    finally:
        kubectl.ok("uncordon", node)


def test_a_local_proxy_serves_the_cluster(kubectl: Client) -> None:
    with kubectl.start("proxy", "--port=0") as serving:
        address = serving.line().rsplit(" ", 1)[-1]
        with urllib.request.urlopen(f"http://{address}/api/v1/namespaces/{kubectl.first[1]}", timeout=30) as answer:
            found = json.load(answer)
    assert (found["kind"], found["metadata"]["name"]) == ("Namespace", kubectl.first[1])
