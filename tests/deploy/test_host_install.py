"""The host's chart on a real API server: taken strictly, run as its pods would be."""

from __future__ import annotations

import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from skerry.cli.incluster.selftest import client, probe
from skerry.identity import jointoken, x509
from tests.deploy.agentchart import NAMESPACE, ROOT, helm, make_namespace
from tests.deploy.hostchart import CHART, RELEASE, manifest
from tests.deploy.hostpods import HostPods
from tests.deploy.test_host_chart import MATRIX
from tests.e2e.federation import eventually
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

pytestmark = pytest.mark.kube

ELSEWHERE = ("Certificate", "TLSRoute")
"""Kinds of other projects, which this API server has not."""


@pytest.fixture(params=[pytest.param("helm-3", marks=pytest.mark.soak), "helm-4"])
def binary(request: pytest.FixtureRequest, helms: Mapping[str, Path]) -> Path:
    return helms[request.param]


def test_a_real_api_server_takes_all_of_it_strictly_and_admits_every_pod(
    binary: Path, plain_cluster: Member, tmp_path: Path
) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    plain_cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforce}})
    for values in MATRIX.values():
        code, text, err = manifest(binary, values, tmp_path)
        assert code == 0, err
        objects = [each for each in yaml.safe_load_all(text) if each and each["kind"] not in ELSEWHERE]
        accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
        plain_cluster.apply(*accounts)
        templates = {
            each["metadata"]["name"]: each["spec"]["template"]
            for each in objects
            if each["kind"] in ("Deployment", "StatefulSet")
        }
        for name, template in templates.items():
            document = {"apiVersion": "v1", "kind": "Pod", **template}
            spec = {**document["spec"], "volumes": [*document["spec"]["volumes"], {"name": "data", "emptyDir": {}}]}
            if name == "skerry-nats" and values.get("bus", {}).get("persistence", {}).get("enabled", True):
                document["spec"] = spec
            if "priorityClassName" in document["spec"]:
                del document["spec"]["priorityClassName"]  # of the cluster's administrator
            document["metadata"] = {**document["metadata"], "name": name, "namespace": NAMESPACE}
            objects.append(document)
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
        said = plain_cluster.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=listed
        )
        for each in objects:
            assert f"/{each['metadata']['name']} serverside-applied (server dry run)".encode() in said
        plain_cluster.kubectl("delete", "serviceaccount", "-n", NAMESPACE, "-l", "skerry.dev/installed=host")


EVERYTHING = (
    "deployments,statefulsets,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,secrets,"
    "configmaps,clusterroles,clusterrolebindings"
)


@pytest.fixture
def pods(binary: Path, plain_cluster: Member, tmp_path: Path) -> Iterator[HostPods]:
    make_namespace(plain_cluster)
    made = HostPods(binary, plain_cluster, tmp_path)
    yield made
    made.close()
    helm(binary, "uninstall", RELEASE, "-n", NAMESPACE, "--kubeconfig", str(plain_cluster.kubeconfig))
    delete_namespaces(plain_cluster, NAMESPACE)
    plain_cluster.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


def left(member: Member) -> set[str]:
    """What there is of a host, with any of our marks."""
    marks = member.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.annotations}")
    names = {"the mark"} if b"skerry.dev/host" in marks else set[str]()
    for label in ("skerry.dev/installed", "skerry.dev/host", "app.kubernetes.io/part-of=skerry"):
        names |= set(member.kubectl("get", EVERYTHING, "-A", "-l", label, "-o", "name").decode().split())
    return names


def through(pods: HostPods, *words: str) -> str:
    """kubectl at the host's own cluster through its front door, as its administrator; what it printed, empty if it failed."""
    file = pods.directory / "through"
    pods.skerry("kubeconfig", "--kubeconfig", f"{pods.directory}/admin", "--output", str(file))
    command = pods.member.kubectl_command("--context", "skerry-host", *words)
    command[command.index("--kubeconfig") + 1] = str(file)
    return pods.member.run_inside(command).stdout.decode()


