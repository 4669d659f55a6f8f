"""cluster remove with a kubeconfig of the member: what joining made there is deleted, and what the host left.

Whether it is the cluster that is removed, and whose agent runs there, is looked at before anything is removed anywhere: a context
may be a wrong one. Namespaces stay, with what is in them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import msgspec

from skerry.api.kinds import BUILT_IN
from skerry.api.meta import Document, ListMeta, Struct
from skerry.api.names import HOST_LABEL, INSTALLED_LABEL
from skerry.api.text import clean
from skerry.cli.agentmanifest import NAME, AgentInstallation, manifests
from skerry.cli.commands.agentjoin import MANAGER, named, refuse_others
from skerry.cli.commands.direct import HostIdentity, reached
from skerry.cli.failure import FAILED, Failure
from skerry.errors import SkerryError, StatusError
from skerry.member import account
from skerry.member.bindings import MERGE
from skerry.member.checks import kube_system_of
from skerry.member.identity import HOST_ANNOTATION, HOST_NAME_ANNOTATION, KUBE_SYSTEM, owner_of
from skerry.member.objects import PLACES, ObjectClient

if TYPE_CHECKING:
    from skerry.member.kubeconfig import Target
    from skerry.member.upstream import Upstream

RBAC = "rbac.authorization.k8s.io/v1"
KEPT = ((RBAC, "RoleBinding"), (RBAC, "ClusterRoleBinding"), (RBAC, "ClusterRole"))
"""Kinds of what the host's services keep in place on members, besides namespaces of tenants."""
ACCOUNT = (
    (RBAC, "ClusterRoleBinding"), (RBAC, "ClusterRole"), ("v1", "Secret"), ("v1", "ServiceAccount"),
)  # fmt: skip
"""Kinds of what --create-service-account makes."""


class _Item(Struct, frozen=True, kw_only=True):
    metadata: dict[str, object] = {}


class _Items(Struct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[_Item] = []


class MemberCleanup:
    """Of one member, with its administrator's own kubeconfig."""

    def __init__(self, target: Target, namespace: str, cluster: Document, host: HostIdentity) -> None:
        self._target, self._namespace, self._cluster, self._host = target, namespace, cluster, host
        mode = ((cluster.get("spec") or {}).get("connection") or {}).get("mode")
        self._has_agent = mode == "agent"

    async def check(self) -> None:
        """Failure where nothing may be deleted: another cluster, another host's by now, not reached, or somebody else's agent."""
        name, uid = self._cluster["metadata"]["name"], (self._cluster.get("status") or {}).get("uid")
        without = "nothing was removed. Leave --kubeconfig and --context out to remove it on the host alone"
        try:
            async with reached(self._target) as upstream:
                metadata = await kube_system_of(upstream)
                owner, host = owner_of(metadata)
                if metadata.get("uid") != uid:
                    actual_uid = clean(str(metadata.get("uid")), 64)
                    raise Failure(
                        f"{upstream.origin} is another cluster (kube-system UID {actual_uid}) than {name} ({uid}): {without}",
                        FAILED,
                    )
                if owner not in ("", self._host.uid):
                    raise Failure(f"{name} is a member of host {host or clean(owner, 64)!r} now: {without}", FAILED)
                if self._has_agent:
                    remedy = f"helm uninstall {NAME} -n {self._namespace}, after {name} was removed without --context"
                    await refuse_others(ObjectClient(upstream, MANAGER), self._namespace, remedy)
        except Failure:
            raise
        except SkerryError as error:
            raise Failure(
                f"{self._target.origin} cannot be asked which cluster it is: {error}; {without}", FAILED
            ) from error

    async def run(self, *, keep: bool) -> list[str]:
        """Delete it all, but with `keep` what the host's services keep in place: what is to be said. Failure naming what cannot be
        deleted."""
        async with reached(self._target) as upstream:
            client = ObjectClient(upstream, MANAGER)
            if self._has_agent:
                for each in reversed(manifests(AgentInstallation(token="", namespace=self._namespace, replicas=2))):
                    await _delete(client, each)
            deleted = 0 if self._has_agent else await self._account(client)
            if not keep:
                await self._kept(client)
            await self._unmark(upstream)
        if self._has_agent:
            return [f"the agent is deleted in namespace {self._namespace}, which stays"]
        return [f"the host's account is deleted in namespace {account.NAMESPACE}, which stays"] if deleted else []

    async def _account(self, client: ObjectClient) -> int:
        count = 0
        for version, kind in ACCOUNT:
            async for each in _labelled(client, version, kind, f"{INSTALLED_LABEL}=direct", account.NAMESPACE):
                count += await _delete(client, each)
        return count

    async def _kept(self, client: ObjectClient) -> None:
        """What has the host's label, and the four bindings of joining, which may have none."""
        for version, kind in KEPT:
            async for each in _labelled(client, version, kind, f"{HOST_LABEL}={self._host.uid}"):
                await _delete(client, each)
        for name in BUILT_IN:
            await _delete(client, {"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name}})

    async def _unmark(self, upstream: Upstream) -> None:
        metadata = await kube_system_of(upstream)
        if owner_of(metadata)[0] != self._host.uid:
            return
        version = str(metadata.get("resourceVersion") or "")
        patch = {"resourceVersion": version, "annotations": {HOST_ANNOTATION: None, HOST_NAME_ANNOTATION: None}}
        body = msgspec.json.encode({"metadata": patch})
        answer = await upstream.call("PATCH", KUBE_SYSTEM, body=body, content_type=MERGE)
        if answer.status != 200:
            raise Failure(f"the mark on namespace kube-system cannot be taken off: {answer.message()}", FAILED)


async def _delete(client: ObjectClient, reference: Document) -> bool:
    with named(reference, "deleted"):
        return await client.delete(reference)


async def _labelled(
    client: ObjectClient, version: str, kind: str, selector: str, namespace: str = ""
) -> AsyncIterator[Document]:
    """Those with a label, everywhere or in a namespace; all are known before the first is given."""
    path = PLACES[version, kind].collection(namespace)
    references: list[Document] = []
    try:
        async for page in client.pages(path, _Items, {"labelSelector": selector}):
            references += _references(version, kind, page)
    except StatusError as error:
        raise Failure(f"{PLACES[version, kind].plural} cannot be listed there: {error.message}", FAILED) from error
    for each in references:
        yield each


def _references(version: str, kind: str, page: _Items) -> Iterator[Document]:
    for each in page.items:
        names = {field: each.metadata[field] for field in ("name", "namespace") if field in each.metadata}
        yield {"apiVersion": version, "kind": kind, "metadata": names}
