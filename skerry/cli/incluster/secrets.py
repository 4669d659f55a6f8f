"""Secrets of one namespace, as the bootstrap uses them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, Protocol

from skerry.api.meta import Document
from skerry.errors import AlreadyExists, BadGateway, Conflict, Forbidden, NotFound, Unauthorized
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.objects import ObjectClient, files_of
from skerry.member.role import ClientRole
from skerry.member.upstream import Upstream

LABELS = {"app.kubernetes.io/part-of": "skerry", "skerry.dev/installed": "host"}
"""By which what the host made is found, whoever manages it."""
MANAGER = "skerry-bootstrap"
ROLE = ClientRole("the bootstrap", "give it one that this cluster takes", MANAGER.encode(), 0.0)


class Secret(NamedTuple):
    """What lies in one, by file name, and the version at which it was read."""

    files: Mapping[str, bytes]
    version: str


class Secrets(Protocol):
    """The Secrets of the host's namespace. Everything raises StatusError, naming the right that is missing."""

    async def get(self, name: str) -> Secret | None:
        """None: there is none of this name."""

    async def create(self, name: str, files: Mapping[str, bytes]) -> bool:
        """False: another was faster, and nothing was written."""

    async def replace(self, name: str, files: Mapping[str, bytes], version: str) -> bool:
        """False: it is another than that version by now, or gone, and nothing was written."""

    async def kube_system(self) -> Mapping[str, Any]:
        """metadata of namespace kube-system: which cluster this is, and whose member."""

    async def balanced(self, service: str) -> tuple[str, ...] | None:
        """Names and IP addresses that a load balancer gave to a Service of the host's namespace, () as long as it gave none; None
        if none is asked to."""


class ClusterSecrets:
    """Those of a namespace of a real cluster."""

    def __init__(self, client: ObjectClient, namespace: str) -> None:
        self._client, self._namespace = client, namespace

    async def get(self, name: str) -> Secret | None:
        """See Secrets."""
        with self._explained(f"get Secret {name}"):
            secret = await self._client.get(self._document(name))
        return None if secret is None else Secret(files_of(secret), str(secret["metadata"].get("resourceVersion")))

    async def create(self, name: str, files: Mapping[str, bytes]) -> bool:
        """See Secrets."""
        try:
            with self._explained(f"create Secret {name}"):
                await self._client.create(self._document(name, files))
        except AlreadyExists:
            return False
        return True

    async def replace(self, name: str, files: Mapping[str, bytes], version: str) -> bool:
        """See Secrets."""
        try:
            with self._explained(f"update Secret {name}"):
                await self._client.replace(self._document(name, files, version))
        except (Conflict, NotFound):
            return False
        return True

    async def kube_system(self) -> Mapping[str, Any]:
        """See Secrets."""
        with self._explained("get Namespace kube-system"):
            namespace = await self._client.get(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}
            )
        if namespace is None:
            raise BadGateway("the cluster has no namespace kube-system: it is not Kubernetes")
        return namespace["metadata"]  # type: ignore[no-any-return]

    async def balanced(self, service: str) -> tuple[str, ...] | None:
        """See Secrets."""
        named = {"name": service, "namespace": self._namespace}
        with self._explained(f"get Service {service}"):
            document = await self._client.get({"apiVersion": "v1", "kind": "Service", "metadata": named})
        if document is None or document["spec"].get("type") != "LoadBalancer":
            return None
        ingress = (document.get("status") or {}).get("loadBalancer", {}).get("ingress") or ()
        return tuple(name for each in ingress if (name := each.get("hostname") or each.get("ip")))

    def _document(self, name: str, files: Mapping[str, bytes] | None = None, version: str = "") -> Document:
        place = {"name": name, "namespace": self._namespace}
        metadata = {**place, "labels": LABELS, **({"resourceVersion": version} if version else {})}
        data = {} if files is None else {"type": "Opaque", "data": files}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **data}

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """A right that is missing is named."""
        try:
            yield
        except (Forbidden, Unauthorized) as error:
            raise Forbidden(
                f"the cluster does not let the bootstrap {what} in namespace {self._namespace} ({error.message}): allow it"
            ) from error


@asynccontextmanager
async def connected(namespace: str, path: str, context: str) -> AsyncIterator[ClusterSecrets]:
    """By the kubeconfig at `path`, or as the pod that this runs in. KubeconfigError if there is neither."""
    target = kubeconfig.load(path, context) if path else kubeconfig.in_cluster(os.environ)
    upstream = Upstream(target, source(target), role=ROLE, connections=16)
    try:
        yield ClusterSecrets(ObjectClient(upstream, MANAGER), namespace)
    finally:
        await upstream.close()
