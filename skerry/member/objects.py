"""Objects of a cluster, read and written one at a time: the client of Kubernetes of short-lived commands (ADR 35).

It asks by an Upstream, as everything of ours does, so that kubeconfigs, credentials and TLS are judged in one place. An object is
its JSON document; one that says only apiVersion, kind, name and namespace names it. Whatever the API server refuses is the
StatusError that it told, and what is unreachable, slow or unreadable is BadGateway.
"""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from skerry.api.decode import decoded
from skerry.api.meta import Document, ListMeta, Struct
from skerry.errors import BadGateway, NotFound
from skerry.member.upstream import Upstream, WholeAnswer

APPLY = b"application/apply-patch+yaml"
PAGE = 500
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class Place(NamedTuple):
    """Where objects of a kind are served."""

    prefix: str
    """Path of the group and version."""
    plural: str
    namespaced: bool = True

    def collection(self, namespace: str = "") -> str:
        """The path of all of them, or of those in a namespace."""
        inner = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.namespaced else ""
        return f"{self.prefix}{inner}/{self.plural}"

    def path(self, document: Document) -> str:
        """The path of one."""
        metadata = document["metadata"]
        return f"{self.collection(metadata.get('namespace', ''))}/{quote(metadata['name'], safe='')}"


PLACES: dict[tuple[str, str], Place] = {
    ("v1", "Namespace"): Place("/api/v1", "namespaces", namespaced=False),
    ("v1", "Pod"): Place("/api/v1", "pods"),
    ("v1", "Secret"): Place("/api/v1", "secrets"),
    ("v1", "Service"): Place("/api/v1", "services"),
    ("v1", "ServiceAccount"): Place("/api/v1", "serviceaccounts"),
    ("v1", "ConfigMap"): Place("/api/v1", "configmaps"),
    ("apps/v1", "Deployment"): Place("/apis/apps/v1", "deployments"),
    ("apps/v1", "StatefulSet"): Place("/apis/apps/v1", "statefulsets"),
    ("networking.k8s.io/v1", "NetworkPolicy"): Place("/apis/networking.k8s.io/v1", "networkpolicies"),
    ("policy/v1", "PodDisruptionBudget"): Place("/apis/policy/v1", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io/v1", "Role"): Place(_RBAC, "roles"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): Place(_RBAC, "rolebindings"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): Place(_RBAC, "clusterroles", namespaced=False),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): Place(_RBAC, "clusterrolebindings", namespaced=False),
}
"""By apiVersion and kind, those that every cluster serves so; the cluster is asked for others."""


class Paged(Protocol):
    """A page of a list."""

    @property
    def metadata(self) -> ListMeta: ...


PageT = TypeVar("PageT", bound=Paged)


class _ServedResource(Struct, frozen=True, kw_only=True):
    kind: str = ""
    name: str = ""
    namespaced: bool = False


class _ResourceList(Struct, frozen=True, kw_only=True):
    resources: list[_ServedResource] = []


class ObjectClient:
    """Those of one cluster. Fields that it writes are `manager`'s."""

    def __init__(self, upstream: Upstream, manager: str) -> None:
        self._upstream, self._manager = upstream, manager
        self._places = dict(PLACES)

    async def get(self, reference: Document) -> Document | None:
        """The object; None if it is not there."""
        answer = await self._upstream.call("GET", await self.path(reference))
        if answer.status == 404:
            return None
        document = _document(answer, 200)
        if not isinstance(document.get("metadata"), dict):
            raise BadGateway(f"what {self._upstream.url} answers is no {reference['kind']}")
        return document

    async def create(self, document: Document, *, dry_run: bool = False) -> Document:
        """AlreadyExists, if one is there; NotFound, if its namespace is not."""
        place = await self._place(document)
        path = place.collection(document["metadata"].get("namespace", ""))
        query = self._query(dry_run=dry_run)
        return _document(await self._upstream.call("POST", f"{path}?{query}", body=_encode(document)), 201)

    async def replace(self, document: Document) -> Document:
        """Conflict, if it is not of the document's resourceVersion any more; NotFound."""
        path = f"{await self.path(document)}?{self._query()}"
        return _document(await self._upstream.call("PUT", path, body=_encode(document)), 200)

    async def apply(self, document: Document, *, dry_run: bool = False) -> Document:
        """Server-side apply: what others own of these fields is taken from them."""
        path = f"{await self.path(document)}?{self._query(dry_run=dry_run)}&force=true"
        answer = await self._upstream.call("PATCH", path, body=_encode(document), content_type=APPLY)
        return _document(answer, 200, 201)

    async def delete(self, reference: Document) -> bool:
        """Whether it was there."""
        answer = await self._upstream.call("DELETE", await self.path(reference))
        if answer.status == 404:
            return False
        _document(answer, 200, 202)
        return True

    async def read(self, path: str, kind: type[T]) -> T:
        """What is at a path, as far as `kind` reads it."""
        return _decoded(await self._upstream.call("GET", path), path, kind)

    async def pages(self, path: str, kind: type[PageT], query: Mapping[str, str] | None = None) -> AsyncIterator[PageT]:
        """A list, page by page."""
        after = ""
        while True:
            options = {**(query or {}), "limit": str(PAGE), **({"continue": after} if after else {})}
            page = await self.read(f"{path}?{urlencode(options)}", kind)
            yield page
            after = page.metadata.continue_
            if not after:
                return

    async def path(self, reference: Document) -> str:
        """The path of an object. NotFound if the cluster serves no such kind."""
        return (await self._place(reference)).path(reference)

    async def placed(self, document: Document, namespace: str) -> Document:
        """The same in `namespace`, if it is of a kind that has one and names none. NotFound: the cluster serves no such kind."""
        if not (await self._place(document)).namespaced or document["metadata"].get("namespace"):
            return document
        return {**document, "metadata": {**document["metadata"], "namespace": namespace}}

    async def _place(self, reference: Document) -> Place:
        version, kind = str(reference["apiVersion"]), str(reference["kind"])
        if (version, kind) not in self._places:
            prefix = f"/apis/{quote(version)}" if "/" in version else f"/api/{quote(version)}"
            answer = await self._upstream.call("GET", prefix)
            served = [] if answer.status == 404 else _decoded(answer, prefix, _ResourceList).resources
            self._places |= {
                (version, each.kind): Place(prefix, each.name, each.namespaced)
                for each in served
                if "/" not in each.name
            }
        place = self._places.get((version, kind))
        if place is None:
            raise NotFound(
                f"{self._upstream.url} serves no {kind} of {version}: install what brings it, or leave it out"
            )
        return place

    def _query(self, *, dry_run: bool = False) -> str:
        return urlencode({"fieldManager": self._manager, **({"dryRun": "All"} if dry_run else {})})


def files_of(secret: Document) -> dict[str, bytes]:
    """What lies in a Secret, by file name. BadGateway if it is none."""
    try:
        data = secret.get("data") or {}
        return {name: binascii.a2b_base64(text, strict_mode=True) for name, text in data.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise BadGateway("what the API server answers is no Secret") from error


def _document(answer: WholeAnswer, *expected: int) -> Document:
    if answer.status not in expected:
        raise answer.error()
    return answer.document()


def _decoded(answer: WholeAnswer, path: str, kind: type[T]) -> T:
    if answer.status != 200:
        raise answer.error()
    try:
        return decoded(answer.body, kind)
    except msgspec.DecodeError as error:
        raise BadGateway(f"what the API server has at {path} cannot be read") from error
