"""Whether a cluster has what an installation of Skerry there needs. It asks, and tries in dry runs; it changes nothing.

What may not be read is not known, which is never a pass: then the right that is missing is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from skerry.api.meta import Document, Struct
from skerry.api.text import clean
from skerry.checks.cluster import ClusterChecks
from skerry.checks.dryrun import try_objects, try_pods
from skerry.checks.nodes import nodes_left
from skerry.checks.preflightreport import PreflightCheck, PreflightReport, Verdict, report
from skerry.checks.report import LONGEST, told
from skerry.checks.rights import ReviewedRight, reviewed
from skerry.checks.run import Checks
from skerry.checks.unreadable import Unreadable, unreadable
from skerry.demand import PODS, Amounts, add, written
from skerry.errors import Forbidden, NotFound, SkerryError, StatusError
from skerry.installation import OURS, Installation
from skerry.inventory.counting import requested_by
from skerry.inventory.objects import PodList
from skerry.member.objects import ObjectClient
from skerry.member.upstream import Upstream
from skerry.placement import Missing, Placed, Places, places
from skerry.quotas import LimitRange, Refused, ResourceQuota, of_quota, of_range
from skerry.scheduling import NodeRoom, refusals, repelled, selected

CLUSTER = ("api.reach", "api.version", "identity", "owner", "impersonation", "roles", "bindings", "desired")
"""Those that are the same of a cluster that is to join."""
IDENTITY = CLUSTER[:4]
LIMIT_S = 60.0
"""For counting what is taken in a large cluster."""
MANAGER = "skerry-preflight"
_SHOWN = ("cpu", "memory")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_INSTALLS = {
    "host": (("apps", "deployments"), ("apps", "statefulsets"), ("", "services")),
    "agent": (("apps", "deployments"), ("", "configmaps")),
}
_BOTH = (
    ("", "secrets"), ("", "serviceaccounts"), ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"), ("networking.k8s.io", "networkpolicies"),
)  # fmt: skip
T = TypeVar("T")


class _Metadata(Struct, frozen=True, kw_only=True):
    name: str = ""
    annotations: dict[str, str] = {}


class StorageClass(Struct, frozen=True, kw_only=True):
    """storage.k8s.io/v1 StorageClass."""

    metadata: _Metadata = _Metadata()


class ObjectList(Struct, Generic[T], frozen=True, kw_only=True):
    """A list of any kind."""

    items: list[T] = []


class Preflight:
    """One run for one installation into one namespace. `tell` gets each check as it is known."""

    def __init__(
        self,
        upstream: Upstream,
        installation: Installation,
        namespace: str,
        tell: Callable[[PreflightCheck], None] = lambda check: None,
        waiting: Callable[[str, str], None] = lambda name, what: None,
        documents: Sequence[Document] = (),
    ) -> None:
        """`documents` are all objects that are installed, where they are known."""
        self._upstream, self._installation, self._namespace = upstream, installation, namespace
        self._client, self._documents = ObjectClient(upstream, MANAGER), documents
        self._tell, self._waiting = tell, waiting
        self._checks: list[PreflightCheck] = []
        self._places = Places("certain", [], [])

    async def run(self) -> PreflightReport:
        """All of it. What an API server that goes away raises is a check that failed."""
        if await self._cluster():
            await self.room()
        return report(self._installation, self._checks, self._places)

    async def room(self) -> PreflightReport:
        """What does not depend on which cluster it is: whether all that is installed is admitted and has a place."""
        if self._installation.workloads:
            await self._look("rights", self._rights)
            await self._look("nodes", self._room)
            await self._look("storage", self._storage)
            await self._look("quota", self._quotas)
            await self._look("limits", self._ranges)
            await self._look("admission", self._tries)
        return report(self._installation, self._checks, self._places)

    async def _cluster(self) -> bool:
        """What a cluster has to be for any of it; whether it answers."""
        host = self._installation.where == "host"
        names = IDENTITY if host else CLUSTER
        run = Checks("", (*CLUSTER, "resources"), waiting=self._waiting)
        checks = ClusterChecks(self._upstream, "", installs=False, account_is_made=self._installation.where == "agent")
        await (checks.identify(run) if host else checks.run(run))
        for each in run.checks:
            if each.name in names and each.result != "skip":
                unreached = each.name in {"api.reach", "api.version"} and each.result == "fail"
                self._keep(each.name, "unknown" if unreached else each.result, each.found, each.next)
        return run.stands("api.version")

    async def _look(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """One of them. It keeps what it finds out itself."""
        timer = asyncio.get_running_loop().call_later(2.0, self._waiting, name, self._upstream.url)
        try:
            async with asyncio.timeout(LIMIT_S):
                await work()
        except Unreadable as error:
            outcome = told(str(error))
            self._keep(name, "unknown", outcome.found, outcome.next)
        except TimeoutError:
            self._keep(name, "unknown", f"not known after {LIMIT_S:g} s", "look at the API server, which is slow")
        except SkerryError as error:
            outcome = told(error.message if isinstance(error, StatusError) else str(error))
            self._keep(name, "unknown", outcome.found, outcome.next or "try again")
        finally:
            timer.cancel()

    def _keep(self, name: str, state: Verdict, message: str, then: str = "") -> None:
        self._add(PreflightCheck(name=name, state=state, message=message, next=then))

    def _add(self, check: PreflightCheck) -> None:
        check = msgspec.structs.replace(check, message=clean(check.message, LONGEST), next=clean(check.next, LONGEST))
        self._checks.append(check)
        self._tell(check)

    # Rights

    async def _rights(self) -> None:
        namespaced = (*_INSTALLS[self._installation.where], *_BOTH)
        rights = [ReviewedRight("create", group, resource, namespace=self._namespace) for group, resource in namespaced]
        if not await self._exists(f"/api/v1/namespaces/{self._namespace}"):
            rights.append(ReviewedRight("create", "", "namespaces"))
        rights += [
            ReviewedRight("create", "rbac.authorization.k8s.io", resource)
            for resource in ("clusterroles", "clusterrolebindings")
        ]
        answers = [await reviewed(self._upstream, each) for each in rights]
        if None in answers:
            raise Unreadable("this API server does not tell what the credential may do")
        missing = [str(each) for each, may in zip(rights, answers, strict=True) if not may]
        if missing:
            self._keep(
                "rights",
                "fail",
                f"the credential of {self._upstream.origin} may not {', '.join(missing)}",
                "install with one that may, such as a cluster administrator's",
            )
        else:
            self._keep("rights", "pass", f"all {len(rights)} rights that installing takes")

    async def _exists(self, path: str) -> bool:
        answer = await self._upstream.call("GET", path)
        if answer.status not in {200, 403, 404}:
            raise answer.error()
        return answer.status != 404

    # Room

    async def _room(self) -> None:
        nodes, workloads = await self._nodes(), self._installation.workloads
        self._tell_nodes(nodes)
        self._places = places([each.wanted for each in workloads], nodes)
        missing = self._places.missing
        if missing:
            number = f"{len(missing)} of {sum(each.replicas for each in workloads)} replicas have"
            self._keep(
                "room",
                "fail",
                f"{number} no place: {missing[0].name}: {_nearest(missing[0])}",
                "free a node or add one; or ask for less",
            )
            return
        if self._places.fit == "tight":
            self._keep(
                "room",
                "warn",
                "all replicas have a place, but the scheduler may put some where others then have none",
                "free a node or add one",
            )
        else:
            placed = ", ".join(f"{each.name} on {each.node}" for each in self._places.placed)
            self._keep("room", "pass", f"all replicas have a place: {placed}")
        self._surge(nodes, self._places.placed)

    def _surge(self, nodes: list[NodeRoom], placed: list[Placed]) -> None:
        """An upgrade starts one replica more before it ends one."""
        left = {node.name: dict(node.left) for node in nodes}
        requests = {each.name: each.requests for each in self._installation.workloads}
        for each in placed:
            add(left[each.node], {name: -nano for name, nano in requests[each.name].items()})
        rest = [node._replace(left=left[node.name]) for node in nodes]
        without = [
            each.name
            for each in self._installation.workloads
            if each.surges and each.replicas and places([each.wanted._replace(wanted=1)], rest).missing
        ]
        if without:
            self._keep(
                "surge",
                "warn",
                f"no room for one replica more of {', '.join(without)}, which an upgrade starts before it ends one",
                "an upgrade will wait until there is",
            )

    def _tell_nodes(self, nodes: list[NodeRoom]) -> None:
        usable = 0
        reasons: dict[str, int] = {}
        for workload in self._installation.workloads:
            counted = refusals(nodes, (selected(workload.rules), repelled(workload.rules)))
            usable = max(usable, len(nodes) - sum(counted.values()))
            for reason, number in counted.items():
                reasons[reason] = max(reasons.get(reason, 0), number)
        why = "; ".join(
            f"{number} {reason}" for reason, number in sorted(reasons.items(), key=lambda each: -each[1])[:5]
        )
        message = f"{usable} of {len(nodes)} nodes may take pods of ours{f' ({why})' if why else ''}"
        self._keep(
            "nodes", "pass" if usable else "fail", message, "" if usable else "add a node, or values that admit one"
        )
        beside = [each.name for each in self._installation.workloads if each.rules.beside]
        if beside:
            self._keep(
                "affinity",
                "warn",
                f"{', '.join(beside)}: pod affinity to other pods is not counted",
                "see that these pods run where there is room",
            )

    async def _nodes(self) -> list[NodeRoom]:
        """With what each has left. An earlier installation here will be replaced, so its pods take nothing."""
        try:
            nodes = {node.name: node for node in await nodes_left(self._upstream)}
        except (Forbidden, NotFound) as error:
            raise unreadable(error) from error
        ours = 0
        async for own in self._pages(self._in_namespace(PODS), {"labelSelector": OURS}):
            for pod in own.items:
                node = nodes.get(pod.spec.node_name or "") if pod.placed else None
                if node is not None:
                    ours += 1
                    add(node.left, requested_by(pod))
        await self._tell_others(ours)
        return list(nodes.values())

    async def _tell_others(self, ours: int) -> None:
        if ours:
            self._keep("installed", "pass", f"{ours} pods of an earlier installation are here, which these replace")
        waiting: Amounts = {}
        async for page in self._pages(f"/api/v1/{PODS}", {"fieldSelector": "spec.nodeName=,status.phase=Pending"}):
            for pod in page.items:
                add(waiting, requested_by(pod))
        if waiting.get(PODS):
            self._keep(
                "pending",
                "warn",
                f"{written(PODS, waiting[PODS])} pods wait for a place already, asking for {_sizes(waiting) or 'nothing'}",
                "see why, with kubectl get pods -A --field-selector status.phase=Pending; they may take what is free",
            )

    async def _pages(self, path: str, query: dict[str, str]) -> AsyncIterator[PodList]:
        try:
            async for page in self._client.pages(path, PodList, query):
                yield page
        except (Forbidden, NotFound) as error:
            raise unreadable(error) from error

    # The namespace

    async def _storage(self) -> None:
        claims, wanted = self._installation.claims, self._installation.storage_class
        if not claims:
            return
        classes = (await self._read("/apis/storage.k8s.io/v1/storageclasses", ObjectList[StorageClass])).items
        names = sorted(each.metadata.name for each in classes)
        default = [each.metadata.name for each in classes if each.metadata.annotations.get(_DEFAULT_CLASS) == "true"]
        there = ", ".join(names) or "none"
        size = f"{len(claims)} of {written('storage', max(claims.values()))}"
        if wanted and wanted not in names:
            self._keep(
                "storage", "fail", f"there is no StorageClass {wanted} ({there})", "name one of these, or make it"
            )
        elif not wanted and not default:
            self._keep(
                "storage", "fail", f"no StorageClass is the default one ({there})", "name one: --set bus.persistence.storageClass=NAME"
            )  # fmt: skip
        else:
            self._keep("storage", "pass", f"StorageClass {wanted or default[0]} for volumes: {size}")

    async def _quotas(self) -> None:
        quotas = (await self._read(self._in_namespace("resourcequotas"), ObjectList[ResourceQuota])).items
        pods, refused = [each.size for each in self._installation.workloads], list[Refused]()
        for each in quotas:
            refused += of_quota(each, pods, self._installation.claims, self._installation.storage_class)
        self._of_namespace("quota", "ResourceQuota", len(quotas), refused)

    async def _ranges(self) -> None:
        ranges = (await self._read(self._in_namespace("limitranges"), ObjectList[LimitRange])).items
        pods, refused = [each.size for each in self._installation.workloads], list[Refused]()
        for each in ranges:
            refused += of_range(each, pods)
        self._of_namespace("limits", "LimitRange", len(ranges), refused)

    def _of_namespace(self, name: str, kind: str, number: int, refused: list[Refused]) -> None:
        if refused:
            more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            self._keep(
                name, "fail", f"{refused[0].by} of namespace {self._namespace}: {refused[0].message}{more}", "raise it, or ask for less"
            )  # fmt: skip
        elif number:
            self._keep(name, "pass", f"{number} {kind} of namespace {self._namespace} admit all of it")

    def _in_namespace(self, resource: str) -> str:
        return f"/api/v1/namespaces/{self._namespace}/{resource}"

    async def _tries(self) -> None:
        namespace_exists = await self._exists(f"/api/v1/namespaces/{self._namespace}")
        if namespace_exists:
            self._add(await try_pods(self._client, self._installation.workloads, self._namespace))
        else:
            self._keep(
                "admission", "warn", f"there is no namespace {self._namespace} yet, so no pod could be tried in it",
                "make it first if a policy of yours is to judge the pods",
            )  # fmt: skip
        if self._documents:
            tried = try_objects(self._client, self._documents, self._namespace, namespace_exists=namespace_exists)
            self._add(await tried)

    async def _read(self, path: str, kind: type[T]) -> T:
        try:
            return await self._client.read(path, kind)
        except (Forbidden, NotFound) as error:
            raise unreadable(error) from error


def _nearest(missing: Missing) -> str:
    """The node that is nearest to being its place, and why it is not."""
    if not missing.node:
        return "no node may take it"
    if not missing.amounts:
        return f"node {missing.node} has room, but rules that keep replicas apart forbid it"
    return f"node {missing.node} is nearest and lacks {_sizes(missing.amounts)}"


def _sizes(amounts: Amounts) -> str:
    return " and ".join(f"{name} {written(name, amounts[name])}" for name in (*_SHOWN, PODS) if amounts.get(name))
