"""A stand-in for a member's API server: real HTTPS, real HTTP/1.1, and a record of every request that arrived.

It checks the agent's token, keeps ClusterRoleBindings and kube-system in memory, and lets a test answer any other path.
The real one is used in the kube tier.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from skerry.errors import BadGateway, Forbidden, NotFound, StatusError, Unauthorized
from skerry.http.exchange import Exchange
from skerry.http.server import Server
from skerry.httpwire.head import Headers
from skerry.identity import x509
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.objects import ObjectClient
from skerry.member.upstream import Upstream

JSON = [(b"content-type", b"application/json")]
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SECRET = ("skerry-system", "skerry-agent-state")
"""Namespace and name of the one Secret that there is."""
Route = Callable[[Exchange], Awaitable[None]]


class Seen(msgspec.Struct):
    """One request as it arrived; `body` only where the stand-in itself read it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a header."""
        return [value for key, value in self.headers if key == name]


class ApiServer:
    """`async with ApiServer(directory) as api`."""

    def __init__(self, directory: Path, *, uid: str = "uid-1", token: str = "agent-token") -> None:
        self.directory, self.uid, self.token = directory, uid, token
        self.seen: list[Seen] = []
        self.routes: dict[str, Route] = {}
        self.bindings: dict[str, dict[str, Any]] = {}
        self.annotations: dict[str, str] = {}
        self.refuse: dict[str, StatusError] = {}
        """Path prefix -> error, before anything else."""
        self.readable = False
        """What is refused may be read all the same."""
        self.delays_s: dict[str, float] = {}
        """Before answers, by path."""
        self.unmarkable = False
        self.nodes = 3
        self.version = "v1.36.3"
        self.pods: list[dict[str, Any]] = []
        self.roles: dict[str, list[object]] = {role: [{"verbs": ["get"]}] for role in ("view", "edit", "admin")}
        """Rules by ClusterRole."""
        self.secret: dict[str, Any] = {
            "metadata": {"namespace": SECRET[0], "name": SECRET[1], "resourceVersion": "1"}, "type": "Opaque", "data": {},
        }  # fmt: skip
        self.lose_answers = 0
        """To so many updates of the Secret, which happen."""
        self.may_not: set[str] = set()
        """Resources, and paths, of which access reviews say no."""
        directory.mkdir(parents=True, exist_ok=True)
        self.accepted = b""
        """The one client certificate (PEM) that is taken; empty: none is asked for."""
        self.certify()
        self._server = Server(self._handle, self.context)
        self.port = 0

    def certify(self) -> None:
        """Another authority and another certificate, from its next start on."""
        self.ca = x509.create_ca("member")
        pair = x509.issue_server(self.ca, ("127.0.0.1",))
        (self.directory / "tls.pem").write_bytes(pair.certificate + pair.key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.directory / "tls.pem")

    def trust(self, authority: bytes) -> None:
        """Ask clients for certificates of this authority (PEM), from its next start on."""
        self.context.load_verify_locations(cadata=authority.decode())
        self.context.verify_mode = ssl.CERT_REQUIRED

    async def __aenter__(self) -> ApiServer:
        """Listen; again after an exit, where it was."""
        self._server = Server(self._handle, self.context)
        await self._server.start("127.0.0.1", self.port)
        self.port = self._server.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.close(0.0)

    async def replaced(self, uid: str) -> None:
        """Another cluster takes its place: same address, authority, token and bindings."""
        await self.__aexit__()
        self.uid, self.seen = uid, []
        await self.__aenter__()

    @property
    def targets(self) -> list[bytes]:
        """What was asked for since the start, or since it was replaced."""
        return [seen.target for seen in self.seen]

    @property
    def connections(self) -> int:
        """Open now."""
        return self._server.connections

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ObjectClient]:
        """Our own client of it, by its kubeconfig."""
        target = kubeconfig.load(str(self.kubeconfig()))
        upstream = Upstream(target, source(target))
        yield ObjectClient(upstream, "tester")
        await upstream.close()

    def kubeconfig(self, authority_file: str = "", **user: str) -> Path:
        """A kubeconfig for it, with its authority and its token unless the test gives others."""
        authority = {"certificate-authority-data": base64.b64encode(self.ca.certificate).decode()}
        if authority_file:
            authority = {"certificate-authority": authority_file}
        cluster = {"server": f"https://127.0.0.1:{self.port}", **authority}
        document = {
            "current-context": "member",
            "contexts": [{"name": "member", "context": {"cluster": "member", "user": "agent"}}],
            "clusters": [{"name": "member", "cluster": cluster}],
            "users": [{"name": "agent", "user": user or {"token": self.token}}],
        }
        path = self.directory / "kubeconfig"
        path.write_bytes(msgspec.json.encode(document))
        return path

    async def _handle(self, exchange: Exchange) -> None:
        head = exchange.head
        seen = Seen(head.method, head.target, head.headers)
        self.seen.append(seen)
        await asyncio.sleep(self.delays_s.get(seen.target.partition(b"?")[0].decode(), 0.0))
        try:
            await self._answer(exchange, seen)
        except StatusError as e:
            await exchange.respond_error(e)

    async def _answer(self, exchange: Exchange, seen: Seen) -> None:
        path = seen.target.partition(b"?")[0].decode()
        for prefix, error in self.refuse.items():
            if path.startswith(prefix) and not (self.readable and seen.method == b"GET"):
                raise error
        if self.accepted and _shown(exchange) != ssl.PEM_cert_to_DER_cert(self.accepted.decode()):
            raise Unauthorized("Unauthorized")
        if seen.all(b"authorization") != [f"Bearer {self.token}".encode()]:
            raise Unauthorized("Unauthorized")
        if path in self.routes:
            await self.routes[path](exchange)
            return
        seen.body = await exchange.body(1 << 22)
        status, document = self._own(seen, path)
        await exchange.respond(status, JSON, msgspec.json.encode(document))

    def _own(self, seen: Seen, path: str) -> tuple[int, dict[str, Any]]:
        if path in {"/version", "/readyz"}:
            return 200, {"gitVersion": self.version}
        if path == "/api/v1/nodes":
            return 200, {} if b"watch=" in seen.target else {"items": [_node(number) for number in range(self.nodes)]}
        if path == "/api/v1/namespaces/kube-system":
            if seen.method == b"PATCH" and self.unmarkable:
                raise Forbidden("namespaces cannot be patched")
            if seen.method == b"PATCH":
                metadata = msgspec.json.decode(seen.body)["metadata"]
                if metadata.get("resourceVersion", self._marks()) != self._marks():
                    return 409, {"message": "the object has been modified"}
                if b"dryRun=" not in seen.target:
                    self.annotations |= metadata["annotations"]
            metadata = {"uid": self.uid, "annotations": self.annotations, "resourceVersion": self._marks()}
            return 200, {"metadata": metadata}
        if path == "/api/v1/pods":
            return 200, {"items": self.pods}
        if path == REVIEWS:
            return 201, {"status": {"allowed": self._may(msgspec.json.decode(seen.body)["spec"])}}
        if path.startswith(ROLES) and path.removeprefix(ROLES) in self.roles:
            return 200, {"rules": self.roles[path.removeprefix(ROLES)]}
        if path == "/api/v1/namespaces/{}/secrets/{}".format(*SECRET):
            return self._secret(seen)
        if path.startswith(BINDINGS):
            return self._binding(seen, path.removeprefix(BINDINGS).strip("/").replace("%3A", ":"))
        raise NotFound(f"{path} not found")

    def replace_secret(self, data: dict[str, str], **metadata: Any) -> None:
        """As whoever may: another revision."""
        version = str(int(self.secret["metadata"]["resourceVersion"]) + 1)
        self.secret = {
            **self.secret, "metadata": {**self.secret["metadata"], **metadata, "resourceVersion": version}, "data": data,
        }  # fmt: skip

    def relabel_secret(self, labels: dict[str, str]) -> None:
        """As helm does."""
        self.replace_secret(self.secret["data"], labels=labels)

    def _secret(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if seen.method == b"GET":
            return 200, self.secret
        document = msgspec.json.decode(seen.body)
        if document["metadata"]["resourceVersion"] != self.secret["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        self.replace_secret(document.get("data") or {}, labels=document["metadata"].get("labels"))
        if self.lose_answers:
            self.lose_answers -= 1
            raise BadGateway("the answer is lost")
        return 200, self.secret

    def _marks(self) -> str:
        """The resourceVersion of kube-system: another one when a test has changed its annotations, too."""
        return repr(sorted(self.annotations.items()))

    def _may(self, spec: dict[str, Any]) -> bool:
        attributes = spec.get("resourceAttributes") or spec["nonResourceAttributes"]
        return not self.may_not & {attributes.get("resource"), attributes.get("path")}

    def _binding(self, seen: Seen, name: str) -> tuple[int, dict[str, Any]]:
        if seen.method == b"GET":
            if name not in self.bindings:
                raise NotFound(f"{name} not found")
            return 200, self.bindings[name]
        document = msgspec.json.decode(seen.body)
        if seen.method == b"PATCH":
            found = self.bindings[name]
            labels = {**found["metadata"].get("labels", {}), **document.get("metadata", {}).get("labels", {})}
            kept = {key: value for key, value in labels.items() if value is not None}
            metadata = {**found["metadata"], **({"labels": kept} if kept else {})}
            if not kept:
                metadata.pop("labels", None)
            self.bindings[name] = {**found, **document, "metadata": metadata}
            return 200, self.bindings[name]
        name = document["metadata"]["name"]
        if name in self.bindings:
            return 409, {"message": "already exists"}
        if b"dryRun" not in seen.target:
            self.bindings[name] = document
        return 201, document


def _node(number: int) -> dict[str, Any]:
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    status = {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": f"node-{number}"}, "status": status}


def _shown(exchange: Exchange) -> bytes:
    """The client's certificate, DER."""
    found: bytes = exchange._connection.transport.get_extra_info("ssl_object").getpeercert(True)
    return found
