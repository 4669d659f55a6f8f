"""The charts under Flux and Argo CD, by the libraries with which these apply and compare: what was applied stays as it was applied,
also after our processes have written to the same cluster. Nothing is fought over.

Soak: the libraries take minutes to build once.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploy import agentchart, hostchart
from tests.deploy.agentchart import NAMESPACE, make_namespace
from tests.deploy.hostpods import HostPods
from tests.deploy.test_agent_install import Installed
from tests.deploy.test_host_install import through
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.soak, pytest.mark.timeout(600)]


class GitOps:
    """A manifest, and who keeps a cluster as it says."""

    def __init__(self, program: Path, member: Member, manifest: str, directory: Path) -> None:
        self.program, self.member, self.file = program, member, directory / "manifest.yaml"
        objects = [each for each in yaml.safe_load_all(manifest) if each]
        hooks = [each for each in objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
        assert [each["metadata"]["name"] for each in hooks] in ([], ["skerry-test"])
        self.objects = [each for each in objects if each not in hooks]
        self.file.write_text(yaml.safe_dump_all(self.objects))

    def words(self, whose: str, but: str = "") -> list[str]:
        """What one of them says of each object; differences are printed, and none is awaited unless `but` says so."""
        environment = {**os.environ, "KUBECONFIG": str(self.member.kubeconfig)}
        command = [str(self.program), whose, str(self.file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        words = [line.split()[0] for line in done.stdout.splitlines()]
        assert len(words) == len(self.objects) * (2 if whose == "argo" else 1), done.stdout
        assert but or not done.stderr, done.stderr
        return words

    def check(self) -> None:
        """Neither finds anything that is not as it was applied, nor does what the other applied differ for it."""
        assert set(self.words("argo")) == {"Synced"}
        assert set(self.words("flux")) == {"unchanged"}
        apply = (
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=argocd-controller",
            "-f",
            str(self.file),
        )
        before = self.versions()
        self.member.kubectl(*apply)
        once = self.versions()
        self.member.kubectl(*apply)
        assert self.versions() == once, "a second sync changed something"
        assert before.keys() == once.keys()
        assert set(self.words("argo")) == {"Synced"}

    def versions(self) -> dict[str, str]:
        """resourceVersion of each object."""
        path = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}"
        lines = self.member.kubectl("get", "-f", str(self.file), "-o", path).decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines)


@pytest.fixture
def cluster(plain_cluster: Member) -> Iterator[Member]:
    """One with an empty namespace, of which nothing is left."""
    make_namespace(plain_cluster)
    yield plain_cluster
    plain_cluster.kubectl("delete", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/part-of=skerry")
    plain_cluster.kubectl("delete", "namespace", NAMESPACE)
    plain_cluster.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


def test_a_host_that_manages_its_cluster(
    gitops: Path, helms: Mapping[str, Path], cluster: Member, tmp_path: Path
) -> None:
    pods = HostPods(helms["helm-4"], cluster, tmp_path)
    code, manifest, err = hostchart.manifest(pods.binary, pods.values, tmp_path)
    assert code == 0, err
    kept = GitOps(gitops, cluster, manifest, tmp_path)
    try:
        assert set(kept.words("flux")) == {"created"}
        assert pods.bootstrap().returncode == 0
        pods.start_bus()
        pods.wait_ready(pods.start("skerry-controller-manager"), pods.start("skerry-tower"))
        admin = f"{pods.directory}/admin"
        place = f"{cluster.name}/{NAMESPACE}"
        assert pods.skerry("kubeconfig", "--from", place, "--output", admin).returncode == 0
        eventually(lambda: through(pods, "get", "namespaces", "-o", "name"), "its own cluster is managed", 60)
        eventually(
            lambda: pods.skerry("desired", "wait", "host", "--kubeconfig", admin).returncode == 0, "all is in place", 60
        )
        kept.check()
    finally:
        pods.close()


def test_an_agent_that_joined(gitops: Path, helms: Mapping[str, Path], cluster: Member, tmp_path: Path) -> None:
    with Host(tmp_path / "host") as host:
        host.up()
        done = agentchart.template(helms["helm-4"], {"token": host.token("kept")}, tmp_path)
        assert done.returncode == 0, done.stderr
        kept = GitOps(gitops, cluster, done.stdout, tmp_path)
        assert set(kept.words("flux")) == {"created"}
        agent, _ = Installed(helms["helm-4"], cluster, host, tmp_path).pod()
        host.wait_ready("kept", agent, 60)
        eventually(lambda: host.skerry("desired", "wait", "kept").returncode == 0, "all is in place", 60)
        state = cluster.kubectl("get", "secret", "skerry-agent-state", "-n", NAMESPACE, "-o", "jsonpath={.data.seed}")
        kept.check()
        assert state
        assert state == cluster.kubectl(
            "get", "secret", "skerry-agent-state", "-n", NAMESPACE, "-o", "jsonpath={.data.seed}"
        )
        assert agent.stop() == 0
        cluster.kubectl("scale", "deployment/skerry-agent", "-n", NAMESPACE, "--replicas=2")
        assert kept.words("argo", "OutOfSync").count("OutOfSync") == 2, "what somebody else changed is seen"
        assert kept.words("flux").count("configured") == 1
