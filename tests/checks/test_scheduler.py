"""What a preflight says beside what the real scheduler does: where it says that all fits, all are placed; where nothing fits, not all.

Likewise what it says of quotas and ranges, beside what the API server lets in.
Long, so for `make soak`: `SKERRY_TEST_CASES` is how many generated clusters (300), `SKERRY_TEST_FIRST_CASE` the first of them (0).
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from skerry.checks.nodes import nodes_left
from skerry.checks.preflight import ObjectList
from skerry.demand import Amounts, amounts, written
from skerry.errors import Forbidden
from skerry.localkube import binaries
from skerry.localkube.process import tied_to_parent
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.objects import ObjectClient
from skerry.member.upstream import Upstream
from skerry.placement import Replicas, places
from skerry.quotas import LimitRange, PodSize, Refused, ResourceQuota, of_quota, of_range
from skerry.scheduling import PodRules
from tests.e2e.federation import eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.soak, pytest.mark.timeout(3600)]
CASES = int(os.environ.get("SKERRY_TEST_CASES", "300"))
FIRST = int(os.environ.get("SKERRY_TEST_FIRST_CASE", "0"))
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
RUNTIME = "heavy"
OVERHEAD = {"cpu": "70m", "memory": "90Mi"}
GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def scheduler(plain_cluster: Member) -> Iterator[None]:
    """The real one, of the cluster's own version."""
    program = binaries.obtain([binaries.KUBE_SCHEDULER], progress=print)[binaries.KUBE_SCHEDULER]
    kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME}, "handler": "x"}
    plain_cluster.apply({**kind, "overhead": {"podFixed": OVERHEAD}})
    process = subprocess.Popen(
        tied_to_parent(
            [str(program), f"--kubeconfig={plain_cluster.kubeconfig}", "--leader-elect=false", "--secure-port=0"]
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield
    process.terminate()
    process.wait(timeout=30)
    plain_cluster.kubectl("delete", "runtimeclass", RUNTIME)


class Case:
    """A generated cluster, and the replicas that want a place there."""

    def __init__(self, seed: int) -> None:
        self._seed, chance = seed, random.Random(seed)
        self.nodes = [self._node(number, chance) for number in range(chance.randint(1, 5))]
        self.taken = [self._taken(number, chance) for number in range(chance.randint(0, 6))]
        self.wanted = [self._wanted(number, chance) for number in range(chance.randint(1, 3))]
        self.limits = self._limits(chance)

    @property
    def namespace(self) -> str:
        return f"case-{self._seed}"

    def _node(self, number: int, chance: random.Random) -> dict[str, Any]:
        name = f"case-{self._seed}-{number}"
        labels = {
            HOST: name,
            ZONE: chance.choice("xy"),
            "kubernetes.io/os": "linux",
            "case": str(self._seed),
            "disk": chance.choice(["ssd", "hdd"]),
        }
        sizes = {
            "cpu": f"{chance.randint(3, 30)}00m",
            "memory": f"{chance.randint(3, 24)}00Mi",
            "pods": str(chance.choice([2, 5, 110])),
        }
        return {"name": name, "labels": labels, "sizes": sizes, "taints": chance.choice([[], [], [], [GPU]])}

    def _taken(self, number: int, chance: random.Random) -> dict[str, Any]:
        """A pod that is there, with init containers, sidecars and overhead as they come."""
        node = chance.choice(self.nodes)["name"]
        inits = [self._container(f"i{n}", chance, chance.random() < 0.5) for n in range(chance.randint(0, 2))]
        runtime = {"runtimeClassName": RUNTIME} if chance.random() < 1 / 3 else {}
        spec = {"nodeName": node, "containers": [self._container("c", chance)], "initContainers": inits, **runtime}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"taken-{number}", "namespace": self.namespace},
            "spec": spec,
        }

    def _limits(self, chance: random.Random) -> list[dict[str, Any]]:
        """Of the namespace, in every third."""
        if chance.random() > 1 / 3:
            return []
        hard = {"requests.cpu": f"{chance.randint(2, 30)}00m", "limits.memory": f"{chance.randint(2, 80)}00Mi", "pods": f"{chance.randint(2, 12)}"}  # fmt: skip
        quota = {"hard": dict(chance.sample(sorted(hard.items()), chance.randint(1, 3)))}
        item = chance.choice(
            [
                {"type": "Container", "max": {"cpu": f"{chance.randint(4, 12)}00m"}},
                {"type": "Pod", "max": {"memory": f"{chance.randint(4, 12)}00Mi"}},
                {"type": "Container", "min": {"memory": f"{chance.randint(1, 3)}50Mi"}},
                {"type": "Container", "maxLimitRequestRatio": {"cpu": chance.choice(["1500m", "2"])}},
            ]
        )
        both = [("ResourceQuota", quota), ("LimitRange", {"limits": [item]})]
        metadata = {"name": "limits", "namespace": self.namespace}
        return [
            {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
            for kind, spec in chance.sample(both, chance.randint(1, 2))
        ]

    def sizes(self) -> list[PodSize]:
        """What those that want a place ask of the namespace."""
        return [
            PodSize(each.name, each.wanted, _of_container(spec, "requests"), _of_container(spec, "limits"))
            for each, spec in self.wanted
        ]

    def _container(self, name: str, chance: random.Random, sidecar: bool = False) -> dict[str, Any]:
        requests = {"cpu": f"{chance.randint(0, 3)}50m", "memory": f"{chance.randint(0, 2)}20Mi"}
        restarts = {"restartPolicy": "Always"} if sidecar else {}
        return {"name": name, "image": "x", "resources": {"requests": requests}, **restarts}

    def _wanted(self, number: int, chance: random.Random) -> tuple[Replicas, dict[str, Any]]:
        labels = {"app": chance.choice("ab")}
        rules: dict[str, Any] = {"nodeSelector": {"case": str(self._seed), **chance.choice([{}, {}, {"disk": "ssd"}])}}
        if chance.random() < 0.5:
            rules["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
        selector = {"matchLabels": labels}
        match chance.randint(0, 3):
            case 0:
                spread = {
                    "maxSkew": chance.randint(1, 2),
                    "topologyKey": chance.choice([HOST, ZONE]),
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": selector,
                }
                rules["topologySpreadConstraints"] = [spread]
            case 1:
                term = {"topologyKey": chance.choice([HOST, ZONE]), "labelSelector": selector}
                rules["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        requests = {"cpu": f"{chance.randint(1, 4)}00m", "memory": f"{chance.randint(1, 4)}00Mi"}
        limits = {name: written(name, 2 * nano) for name, nano in amounts(requests).items()}
        spec = {
            **rules,
            "containers": [{"name": "c", "image": "x", "resources": {"requests": requests, "limits": limits}}],
        }
        replicas = Replicas(
            f"w{number}",
            chance.randint(1, 3),
            {**amounts(requests), **amounts({"pods": 1})},
            msgspec.convert(rules, PodRules),
            labels,
        )
        return replicas, spec

    def pods(self) -> list[dict[str, Any]]:
        """Those that want a place."""
        return [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{replicas.name}-{n}",
                    "namespace": self.namespace,
                    "labels": dict(replicas.labels),
                },
                "spec": spec,
            }
            for replicas, spec in self.wanted
            for n in range(replicas.wanted)
        ]


async def test_what_fits_is_placed_and_what_does_not_is_not(plain_cluster: Member, scheduler: None) -> None:
    target = kubeconfig.load(str(plain_cluster.kubeconfig))
    upstream = Upstream(target, source(target))
    seen = Counter[str]()
    try:
        for seed in range(FIRST, FIRST + CASES):
            case = Case(seed)
            await _made(plain_cluster, case)
            nodes = [node for node in await nodes_left(upstream) if node.labels.get("case") == str(seed)]
            fit = places([replicas for replicas, _ in case.wanted], nodes).fit
            refused, admitted = await _limited(plain_cluster, upstream, case)
            assert bool(refused) != admitted, f"case {seed}: {refused or 'nothing is refused'}"
            if refused:
                seen["refused"] += 1
                _gone(plain_cluster, case)
                continue
            without = _scheduled(plain_cluster, case)
            seen[fit] += 1
            if fit == "certain":
                assert not without, f"case {seed}: {without} have no place"
            if fit == "none":
                assert without, f"case {seed}: all have a place"
            _gone(plain_cluster, case)
    finally:
        await upstream.close()
    print(f"{CASES} clusters: {dict(seen)}")
    assert min(seen["certain"], seen["none"], seen["refused"]) > CASES / 20


async def _made(member: Member, case: Case) -> None:
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": case.namespace}}]
    objects += [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node["name"], "labels": node["labels"]},
            "spec": {"taints": node["taints"]},
        }
        for node in case.nodes
    ]
    member.apply(*objects)
    for node in case.nodes:
        status = {
            "allocatable": node["sizes"],
            "capacity": node["sizes"],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        member.kubectl(
            "patch",
            "node",
            node["name"],
            "--subresource=status",
            "--type=merge",
            "-p",
            msgspec.json.encode({"status": status}).decode(),
        )
    if case.taken:
        member.apply(*case.taken)
    selector = f"case={case.namespace.removeprefix('case-')}"
    eventually(
        lambda: (
            b"not-ready"
            not in member.kubectl("get", "nodes", "-l", selector, "-o", "jsonpath={.items[*].spec.taints[*].key}")
        ),
        "the nodes are taken as ready",
    )


async def _limited(member: Member, upstream: Upstream, case: Case) -> tuple[list[Refused], bool]:
    """What is said of the namespace's limits, and whether all pods are let in; those that are stay."""
    client, refused = ObjectClient(upstream, "tester"), list[Refused]()
    if case.limits:
        member.apply(*case.limits)
    if any(each["kind"] == "ResourceQuota" for each in case.limits):
        used = ("get", "resourcequota", "limits", "-n", case.namespace, "-o", "jsonpath={.status.used}")
        eventually(lambda: member.kubectl(*used), "the quota is counted")
    path = f"/api/v1/namespaces/{case.namespace}"
    for quota in (await client.read(f"{path}/resourcequotas", ObjectList[ResourceQuota])).items:
        refused += of_quota(quota, case.sizes(), {})
    for limits in (await client.read(f"{path}/limitranges", ObjectList[LimitRange])).items:
        refused += of_range(limits, case.sizes())
    try:
        for pod in case.pods():
            await client.create(pod)
    except Forbidden:
        return refused, False
    return refused, True


def _of_container(spec: dict[str, Any], kind: str) -> Amounts:
    return amounts(spec["containers"][0]["resources"][kind])


def _scheduled(member: Member, case: Case) -> list[str]:
    """The pods without a place, when the scheduler has looked at each."""
    names = {pod["metadata"]["name"] for pod in case.pods()}

    def judged() -> list[dict[str, Any]]:
        items = msgspec.json.decode(member.kubectl("get", "pods", "-n", case.namespace, "-o", "json"))["items"]
        pods = [item for item in items if item["metadata"]["name"] in names]
        known = all(any(each["type"] == "PodScheduled" for each in pod["status"].get("conditions", ())) for pod in pods)
        return pods if known and len(pods) == len(names) else []

    def placed() -> bool:
        pods = judged()
        return bool(pods) and not without_place(pods)

    eventually(judged, f"the scheduler has looked at {names}")
    with suppress(AssertionError):  # a pod that was refused is tried again when another was placed
        eventually(placed, "all have a place", 2.0)
    return without_place(eventually(judged, f"the scheduler has looked at {names} again"))


def without_place(pods: list[dict[str, Any]]) -> list[str]:
    """Names of pods that have no node."""
    return [pod["metadata"]["name"] for pod in pods if not pod["spec"].get("nodeName")]


def _gone(member: Member, case: Case) -> None:
    member.kubectl("delete", "pods", "-n", case.namespace, "--all", "--force", "--grace-period=0")
    member.kubectl("delete", "nodes", "-l", f"case={case.namespace.removeprefix('case-')}")
    member.kubectl("delete", "namespace", case.namespace, "--wait=false")