def test_a_host_from_nothing_to_nothing(pods: HostPods, plain_cluster: Member) -> None:
    """Installed, begun with the rights of its Role alone, used, upgraded, rolled back, uninstalled."""
    said = pods.release("install")
    assert "skerry kubeconfig --from CONTEXT/skerry-system" in said
    early = pods.skerry("kubeconfig", "--from", f"{plain_cluster.name}/{NAMESPACE}")
    assert (early.returncode, "no host is there, or its first start is not over" in early.stderr) == (1, True)

    first = pods.bootstrap()
    assert first.returncode == 0, first.stderr
    assert (pods.directory / "controller-manager" / "run" / "skerry" / "keys" / "authority.json").exists()
    pods.start_bus()
    pods.wait_ready(pods.start("skerry-controller-manager"), pods.start("skerry-tower"))

    admin = pods.skerry(
        "kubeconfig", "--from", f"{plain_cluster.name}/{NAMESPACE}", "--output", f"{pods.directory}/admin"
    )
    assert admin.returncode == 0, admin.stderr
    clusters = pods.skerry("cluster", "list", "--kubeconfig", f"{pods.directory}/admin")
    assert (clusters.returncode, "host" in clusters.stdout) == (0, True), clusters.stderr
    own = eventually(lambda: through(pods, "get", "namespaces", "-o", "name"), "its own cluster is managed", 60)
    assert f"namespace/{NAMESPACE}" in own
    token = pods.skerry("token", "create", "m1", "--kubeconfig", f"{pods.directory}/admin")
    assert token.returncode == 0, token.stderr
    assert jointoken.decode(token.stdout.strip(), 0).servers == [f"tls://127.0.0.1:{pods.bus}"]
    files = pods.secret("skerry-admin")
    for name in ("token", "ca.crt"):
        (pods.directory / name).write_bytes(files[name])
    probe(client(f"https://127.0.0.1:{pods.door}", pods.directory))

    again = pods.bootstrap()
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    keys = pods.secret("skerry-keys")
    pods.release("upgrade", logLevel="debug", controllerManager={"replicas": 3})
    pods.helm("rollback", RELEASE)
    assert pods.secret("skerry-keys") == keys
    plain_cluster.kubectl("delete", "secret", "skerry-tower", "-n", NAMESPACE)
    assert pods.bootstrap().stdout == "skerry-tower was written\n"

    pods.close()
    pods.helm("uninstall", RELEASE)
    secrets = ("root", "keys", "nats", "controller-manager", "tower", "admin")
    eventually(
        lambda: left(plain_cluster) == {"the mark", *(f"secret/skerry-{each}" for each in secrets)},
        "only the Secrets and the mark are left",
    )
    plain_cluster.kubectl("delete", "secret", "-n", NAMESPACE, "-l", "skerry.dev/installed=host")
    page = (ROOT / "docs" / "host-cluster.md").read_text()
    assert len(plain_cluster.obey(page[page.index("## What is left") :])) == 2
    assert left(plain_cluster) == set()


def show_a_certificate_of_others(pods: HostPods) -> str:
    """At the front door's address: the administrator's kubeconfig trusts the host's own authority alone."""
    others = x509.issue_server(x509.create_ca("elsewhere"), ("127.0.0.1",))
    data = {"tls.crt": others.certificate.decode(), "tls.key": others.key.decode()}
    metadata = {"name": "front", "namespace": NAMESPACE}
    pods.member.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
    pods.values["tower"]["tls"] = {"existingSecret": "front"}
    return data["tls.crt"]


def test_while_the_bus_has_no_address_a_token_is_refused_with_the_reason(pods: HostPods, plain_cluster: Member) -> None:
    others = show_a_certificate_of_others(pods)
    pods.release("install", bus={})
    assert pods.bootstrap().returncode == 0
    pods.start_bus()
    pods.wait_ready(pods.start("skerry-controller-manager"), pods.start("skerry-tower"))
    assert ssl.get_server_certificate(("127.0.0.1", pods.door)).strip() == others.strip()
    admin = f"{pods.directory}/admin"
    eventually(
        lambda: pods.skerry("kubeconfig", "--from", plain_cluster.name, "--output", admin).returncode == 0, "admin"
    )
    refused = eventually(
        lambda: next(
            (done for done in [pods.skerry("token", "create", "m1", "--kubeconfig", admin)] if "bus" in done.stderr),
            None,
        ),
        "the host answers",
    )
    assert (refused.returncode, "no address is known under which others reach the bus" in refused.stderr) == (1, True)
    given = json.dumps({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}})
    plain_cluster.kubectl(
        "patch", "service", "skerry-bus", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", given
    )
    assert "skerry-controller-manager was written" in pods.bootstrap().stdout
    token = pods.skerry("token", "create", "m1", "--kubeconfig", admin)
    assert token.returncode == 0, token.stderr
    assert jointoken.decode(token.stdout.strip(), 0).servers == ["tls://lb.example:4222"]
    assert eventually(lambda: through(pods, "get", "namespaces", "-o", "name"), "a member's name is reached too", 60)


