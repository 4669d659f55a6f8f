"""A real node in a member's network namespace: containerd and kubelet, so that logs, exec, cp and port-forward are real.

Both programs are told to keep everything in the member's directory and cgroup: two kubelets on one machine that share a
cgroup root kill each other's pods, and a containerd of the machine must not notice ours. Where a path is built into them
(a starting kubelet empties /var/lib/kubelet/device-plugins, whoever uses it), a mount namespace of the node's own has a
directory of ours there; with it go all mounts of the pods. There is no scheduler (70 MB and
a process more for one node): an admission policy in the API server puts a pod that names no node on the one that is
there, so that deployments and `kubectl run` work.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.localkube import binaries
from skerry.localkube.cluster import LocalCluster
from skerry.localkube.process import ProcessSpec, RunningCluster
from tests.kube import images, packages
from tests.kube.netns import Namespace

CGROUPS = Path("/sys/fs/cgroup")
_POD_NETWORK = "10.214.0.0/24"  # the same in every member: no two can meet
_SERVICE_ADDRESS = "10.0.0.1"

# Paths that containerd, its shims, the CNI plugins and the kubelet use whatever their configuration says.
_BUILT_IN = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
_HIDE = 'own=$1; shift; for path in {paths}; do mkdir -p "$path" "$own$path"; mount --bind "$own$path" "$path"; done'


class Node:
    """The node of one member. `specs` start in order: containerd first, kubelet when its socket answers."""

    def __init__(
        self, name: str, directory: Path, namespace: Namespace, cluster: LocalCluster, executables: Mapping[str, Path]
    ) -> None:
        self.name = name
        self._directory = directory
        self._namespace = namespace
        self._cluster = cluster
        self._kubelet = executables[binaries.KUBELET]
        self._socket = directory / "containerd.sock"

    def prepare(self) -> ProcessSpec:
        """Write configurations, image and cgroups. Returns what is to be started first."""
        _make_cgroups(self._namespace.name)
        (self._directory / "containerd.toml").write_text(self._containerd_toml())
        cni = self._directory / "cni"
        cni.mkdir()
        (cni / "10-pods.conflist").write_text(json.dumps(self._cni()))
        (self._directory / "kubelet.json").write_text(json.dumps(self._kubelet_configuration()))
        images.write_archive(self._directory / "images.tar", Path(packages.required("busybox")))
        self._route_service_address()
        return ProcessSpec(
            name=f"{self.name}-containerd",
            argv=(
                *self._namespace.prefix,
                *self._own_mounts(),
                packages.required("containerd"),
                "--config",
                str(self._directory / "containerd.toml"),
            ),
            log=self._directory / "containerd.log",
        )

    def start_kubelet(self, running: RunningCluster, containerd: ProcessSpec, deadline_s: float) -> ProcessSpec:
        """Wait for containerd, give it the images, start the kubelet, which registers the node by itself."""
        running.wait_until(lambda: self._ctr("version"), containerd, time.monotonic() + deadline_s)
        if refused := self._ctr("images", "import", str(self._directory / "images.tar")):
            raise RuntimeError(f"containerd did not take the images: {refused}")
        kubelet = self._kubelet_process(running.pids[containerd.name])
        running.add(kubelet)
        return kubelet

    def _own_mounts(self) -> list[str]:
        """Runs what follows in a new mount namespace, in which the built-in paths are directories of this node."""
        script = f'set -e; {_HIDE.format(paths=" ".join(_BUILT_IN))}; exec "$@"'
        unshare = [packages.required("unshare"), "--mount", "--propagation", "private", "--"]
        return [*unshare, "sh", "-c", script, "sh", str(self._directory / "own")]

    def _kubelet_process(self, containerd: int) -> ProcessSpec:
        """The kubelet, in containerd's mount namespace: volumes that it mounts must be seen there."""
        return ProcessSpec(
            name=f"{self.name}-kubelet",
            argv=(
                *self._namespace.prefix,
                packages.required("nsenter"),
                f"--mount=/proc/{containerd}/ns/mnt",
                "--",
                str(self._kubelet),
                f"--config={self._directory / 'kubelet.json'}",
                f"--kubeconfig={self._cluster.directory / 'kubelet.kubeconfig'}",
                f"--root-dir={self._directory / 'kubelet'}",
                f"--node-ip={self._namespace.address}",
                f"--hostname-override={self.name}",
            ),
            log=self._directory / "kubelet.log",
        )

    def _ctr(self, *arguments: str) -> str | None:
        """None when `ctr` succeeded, else what it said."""
        command = [packages.required("ctr"), "--address", str(self._socket), "--namespace", "k8s.io", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return None if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"

    def _route_service_address(self) -> None:
        """Pods reach the API server at the address of service `kubernetes`, as in-cluster clients expect."""
        target = self._cluster.url.removeprefix("https://")
        match = ["-d", _SERVICE_ADDRESS, "-p", "tcp", "--dport", "443", "-j", "DNAT", "--to-destination", target]
        self._namespace.run([packages.required("iptables"), "-w", "-t", "nat", "-A", "PREROUTING", *match])

    def _containerd_toml(self) -> str:
        """restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower scores, and no container starts."""
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        return f"""version = 2
root = "{self._directory}/root"
state = "{self._directory}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{self._socket}"
[{cri}]
  sandbox_image = "{images.SANDBOX}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[{cri}.cni]
  bin_dir = "{packages.cni_directory()}"
  conf_dir = "{self._directory}/cni"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
  BinaryName = "{packages.required("runc")}"
  Root = "{self._directory}/runc"
"""

    def _cni(self) -> dict[str, Any]:
        addresses = {
            "type": "host-local",
            "subnet": _POD_NETWORK,
            "dataDir": str(self._directory / "addresses"),
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        return {
            "cniVersion": "0.4.0",
            "name": self._namespace.name,
            "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}],
        }

    def _kubelet_configuration(self) -> dict[str, Any]:
        """Thresholds low, because a test's machine may have a full disk; eviction is not what is tested."""
        pki = self._cluster.directory / "pki"
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": str(pki / "ca.crt")},
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(pki / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._namespace.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "resolvConf": "",
            "clusterDNS": [self._namespace.address],  # where a test that wants names runs a server (services.py)
            "clusterDomain": "cluster.local",
            "podLogsDir": str(self._directory / "logs"),
            "volumePluginDir": str(self._directory / "volume-plugins"),
            "evictionHard": {"memory.available": "20Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": 50,
            "readOnlyPort": 0,
        }


def assigning_policy(node: str) -> list[dict[str, Any]]:
    """The admission policy that stands in for a scheduler: a pod without a node gets `node`."""
    api = {"apiVersion": "admissionregistration.k8s.io/v1"}
    name = {"metadata": {"name": "only-node"}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    patch = f'Object{{spec: Object.spec{{nodeName: "{node}"}}}}'
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "unassigned", "expression": "!has(object.spec.nodeName)"}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": patch}}],
    }
    return [
        {**api, "kind": "MutatingAdmissionPolicy", **name, "spec": policy},
        {**api, "kind": "MutatingAdmissionPolicyBinding", **name, "spec": {"policyName": "only-node"}},
    ]


def _make_cgroups(name: str) -> None:
    """The kubelet's cgroup root must exist in every hierarchy, and a v1 cpuset must have its CPUs before any task."""
    if (CGROUPS / "cgroup.controllers").exists():
        _make_cgroup_v2(name)
        return
    for hierarchy in CGROUPS.iterdir():
        if not (hierarchy / "cgroup.procs").exists():
            continue
        own = hierarchy / name
        own.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (own / setting).exists():
                (own / setting).write_text((hierarchy / setting).read_text())


def _make_cgroup_v2(name: str) -> None:
    """A controller that cannot be enabled is one that this machine does without; the kubelet names what it needs."""
    own = CGROUPS / name
    own.mkdir(exist_ok=True)
    for controller in (CGROUPS / "cgroup.controllers").read_text().split():
        for level in (CGROUPS, own):
            with contextlib.suppress(OSError):
                (level / "cgroup.subtree_control").write_text(f"+{controller}")
