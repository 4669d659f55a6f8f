"""A member of its own that a test may cut off, compact and change behind the host's back.

Its API server speaks CBOR too, and its etcd is one that can stream an initial list (`sendInitialEvents`).
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from skerry.localkube import binaries, cluster
from skerry.localkube.process import RunningCluster
from tests.clients.shore import Shore
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

READY_S = 60.0
FISHES = "/apis/sea.example/v1/namespaces/default/fishes"
_CRD = "fishes.sea.example"
_GATE = "--feature-gates=CBORServingAndStorage=true"


@dataclass(frozen=True)
class Rig:
    """The member as clients reach it, and what the test can do to it."""

    shore: Shore
    cluster: cluster.LocalCluster

    def cut_off(self) -> None:
        """Kill its agent: every stream breaks."""
        self.shore.host.agents[-1].stop(signal.SIGKILL)

    def come_back(self) -> None:
        """Start its agent again, and return when it is Ready."""
        self.shore.host.wait_ready("rig", self.shore.host.agent(self.shore.member, None, "--name", "rig"))

    def change(self, verb: str, config_map: str) -> None:
        """Create or delete a ConfigMap, past the host."""
        self.shore.member.kubectl(verb, "configmap", config_map)

    def define_fishes(self, name: str) -> None:
        """Define a resource anew, with one object: its watch cache begins now, not when the API server started."""
        member = self.shore.member
        member.kubectl("delete", "crd", _CRD, "--ignore-not-found")
        member.apply(_definition())
        member.kubectl("wait", "--for=condition=Established", f"crd/{_CRD}", "--timeout=30s")
        fish = {"apiVersion": "sea.example/v1", "kind": "Fish", "metadata": {"name": name}}
        create = member.kubectl_command("create", "-f", "-")
        content = json.dumps(fish).encode()
        eventually(lambda: member.run_inside(create, stdin=content).returncode == 0, "the new resource is served")

    def compact(self) -> int:
        """Forget all revisions of its etcd but the newest; the newest."""
        found = json.loads(self._etcdctl("get", "/", "--keys-only", "--write-out=json"))
        newest = int(found["header"]["revision"])
        self._etcdctl("compaction", str(newest), "--physical")
        return newest

    def _etcdctl(self, *arguments: str) -> bytes:
        pki = self.cluster.directory / "pki" / "etcd"
        flag = "--advertise-client-urls="
        [url] = [each.removeprefix(flag) for spec in self.cluster.specs for each in spec.argv if each.startswith(flag)]
        program = binaries.obtain(["etcd"], progress=lambda _: None)["etcd"].with_name("etcdctl")
        files = [f"--cacert={pki / 'ca.crt'}", f"--cert={pki / 'client.crt'}", f"--key={pki / 'client.key'}"]
        done = subprocess.run(
            [program, f"--endpoints={url}", *files, *arguments], capture_output=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def _definition() -> dict[str, object]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": _CRD},
        "spec": {
            "group": "sea.example",
            "scope": "Namespaced",
            "names": {"plural": "fishes", "singular": "fish", "kind": "Fish", "listKind": "FishList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@contextmanager
def rigged(directory: Path, host: Host, etcd: Path) -> Iterator[Rig]:
    """A member `rig` of `host`, without a node, in `directory`, on this etcd."""
    executables = {**binaries.obtain(binaries.CONTROL_PLANE, progress=lambda _: None), "etcd": etcd}
    prepared = cluster.prepare(directory, name="rig", executables=executables)
    specs = [
        replace(spec, argv=(*spec.argv, _GATE)) if spec is prepared.api_server else spec for spec in prepared.specs
    ]
    with RunningCluster(specs) as running:
        prepared.wait_ready(running, READY_S)
        member = Member(name="rig", kubeconfig=prepared.kubeconfig, url=prepared.url, uid=prepared.uid() or "")
        with host:
            host.up()
            host.join(member, "rig")
            yield Rig(Shore(host, "rig", member, "agent"), prepared)
