"""A chart whose webhook is answered by its own pods, with an authority that it makes once: on a node with Services and names.

Soak: it takes a node and kube-proxy. Its image is built from `tests/clients/go/webhook`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients import tools
from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import helm
from tests.e2e.shapes import Place, chart
from tests.kube import images, packages, services
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.soak, pytest.mark.timeout(600)]
NAME = "sentry"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, member_one: Member) -> Iterator[Place]:
    """A member with a node, Services and names, and the webhook's image."""
    directory = tmp_path_factory.mktemp("services")
    program = tools.obtain(["webhook"], print)["webhook"]
    images.write_program(directory / "webhook.tar", "skerry.test/webhook:1", program)
    socket = next(
        path.parent / "containerd.sock" for path in member_one.logs if (path.parent / "containerd.sock").exists()
    )
    ctr = (packages.required("ctr"), "--address", str(socket), "--namespace", "k8s.io", "images")
    subprocess.run([*ctr, "import", str(directory / "webhook.tar")], check=True, capture_output=True)
    with ExitStack() as running:
        running.enter_context(services.running(member_one, directory))
        yield Place(member_one, NAME)
    subprocess.run([*ctr, "rm", "skerry.test/webhook:1"], check=False, capture_output=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, member_one: Member) -> Iterator[Host]:
    """A host with the App Store on, and the member behind its agent."""
    addresses = (member_one.host_address,) if member_one.isolated else ()
    with Host(tmp_path_factory.mktemp("sentry"), addresses) as made:
        made.up()
        made.join(member_one, "one")
        made.ok("app", "store", "enable")
        yield made
        made.ok("cluster", "remove", "one")


def stored(place: Place, color: str) -> str:
    """What the API server says to a ConfigMap of this color that the webhook is asked about."""
    metadata = {"generateName": "guarded-", "labels": {"guarded-by": NAME}}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"color": color}}
    command = place.member.kubectl_command("-n", NAME, "create", "-f", "-")
    return place.member.run_inside(command, stdin=json.dumps(manifest).encode()).stderr.decode()


def test_a_webhook_that_the_charts_own_pods_answer_lives_its_whole_life(
    host: Host, place: Place, helms: Mapping[str, Path], tmp_path: Path
) -> None:
    def step(*words: str) -> Any:
        state = json.loads(host.ok("app", *words, "--wait", "3m", "-o", "json"))
        assert [each["status"]["phase"] for each in state["instances"]] == ["Deployed"]
        return state["instances"][0]["status"]

    def push(version: str) -> Path:
        path = tmp_path / f"{NAME}-{version}.tgz"
        path.write_bytes(chart(NAME, version))
        host.ok("app", "push", str(path))
        return path

    def says(color: str) -> None:
        """It is asked, and it is the pod of this color that answers."""
        denied = f"denied the request: the sentry is {color}"
        said = [""]

        def is_asked() -> bool:
            said.append(stored(place, "forbidden"))
            return denied in said[-1]

        try:
            eventually(is_asked, f"the {color} pod answers", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}: the API server says {said[-1]}") from error
        assert stored(place, "green") == ""

    push("1.0.0")
    step("install", NAME, NAME, "--cluster", "one", "-n", NAME, "--create-namespace")
    says("blue")
    authority = place.get("secret", NAME)["data"]["ca.crt"]
    second = push("1.1.0")
    step("upgrade", NAME, "--version", "1.1.0", "--set", "color=red")  # its own ConfigMap goes by its own webhook
    says("red")
    refused = host.skerry("app", "upgrade", NAME, "--set", "color=forbidden", "--wait", "60s")
    assert refused.returncode in (1, 5), refused.stderr
    state = json.loads(host.skerry("app", "status", NAME, "-o", "json").stdout)
    (status,) = [each["status"] for each in state["instances"]]
    assert "denied the request: the sentry is" in status["message"]
    step("rollback", NAME, "1")
    says("blue")
    for program in helms.values():
        (listed,) = helm(program, place.member, "list", "-n", NAME, "-o", "json")
        assert (listed["status"], listed["chart"]) == ("deployed", f"{NAME}-1.0.0")
    helm(helms["helm-4"], place.member, "upgrade", NAME, str(second), "-n", NAME, "--set", "color=white", "--wait")
    says("white")
    assert place.get("secret", NAME)["data"]["ca.crt"] == authority, "it is made once"
    done = host.skerry("app", "uninstall", NAME, "--wait", "2m")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"kubectl delete namespace {NAME}"]
    assert place.get("jobs") == []
    assert stored(place, "forbidden") == "", "nobody is asked any more"
    place.member.kubectl("delete", "namespace", NAME, "--wait=false")