@pytest.mark.soak
def test_services_apart_on_a_bus_and_with_keys_of_their_owner(pods: HostPods, plain_cluster: Member) -> None:
    """As docs/install.md tells: the keys first, then the servers that trust them, then the release."""
    keys = pods.directory / "keys"
    conf = pods.skerry(
        "nats-config", "--nats-keys", str(keys), "--address", "127.0.0.1", "--bus", f"127.0.0.1:{pods.bus}"
    )
    assert conf.returncode == 0, conf.stderr
    uid = str(uuid.uuid4())
    (keys / "host-uid").write_text(f"{uid}\n")
    plain_cluster.kubectl("create", "secret", "generic", "-n", NAMESPACE, "skerry-own-keys", f"--from-file={keys}")
    assert "operator" not in " ".join(pods.secret("skerry-own-keys")), "the root stays away"
    bus = {"mode": "external", "external": {"servers": [f"tls://127.0.0.1:{pods.bus}"]}}
    apart = ("registry", "tenancy")
    pods.release("install", bus=bus, keys={"existingSecret": "skerry-own-keys"}, standalone=list(apart))
    done = pods.bootstrap()
    assert done.returncode == 0, done.stderr
    assert {"skerry-registry", "skerry-tenancy"} <= {line.split()[0] for line in done.stdout.splitlines()}
    assert not pods.get("statefulset", "-l", "skerry.dev/installed=host")["items"]
    pods.start_own_bus(conf.stdout)
    workloads = ("controller-manager", *apart, "tower")
    pods.wait_ready(*(pods.start(f"skerry-{each}") for each in workloads))
    admin = f"{pods.directory}/admin"
    place = f"{plain_cluster.name}/{NAMESPACE}"
    assert pods.skerry("kubeconfig", "--from", place, "--output", admin).returncode == 0
    token = pods.skerry("token", "create", "m1", "--kubeconfig", admin)
    assert token.returncode == 0, token.stderr
    assert jointoken.decode(token.stdout.strip(), 0).servers == [f"tls://127.0.0.1:{pods.bus}"]
    assert uid in eventually(
        lambda: through(pods, "get", "namespace", "kube-system", "-o", "yaml"), "it is managed", 60
    )


@pytest.mark.soak
@pytest.mark.parametrize("binary", ["helm-3"], indirect=True)
def test_what_helm_3_installed_helm_4_upgrades_replaces_rolls_back_and_uninstalls(
    pods: HostPods, plain_cluster: Member, helms: Mapping[str, Path]
) -> None:
    pods.release("install")
    assert pods.bootstrap().returncode == 0
    keys = pods.secret("skerry-keys")
    pods.binary = helms["helm-4"]
    pods.release("upgrade", logLevel="debug")
    pods.release("upgrade", "--force-replace", "--server-side=false", tower={**pods.values["tower"], "replicas": 2})
    assert pods.get("deployment", "skerry-tower")["spec"]["replicas"] == 2
    pods.helm("rollback", RELEASE, "1")
    assert pods.get("deployment", "skerry-tower")["spec"]["replicas"] == 1
    assert pods.secret("skerry-keys") == keys
    assert pods.bootstrap().stdout == ""
    pods.helm("uninstall", RELEASE)
    pods.wait_gone("deployment")
    assert pods.secret("skerry-keys") == keys


def test_a_second_host_in_the_cluster_is_refused_by_helm(pods: HostPods, plain_cluster: Member) -> None:
    pods.release("install")
    elsewhere = ("install", "other", str(CHART), "-n", "elsewhere", "--create-namespace")
    done = helm(pods.binary, *elsewhere, "--kubeconfig", str(plain_cluster.kubeconfig))
    assert (done.returncode, "skerry:host" in done.stderr) == (1, True)
    helm(pods.binary, "uninstall", "other", "-n", "elsewhere", "--kubeconfig", str(plain_cluster.kubeconfig))


def test_what_the_bootstrap_lacks_is_named(pods: HostPods, plain_cluster: Member) -> None:
    pods.release("install")
    done = pods.bootstrap("skerry-nats")
    assert done.returncode == 1
    assert "does not let the bootstrap get Namespace kube-system" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
