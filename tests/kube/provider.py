"""Where the tests' clusters come from: one choice per run, `SKERRY_TEST_KUBE` = kubeconfig | k3s | envtest.

Unset, the first that works: clusters that the developer names (contexts of `SKERRY_TEST_KUBECONFIG`), else envtest, which
starts real control planes here (`skerry.localkube`), each member in a network namespace with a node of its own. k3s needs
an image from a registry and gives nothing that these two lack; asked for, it says how to use one that is running.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from skerry.localkube import binaries, cluster
from skerry.localkube.errors import LocalKubeError
from skerry.localkube.process import ProcessSpec, RunningCluster
from tests.kube import netns, packages, slot
from tests.kube.breakable import BreakableCluster, Processes
from tests.kube.member import Member
from tests.kube.node import Node, assigning_policy

_READY_S = 60.0
_MEMBER_PORTS = cluster.Ports(api=6443, etcd=2379, etcd_peer=2380)
Say = Callable[[str], None]


class Unavailable(Exception):
    """This provider does not work here; the text is one line that says how to get it."""


class Provider(Protocol):
    """Gives clusters; `close` takes everything away again."""

    @property
    def description(self) -> str: ...

    def members(self, names: Iterable[str]) -> dict[str, Member]:
        """Clusters with a node, isolated where the provider can do that; started at the same time, kept till `stop`."""
        ...

    def stop(self, name: str) -> None:
        """Take one of these away again."""
        ...

    def plain(self, directory: Path, name: str = "plain") -> AbstractContextManager[Member]:
        """A cluster that the host can connect to, without a node."""
        ...

    def close(self) -> None: ...


def choose(say: Say, environ: Mapping[str, str] = os.environ) -> Provider:
    """The provider of this run; builds and installs what it needs, which may take minutes. Raises Unavailable."""
    makers: dict[str, Callable[[Say, Mapping[str, str]], Provider]] = {
        "kubeconfig": GivenClusters,
        "envtest": OwnClusters,
        "k3s": _k3s,
    }
    wanted = environ.get("SKERRY_TEST_KUBE")
    if wanted is not None and wanted not in makers:
        raise Unavailable(f"SKERRY_TEST_KUBE={wanted}: it is one of {', '.join(makers)}")
    reasons = []
    for name in [wanted] if wanted else ["kubeconfig", "envtest"]:
        try:
            return makers[name](say, environ)
        except Unavailable as error:
            reasons.append(f"{name}: {error}")
    raise Unavailable("; ".join(reasons))


def _k3s(say: Say, environ: Mapping[str, str]) -> Provider:
    raise Unavailable("start k3s yourself and set SKERRY_TEST_KUBE=kubeconfig, SKERRY_TEST_KUBECONFIG=<its kubeconfig>")


class GivenClusters:
    """Clusters that are there: the contexts of a kubeconfig, in its order; member i is context i.

    Their pods pull `SKERRY_TEST_IMAGE` (`busybox:stable`).
    """

    def __init__(self, say: Say, environ: Mapping[str, str]) -> None:
        self._file = environ.get("SKERRY_TEST_KUBECONFIG", "")
        if not self._file:
            raise Unavailable("set SKERRY_TEST_KUBECONFIG to a kubeconfig whose contexts the tests may use")
        self._image = environ.get("SKERRY_TEST_IMAGE", "busybox:stable")
        self._contexts = self._kubectl("config", "get-contexts", "--output=name").split()
        if not self._contexts:
            raise Unavailable(f"{self._file} has no context")
        self._stack = ExitStack()

    @property
    def description(self) -> str:
        return f"kubeconfig (contexts {', '.join(self._contexts)} of {self._file})"

    def members(self, names: Iterable[str]) -> dict[str, Member]:
        wanted = list(names)
        if len(wanted) > len(self._contexts):
            raise Unavailable(f"{self._file} has {len(self._contexts)} contexts, the tests want {len(wanted)}")
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="skerry-kube-")))
        return {name: self._member(context, directory) for name, context in zip(wanted, self._contexts, strict=False)}

    def stop(self, name: str) -> None:
        """They are not ours to stop."""

    def plain(self, directory: Path, name: str = "plain") -> AbstractContextManager[Member]:
        return nullcontext(self._member(self._contexts[0], directory))

    def close(self) -> None:
        self._stack.close()

    def _member(self, context: str, directory: Path) -> Member:
        view = ["config", "view", "--raw", "--minify", "--flatten", f"--context={context}", "--output=json"]
        document = json.loads(self._kubectl(*view))
        own = directory / f"{context.replace('/', '_')}.kubeconfig"
        own.touch(mode=0o600)
        own.write_text(json.dumps(document))
        uid = self._kubectl(
            f"--context={context}", "get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"
        )
        nodes = self._kubectl(f"--context={context}", "get", "nodes", "--output=jsonpath={.items[*].metadata.name}")
        return Member(
            name=context,
            kubeconfig=own,
            url=document["clusters"][0]["cluster"]["server"],
            uid=uid,
            node=next(iter(nodes.split()), None),
            image=self._image,
        )

    def _kubectl(self, *arguments: str) -> str:
        command = [str(binaries.kubectl(prefer_wheel=True)), f"--kubeconfig={self._file}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode != 0:
            raise Unavailable(f"{self._file}: {done.stderr.strip()}")
        return done.stdout


class OwnClusters:
    """Control planes started here: members in network namespaces with nodes (root, Linux), plain ones on loopback."""

    def __init__(self, say: Say, environ: Mapping[str, str]) -> None:
        try:
            self._executables = binaries.obtain(["etcd", "kubectl", *binaries.CONTROL_PLANE], progress=say)
        except LocalKubeError as error:
            raise Unavailable(str(error)) from error
        self._no_node = self._why_no_node(say, environ)
        self._opened: dict[str, ExitStack] = {}
        self._started: dict[str, _Starting] = {}
        self._ready: dict[str, Member] = {}

    @property
    def description(self) -> str:
        nodes = f"no nodes: {self._no_node}" if self._no_node else "nodes in network namespaces"
        return f"envtest ({self._executables[binaries.KUBE_APISERVER]}, {nodes})"

    @property
    def without_nodes(self) -> str | None:
        """Why there are no nodes here, hence no members; None where there are."""
        return self._no_node

    def members(self, names: Iterable[str]) -> dict[str, Member]:
        """Spawn all that are not running yet, then wait for each. All from the calling thread (see `process`)."""
        if self._no_node:
            raise Unavailable(self._no_node)
        wanted = list(names)
        for name in wanted:
            if name not in self._started:
                self._started[name] = self._spawn(name)
        for name in wanted:
            if name not in self._ready:
                self._ready[name] = self._started[name].finish()
        return {name: self._ready[name] for name in wanted}

    def stop(self, name: str) -> None:
        """Stop its processes; the cleaning of its slot takes what they left."""
        self._started.pop(name, None)
        self._ready.pop(name, None)
        if opened := self._opened.pop(name, None):
            opened.close()

    @contextmanager
    def plain(self, directory: Path, name: str = "plain") -> Iterator[Member]:
        with self.breakable(directory, name) as broken:
            yield broken.member

    @contextmanager
    def breakable(self, directory: Path, name: str) -> Iterator[BreakableCluster]:
        """A plain one whose processes a test may kill."""
        prepared = cluster.prepare(directory, name=name, executables=self._executables)
        with Processes(prepared.specs) as processes:
            prepared.wait_ready(processes, _READY_S)
            member = _as_member(prepared, prepared.uid() or "")
            yield BreakableCluster(member=member, prepared=prepared, processes=processes)

    def close(self) -> None:
        """Stop all members."""
        for name in list(self._opened):
            self.stop(name)

    def _why_no_node(self, say: Say, environ: Mapping[str, str]) -> str | None:
        """Gets what a node needs; the reason why there can be none, or None."""
        if os.geteuid() != 0:
            return "network namespaces and nodes need root"
        try:
            packages.ensure(say, environ)
            self._executables |= binaries.obtain([binaries.KUBELET], progress=say)
        except (packages.PackagesMissing, LocalKubeError) as error:
            return str(error)
        return None

    def _spawn(self, name: str) -> _Starting:
        opened = self._opened[name] = ExitStack()
        own = opened.enter_context(slot.hold())
        namespace = netns.create(own, 0, name)
        directory = own.directory / name
        prepared = cluster.prepare(
            directory,
            name=name,
            executables=self._executables,
            address=namespace.address,
            ports=_MEMBER_PORTS,
            node=_node_name(name),
            prefix=namespace.prefix,
        )
        node = Node(_node_name(name), directory, namespace, prepared, self._executables)
        containerd = node.prepare()
        running = opened.enter_context(RunningCluster([*prepared.specs, containerd], enter=namespace.entered))
        return _Starting(prepared, namespace, node, containerd, running)


@dataclass(frozen=True)
class _Starting:
    """A member whose processes run, on its way to being ready."""

    prepared: cluster.LocalCluster
    namespace: netns.Namespace
    node: Node
    containerd: ProcessSpec
    running: RunningCluster

    def finish(self) -> Member:
        """Wait for the control plane, start the kubelet, wait for the node. Raises NotReadyInTime."""
        self.prepared.wait_ready(self.running, _READY_S)
        kubelet = self.node.start_kubelet(self.running, self.containerd, _READY_S)
        with self.namespace.entered():
            uid = self.prepared.uid() or ""
        member = _as_member(self.prepared, uid, namespace=self.namespace, node=self.node.name)
        member.apply(*assigning_policy(self.node.name))
        until = time.monotonic() + _READY_S
        self.running.wait_until(lambda: _why_no_pods(member), kubelet, until)
        return member


def _why_no_pods(member: Member) -> str | None:
    """None when the node is ready and pods are put on it, else the reason."""
    ready = '{.status.conditions[?(@.type=="Ready")].status}'
    asked = member.run_inside(member.kubectl_command("get", "node", str(member.node), f"--output=jsonpath={ready}"))
    if asked.stdout != b"True":
        return f"node is not ready: {asked.stderr.decode().strip()}"
    trial = ["run", "trial", "--image=none", "--dry-run=server", "--output=jsonpath={.spec.nodeName}"]
    assigned = member.run_inside(member.kubectl_command(*trial))
    if assigned.stdout.decode() != member.node:
        return f"pods are not put on the node: {assigned.stderr.decode().strip()}"
    return None


def _node_name(member: str) -> str:
    return f"{member}-node"


def _as_member(
    prepared: cluster.LocalCluster, uid: str, *, namespace: netns.Namespace | None = None, node: str | None = None
) -> Member:
    place: dict[str, Any] = {"netns": namespace, "host_address": namespace.host_address} if namespace else {}
    return Member(
        name=prepared.name,
        kubeconfig=prepared.kubeconfig,
        url=prepared.url,
        uid=uid,
        node=node,
        token=prepared.token,
        ca=prepared.ca,
        logs=tuple(sorted(prepared.directory.glob("*.log"))),
        **place,
    )
