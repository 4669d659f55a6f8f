"""The cells of the matrix: somebody, a request, a namespace; and four ways to learn whether it is allowed."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from skerry import protobuf
from skerry.http import Client
from skerry.httpwire.head import RequestHead

NAMESPACES = ("a", "b", "c")
JSON = b"application/json"
EXPLANATIONS = "/apis/skerry.dev/v1alpha1/accessexplanations"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
METHODS = {
    "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
AT_ONCE = 12


class Question(NamedTuple):
    """A request that changes nothing: objects do not exist, bodies are empty, and all is a dry run."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Of one that is about no resource."""

    @property
    def target(self) -> str:
        """Where it goes."""
        if self.path:
            return self.path
        parts = ["/apis", self.group, "v1"] if self.group else ["/api", "v1"]
        parts += ["namespaces", self.namespace] if self.namespace and self.resource != "namespaces" else []
        parts += [each for each in (self.resource, self.name, self.subresource) if each]
        return "/".join(parts) + ("?watch=true&resourceVersion=none" if self.verb == "watch" else "?dryRun=All")

    @property
    def attributes(self) -> dict[str, Any]:
        """As reviews and explanations have it."""
        if self.path:
            return {"nonResourceAttributes": {"verb": self.verb, "path": self.path}}
        fields = self._asdict()
        del fields["path"]
        return {"resourceAttributes": {name: value for name, value in fields.items() if value}}

    @property
    def proto(self) -> bytes:
        """A SelfSubjectAccessReview as kubectl posts it."""
        if self.path:
            spec = protobuf.message(2, protobuf.field(1, self.path) + protobuf.field(2, self.verb))
        else:
            numbers = {"namespace": 1, "verb": 2, "group": 3, "resource": 5, "subresource": 6, "name": 7}
            spec = protobuf.message(
                1, b"".join(protobuf.field(number, getattr(self, name)) for name, number in numbers.items())
            )
        return protobuf.MAGIC + protobuf.message(2, protobuf.message(2, spec))


_IN_NAMESPACES = (
    *(
        ("pods", "", "", verb)
        for verb in ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    ),
    ("pods", "", "log", "get"),
    ("pods", "", "exec", "get"),
    ("pods", "", "exec", "create"),
    ("pods", "", "status", "patch"),
    *(("configmaps", "", "", verb) for verb in ("get", "list", "create", "delete")),
    *(("secrets", "", "", verb) for verb in ("get", "list")),
    *(("deployments", "apps", "", verb) for verb in ("get", "create", "delete")),
    ("deployments", "apps", "scale", "get"),
    ("deployments", "apps", "scale", "patch"),
    ("jobs", "batch", "", "create"),
    ("rolebindings", "rbac.authorization.k8s.io", "", "get"),
    ("rolebindings", "rbac.authorization.k8s.io", "", "create"),
    ("serviceaccounts", "", "token", "create"),
    ("events", "", "", "list"),
)
"""Resource, group, subresource, verb."""
_WIDE = (
    *(Question(verb, "pods") for verb in ("list", "watch")),
    *(Question("list", resource) for resource in ("configmaps", "secrets", "events", "nodes", "namespaces")),
    Question("watch", "namespaces"),
    Question("create", "namespaces"),
    Question("get", "nodes", name="x"),
    Question("get", "nodes", subresource="proxy", name="x"),
    Question("list", "clusterroles", "rbac.authorization.k8s.io"),
    Question("create", "clusterroles", "rbac.authorization.k8s.io"),
    Question("list", "persistentvolumes"),
    *(Question("get", "namespaces", namespace=each, name=each) for each in NAMESPACES),
    Question("get", "", path="/healthz"),
    Question("get", "", path="/metrics"),
)


def questions() -> Iterator[Question]:
    """All of them."""
    for resource, group, subresource, verb in _IN_NAMESPACES:
        named = subresource or verb in ("get", "update", "patch", "delete")
        for namespace in NAMESPACES:
            yield Question(verb, resource, group, subresource, namespace, "x" if named else "")
    yield from _WIDE


class Outcome(NamedTuple):
    """What came of one cell: allowed or not, by the request itself, by both reviews, by the explanation."""

    real: bool
    json: bool
    proto: bool
    explained: bool
    detail: str

    @property
    def agrees(self) -> bool:
        """All four say the same."""
        return len({self.real, self.json, self.proto, self.explained}) == 1


class Asker:
    """Asks a host over kept connections."""

    def __init__(self, listen: str, tls: ssl.SSLContext, cluster: str) -> None:
        address, _, port = listen.rpartition(":")
        self._client = Client(address, int(port), tls)
        self._cluster = cluster
        self._room = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def ask(
        self, token: str, method: str, target: str, body: bytes | None = None, content_type: bytes = JSON
    ) -> tuple[int, dict[str, Any]]:
        """Status, and the body where it is an object."""
        status, data = await self.raw(token, method, target, body, content_type)
        try:
            document = json.loads(data)
        except ValueError:
            document = {}
        return status, document if isinstance(document, dict) else {}

    async def raw(
        self, token: str, method: str, target: str, body: bytes | None, content_type: bytes, accept: bytes = JSON
    ) -> tuple[int, bytes]:
        """Status and body."""
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"content-type", content_type), (b"accept", accept)]
        head = RequestHead(method=method.encode(), target=target.encode(), headers=headers)
        response = await self._client.request(head, body)
        return response.status, await response.body(1 << 24)

    async def cells(self, cells: Iterable[tuple[str, str, Question]]) -> dict[tuple[str, Question], Outcome]:
        """The outcome of each: whose it is, their token, and what is asked."""
        asked = list(cells)
        outcomes = await asyncio.gather(*(self._cell(token, question) for _, token, question in asked))
        return {(who, question): outcome for (who, _, question), outcome in zip(asked, outcomes, strict=True)}

    async def _cell(self, token: str, question: Question) -> Outcome:
        async with self._room:
            base = f"/clusters/{self._cluster}"
            method = METHODS.get(question.verb, "GET")
            kind = b"application/merge-patch+json" if method == "PATCH" else JSON
            body = None if method in ("GET", "DELETE") else b"{}"
            real = await self.ask(token, method, base + question.target, body, kind)
            asked = msgspec.json.encode({"spec": question.attributes})
            review = await self.ask(token, "POST", base + REVIEWS, asked)
            proto = await self.ask(token, "POST", base + REVIEWS, question.proto, protobuf.CONTENT_TYPE.encode())
            asked = msgspec.json.encode({"spec": {"cluster": self._cluster, **question.attributes}})
            explained = await self.ask(token, "POST", EXPLANATIONS, asked)
        detail = json.dumps({"real": real, "json": review, "explained": explained})[:2000]
        return Outcome(_done(*real), _allowed(*review), _allowed(*proto), _allowed(*explained), detail)


def _done(status: int, document: dict[str, Any]) -> bool:
    """Whether a request went as far as to what it is about."""
    hidden = status == 404 and (document.get("details") or {}).get("group") == "skerry.dev"
    return status not in (401, 403, 503) and not hidden


def _allowed(status: int, document: dict[str, Any]) -> bool:
    return status == 201 and bool((document.get("status") or {}).get("allowed"))
