"""Objects on a member, as the applier handles them: read, applied server-side, given back, deleted.

Of what is there only the metadata is read: labels say whose an object is, managedFields whether it is as it was applied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET

from skerry.api.decode import decoded
from skerry.api.desired import ENTRIES, PAGE, Options, State
from skerry.api.meta import Document, ListMeta, ObjectMeta, Struct
from skerry.api.names import FENCE, HOST_LABEL, MANAGED_BY, OUR_LABELS, OWNER_LABEL, WITHDRAW
from skerry.desired.answers import Missing, Unsettled, going, unsettled
from skerry.desired.owners import OWNERS, ObjectReference, reference
from skerry.errors import ServiceUnavailable
from skerry.member import identity
from skerry.member.bindings import MERGE
from skerry.member.upstream import Upstream, WholeAnswer

APPLY = b"application/apply-patch+yaml"
JSON_PATCH = b"application/json-patch+json"
MARK_ATTEMPTS = 5
METADATA = b"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = b"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_encode = msgspec.json.Encoder().encode


class Served(NamedTuple):
    """How a kind is served, as discovery says."""

    path: str
    """`/api/v1` or `/apis/<group>/<version>`."""
    plural: str
    namespaced: bool

    def collection(self, namespace: str = "") -> str:
        """The path of all objects, of one namespace if it is named."""
        return f"{self.path}/namespaces/{namespace}/{self.plural}" if namespace else f"{self.path}/{self.plural}"


class Placed(NamedTuple):
    """An object of ours as it was applied: another uid, or another digest of our fields, and somebody changed it."""

    uid: str
    fields: str


class _Resource(Struct, frozen=True, kw_only=True):
    name: str = ""
    namespaced: bool = False
    kind: str = ""


class _Resources(Struct, frozen=True, kw_only=True):
    resources: list[_Resource] = []


class _Partial(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()


class _Partials(Struct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[_Partial] = []


def placed(metadata: ObjectMeta, manager: str) -> Placed:
    """How an object lies there, as far as it is ours."""
    ours = [
        each.get("fieldsV1")
        for each in metadata.managed_fields
        if each.get("manager") == manager
        and (each.get("operation") == "Apply" or FENCE in metadata.annotations)
        and not each.get("subresource")
    ]
    return Placed(metadata.uid, hashlib.sha256(msgspec.json.encode(ours, order="sorted")).hexdigest()[:16])


def owner_of(metadata: ObjectMeta) -> tuple[str, str]:
    """(owner, host) by its labels; empty for what is not ours."""
    return metadata.labels.get(OWNER_LABEL, ""), metadata.labels.get(HOST_LABEL, "")


class Objects:
    """One member's API server, on behalf of one host. Every method raises StatusError if it does not answer."""

    def __init__(
        self,
        upstream: Upstream,
        host: str,
        *,
        check: Callable[[], None] = lambda: None,
        slots: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        """`host` is the host's UID, the value of HOST_LABEL. `check` raises a StatusError where nothing may be written any
        more: it is asked in front of each write. In `slots` calls wait, where many members' share them.
        """
        self.upstream = upstream
        self.host = host
        self._check, self._slots = check, slots or nullcontext()
        self._served: dict[str, dict[str, Served]] = {}

    def forget_kinds(self) -> None:
        """Ask again what is served: CustomResourceDefinitions changed."""
        self._served.clear()

    async def served(self, api_version: str, kind: str) -> Served:
        """How a kind is served. Missing if it is not."""
        kinds = self._served.get(api_version)
        if kinds is None:
            kinds = self._served[api_version] = await self._discovered(api_version)
        if kind not in kinds:
            self._served.pop(api_version, None)
            raise Missing(
                "CustomResourceDefinition", api_version, f"{kind} of {api_version} is not served by this cluster"
            )
        return kinds[kind]

    async def _discovered(self, api_version: str) -> dict[str, Served]:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        answer = await self.call("GET", path)
        if answer.status == 404:
            return {}
        if answer.status != 200:
            raise unsettled(answer, "get", api_version)
        try:
            served = decoded(answer.body, _Resources)
        except msgspec.DecodeError as error:
            raise Unsettled(State.FAILED, f"the API server does not say what {api_version} serves") from error
        return {
            each.kind: Served(path, each.name, each.namespaced) for each in served.resources if "/" not in each.name
        }

    async def read(self, which: ObjectReference) -> ObjectMeta | None:
        """Its metadata; None if it is not there."""
        answer = await self.call("GET", await self.path(which), headers=[(b"accept", METADATA)])
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise unsettled(answer, "get", str(which))
        return _metadata(answer)

    async def listed(self, group: str, kind: str) -> list[ObjectMeta]:
        """Metadata of all objects of a kind, in lower case, that carry this host's label, or that of one from which the cluster
        was taken over. Unsettled if they cannot be listed.
        """
        which = await self.named(group, kind, "", "")
        served = await self.served(which.api_version, which.kind)
        is_marked, objects = await self._is_marked(), list[ObjectMeta]()
        behind = ""
        while True:
            query = {"labelSelector": HOST_LABEL, "limit": str(PAGE)}
            query |= {"continue": behind} if behind else {}
            path = f"{served.collection()}?{urlencode(query)}"
            answer = await self.call("GET", path, headers=[(b"accept", METADATA_LIST)])
            if answer.status != 200:
                raise unsettled(answer, "list", which.kind)
            try:
                page = decoded(answer.body, _Partials)
            except msgspec.DecodeError as error:
                raise Unsettled(State.FAILED, "the API server's answer cannot be read") from error
            objects += [each.metadata for each in page.items if is_marked or owner_of(each.metadata)[1] == self.host]
            behind = page.metadata.continue_
            if not behind or len(objects) > ENTRIES:
                return objects

    async def apply(self, document: Document, owner: str, options: Options) -> Placed:
        """Bring an object in place: looks first whose it is. Unsettled says what is in the way."""
        which = reference(document)
        manager = OWNERS[owner].manager
        there = await self.read(which)
        if there is not None and there.deletion_timestamp is not UNSET:
            raise going(str(which))
        force = options.conflicts == "Force"
        if there is not None and not await self.is_mine(there, owner, which):
            if options.adopt == "Never":
                raise Unsettled(
                    State.EXISTS, f"{which} is there already and is not Skerry's: delete it, or have it adopted"
                )
            force = force or options.adopt == "Force"
        metadata = {**document["metadata"]}
        metadata["labels"] = {**(metadata.get("labels") or {}), OWNER_LABEL: owner, HOST_LABEL: self.host}
        if options.withdraw:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), WITHDRAW: options.withdraw}
        query = urlencode({"fieldManager": manager, "force": "true" if force else "false"})
        answer = await self.call(
            "PATCH",
            f"{await self.path(which)}?{query}",
            body=_encode({**document, "metadata": metadata}),
            content_type=APPLY,
            headers=[(b"accept", METADATA)],
        )
        if answer.status not in (200, 201):
            raise self.refused(answer, which, there)
        return placed(_metadata(answer), manager)

    async def is_mine(self, there: ObjectMeta, owner: str, which: ObjectReference) -> bool:
        """Whether its labels say that it is this owner's, or that one's of a host from which the cluster was taken over.
        Unsettled if they say that it is somebody else's.
        """
        theirs, host = owner_of(there)
        if not theirs and not host:
            return False
        if not await self._is_host(host):
            raise Unsettled(State.FOREIGN, f"{which} belongs to another host ({host[:64] or 'of no name'})")
        if theirs != owner:
            raise Unsettled(State.FOREIGN, f"{which} is wanted by {theirs[:63] or 'nobody'} already")
        return True

    async def _is_host(self, host: str) -> bool:
        """Whether a label names this host, or one from which the cluster was taken over."""
        return host == self.host or (bool(host) and await self._is_marked())

    async def _is_marked(self) -> bool:
        """Whether the cluster is this host's by its mark, which is one host's at a time: who had it before lets go of it. False
        where the mark cannot be read.
        """
        answer = await self._kube_system()
        return answer.status == 200 and identity.owner_of(answer.metadata())[0] == self.host

    async def unmark(self) -> bool:
        """Take the mark of this host off the cluster, and leave that of another one: True if it is not this host's by its mark."""
        for _ in range(MARK_ATTEMPTS):
            answer = await self._kube_system()
            if answer.status != 200:
                return False
            metadata = answer.metadata()
            if identity.owner_of(metadata)[0] != self.host:
                return True
            marks = dict.fromkeys((identity.HOST_ANNOTATION, identity.HOST_NAME_ANNOTATION))
            patch = {"metadata": {"resourceVersion": metadata.get("resourceVersion"), "annotations": marks}}
            answer = await self.call("PATCH", identity.KUBE_SYSTEM, body=_encode(patch), content_type=MERGE)
            if answer.status != 409:  # somebody writes there: it may be another host that takes the cluster over
                return answer.status == 200
        return False

    async def _kube_system(self) -> WholeAnswer:
        return await self.call("GET", identity.KUBE_SYSTEM, headers=[(b"accept", METADATA)])

    def refused(self, answer: WholeAnswer, which: ObjectReference, there: ObjectMeta | None) -> Unsettled:
        problem = unsettled(answer, "patch", str(which))
        if answer.status == 404 and which.namespace:
            return Missing("Namespace", which.namespace, f"namespace {which.namespace} does not exist on this cluster")
        if answer.status == 404:
            self.forget_kinds()
            return Missing("CustomResourceDefinition", which.api_version, f"{which.kind} is not served any more")
        if problem.state is State.CONFLICT and there is not None and not owner_of(there)[0]:
            return Unsettled(State.EXISTS, f"{which} is there already and differs: {problem.message}")
        return problem

    async def withdraw(self, which: ObjectReference, owner: str, *, keep: bool = False, fenced: bool = False) -> bool:
        """Take an object away if it is ours, by its labels and its fields, as it was applied to be; with `keep` leave it,
        as nobody's. What a host has left from which the cluster was taken over is ours. True if it was taken away, or left
        with `keep`; Unsettled while it cannot be. What has a number goes by an entry that says so, or, with `fenced`, by an order.
        """
        there = await self._withdrawable(which, owner, fenced=fenced)
        if there is None:
            return False
        how = there.annotations.get(WITHDRAW) or ("Orphan" if which.kind == "Namespace" else "Delete")
        adopted = (
            there.labels.get(MANAGED_BY, "skerry") != "skerry"
        )  # Helm's, such as a chart's that made what was adopted
        if keep or adopted or how != "Delete":
            await self._orphan(which, owner)
            return keep
        if there.deletion_timestamp is not UNSET and which.kind == "Namespace":
            raise going(str(which))
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": there.uid, "resourceVersion": there.resource_version},
            "propagationPolicy": "Background",
        }
        answer = await self.call("DELETE", await self.path(which), body=_encode(body))
        if answer.status == 409:
            raise Unsettled(State.PENDING, f"{which} changed in this moment", again_s=0.5)
        if answer.status not in (200, 202, 404):
            raise unsettled(answer, "delete", str(which))
        if which.kind == "Namespace" and answer.status != 404:
            raise going(str(which))  # it is nobody else's before what is in it is gone
        return True

    async def _withdrawable(self, which: ObjectReference, owner: str, *, fenced: bool) -> ObjectMeta | None:
        """What is there, if it is this owner's to take away."""
        try:
            there = await self.read(which)
        except Missing:
            return None
        if there is None or not await self._ours(there, owner) or (FENCE in there.annotations and not fenced):
            return None
        return there

    async def _ours(self, there: ObjectMeta, owner: str) -> bool:
        manager, (theirs, host) = OWNERS[owner].manager, owner_of(there)
        is_written = any(each.get("manager") == manager for each in there.managed_fields)
        return theirs == owner and is_written and await self._is_host(host)

    async def _orphan(self, which: ObjectReference, owner: str) -> None:
        """Leave an object to whoever is there: without our labels, and without our ownership of any field."""
        path, there = await self.path(which), await self.read(which)
        if there is None:
            return
        manager = OWNERS[owner].manager
        labels = {key: value for key, value in there.labels.items() if key not in OUR_LABELS}
        annotations = {key: value for key, value in there.annotations.items() if key not in (WITHDRAW, FENCE)}
        managers = [each for each in there.managed_fields if each.get("manager") != manager]
        body = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": there.resource_version},
            {"op": "replace", "path": "/metadata/labels", "value": labels},
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
            {"op": "replace", "path": "/metadata/managedFields", "value": managers or [{}]},
        ]
        answer = await self.call("PATCH", path, body=_encode(body), content_type=JSON_PATCH)
        if answer.status == 422:
            raise Unsettled(State.PENDING, f"{which} changed in this moment", again_s=0.5)
        if answer.status not in (200, 404):
            raise unsettled(answer, "patch", str(which))

    async def named(self, group: str, kind: str, namespace: str, name: str) -> ObjectReference:
        """The object of a key, whose kind is in lower case and without a version. Missing if nothing serves it."""
        api_version = await self._preferred(group) if group else "v1"
        kinds = self._served.get(api_version)
        if kinds is None:
            kinds = self._served[api_version] = await self._discovered(api_version)
        proper = next((each for each in kinds if each.lower() == kind), None)
        if proper is None:
            self._served.pop(api_version, None)
            raise Missing("CustomResourceDefinition", api_version, f"{kind} of {api_version} is not served")
        return ObjectReference(api_version, proper, namespace, name)

    async def _preferred(self, group: str) -> str:
        answer = await self.call("GET", f"/apis/{quote(group, safe='')}")
        if answer.status == 404:
            raise Missing("CustomResourceDefinition", group, f"{group} is not served by this cluster")
        version = answer.document().get("preferredVersion")
        preferred = version.get("groupVersion") if isinstance(version, dict) else None
        if answer.status != 200 or not isinstance(preferred, str):
            raise unsettled(answer, "get", group)
        return preferred

    async def path(self, which: ObjectReference) -> str:
        served = await self.served(which.api_version, which.kind)
        if served.namespaced != bool(which.namespace):
            need = "needs a namespace" if served.namespaced else "has no namespace"
            raise Unsettled(State.FAILED, f"{which}: {which.kind} {need}", again_s=None)
        return f"{served.collection(quote(which.namespace, safe=''))}/{quote(which.name, safe='')}"

    async def call(self, method: str, path: str, **more: Any) -> WholeAnswer:
        async with self._slots:
            if method != "GET":
                self._check()
            answer = await self.upstream.call(method, path, **more)
        if answer.status in (401, 429) or answer.status >= 502:
            raise ServiceUnavailable(f"the API server of this member: {answer.message()}", retry_after_s=1)
        return answer


def _metadata(answer: WholeAnswer) -> ObjectMeta:
    try:
        return decoded(answer.body, _Partial).metadata
    except msgspec.DecodeError as error:
        raise Unsettled(State.FAILED, "the API server's answer cannot be read") from error
