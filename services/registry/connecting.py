"""Direct members come in, get other credentials, and are told to proxies.

The credential arrives in a write of `clusters/<name>/connection` and goes, encrypted, to the bucket `secrets`; the Cluster
only counts it. A proxy gets it sealed to the key that this registry certified, so that who else may ask on the bus gets
nothing that can be read. Everything is looked at from here before it is believed: it is the host that has to reach the
API server, whatever the administrator's machine can reach.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from services.registry import clusters, direct
from services.registry.clock import Clock, wall_and_mono
from services.registry.direct import JoinFacts
from services.registry.joining import joined_already
from services.registry.store import RegistryStore
from skerry import subjects
from skerry.admission.writes import invalid
from skerry.api.connection import ClusterConnection, ClusterConnectionSpec
from skerry.api.kinds import CLUSTER
from skerry.api.messages import ConnectAnswer, ConnectRequest, WriteRequest
from skerry.api.meta import Document
from skerry.errors import AlreadyExists, BadGateway, BadRequest, Conflict, NotFound, Unauthorized
from skerry.identity import nkey
from skerry.identity.assertion import check_record
from skerry.member import bindings, checks, kubeconfig
from skerry.member.credentials import CredentialError, source
from skerry.member.kubeconfig import KubeconfigError, Target
from skerry.member.role import HOST
from skerry.member.upstream import Upstream

log = logging.getLogger("skerry.registry")

EXAMINE_S = 8.0
"""All calls of one write together: the front door waits 10 s for its answer."""

_encode = msgspec.json.Encoder().encode


class Connections:
    """Answers writes of connections, and proxies that ask for them. `changed` is told which member to look at."""

    def __init__(self, registry: RegistryStore, changed: Callable[[str], None], clock: Clock = wall_and_mono) -> None:
        self._registry, self._changed, self._clock = registry, changed, clock
        self._writing = asyncio.Lock()

    # Joining

    async def join(self, request: WriteRequest, body: ClusterConnection) -> Document:
        """A new direct member: its Cluster; on dry run the one that would be."""
        spec = body.spec
        name, target = self._read(request, spec)
        await self._free(name)
        host_uid = "" if spec.take_over else self._registry.settings.host_uid
        expires = direct.expires_of(target)
        async with _upstream(target) as upstream:
            facts = await _examined(upstream, host_uid)
            self._check_owner(name, facts.uid, await self._registry.owner(facts.uid, self._clock()))
            cluster = direct.member(name, str(uuid.uuid4()), facts, expires, self._clock())
            if request.options.dry_run:
                return self._registry.clusters.stamped(cluster)
            await bindings.ensure(upstream, self._registry.settings.host_uid)
            if spec.take_over:
                await self._take(upstream)
        async with self._writing:
            return await self._made(name, facts.uid, cluster, target)

    async def _take(self, upstream: Upstream) -> None:
        await bindings.take_over(upstream, self._registry.settings.host_name, self._registry.settings.host_uid)

    async def _made(self, name: str, uid: str, cluster: Document, target: Target) -> Document:
        """Claim, credential, object, in this order: a proxy that sees the object finds the credential."""
        registry, object_uid = self._registry, cluster["metadata"]["uid"]
        claim = await registry.secrets.claim(uid, name, self._clock().wall)
        self._check_owner(name, uid, claim.name)
        await registry.secrets.keep_connection(object_uid, target)
        try:
            stored = await registry.clusters.create(cluster)
        except AlreadyExists as error:
            await registry.secrets.drop_connection(object_uid)
            raise _taken(name) from error
        owner = await registry.confirmed(stored, uid, self._clock())
        if owner != name:
            await registry.secrets.drop_connection(object_uid)
            self._check_owner(name, uid, owner)
        log.info("joined", extra={"cluster": name, "connection": direct.MODE, "server": target.url})
        self._changed(name)
        return stored.document()

    async def _free(self, name: str) -> None:
        existing = await self._registry.cluster(name)
        if existing is not None and clusters.is_leaving(existing):
            raise Conflict(f"cluster {name!r} is being removed: try again in a moment")
        if existing is not None:
            raise _taken(name)

    @staticmethod
    def _check_owner(name: str, uid: str, owner: str) -> None:
        if owner and owner != name:
            raise joined_already(uid, owner)

    # Another credential

    async def rotate(self, request: WriteRequest, body: ClusterConnection) -> Document:
        """Another credential, or address, for the same cluster; its Cluster."""
        name, target = self._read(request, body.spec)
        cluster = await self._direct(name)
        expires = direct.expires_of(target)
        async with _upstream(target) as upstream:
            facts = await _examined(upstream, "")
            self._check_same(name, clusters.uid_of(cluster), facts.uid)
            if request.options.dry_run:
                return cluster
            await bindings.ensure(upstream, self._registry.settings.host_uid if body.spec.take_over else "")
            if body.spec.take_over:
                await self._take(upstream)
        async with self._writing:
            credential = await self._registry.secrets.keep_connection(cluster["metadata"]["uid"], target)
            stored = await self._registry.clusters.modify(
                name, lambda document: self._credited(document, cluster, credential.revision, expires)
            )
        log.info("the credential was replaced", extra={"cluster": name, "revision": credential.revision})
        self._changed(name)
        return stored.document()

    def _credited(self, document: Document, cluster: Document, revision: int, expires: float | None) -> Document | None:
        if document["metadata"]["uid"] != cluster["metadata"]["uid"] or direct.revision_of(document) >= revision:
            return None
        return direct.credited(document, revision, expires)

    @staticmethod
    def _check_same(name: str, known: str, uid: str) -> None:
        if known != uid:
            raise Conflict(
                f"the kubeconfig is for another cluster (kube-system UID {uid}) than {name!r} ({known}): give one of the "
                f"same cluster, or join the other under a name of its own"
            )

    async def _direct(self, name: str) -> Document:
        cluster = await self._registry.cluster(name)
        if cluster is None or clusters.is_leaving(cluster):
            raise self._registry.clusters.not_found(name)
        if clusters.mode_of(cluster) != direct.MODE:
            raise Conflict(
                f"cluster {name!r} is not a direct member: the host holds no credential for it; one with an agent gets its "
                "kubeconfig where the agent runs"
            )
        return cluster

    @staticmethod
    def _read(request: WriteRequest, spec: ClusterConnectionSpec) -> tuple[str, Target]:
        name = subjects.member(request.name)
        if name == clusters.HOST:
            raise invalid(CLUSTER, name, "metadata.name", "this name belongs to the host itself", name)
        try:
            return name, kubeconfig.standalone(spec.kubeconfig, "the kubeconfig that was sent")
        except KubeconfigError as error:
            raise BadRequest(str(error)) from error

    # Proxies

    async def tell(self, request: ConnectRequest, member: str) -> ConnectAnswer:
        """`direct.<m>.connect`: the connection, sealed to a proxy's certified key. Only proxies can ask."""
        record = check_record(self._registry.authority.trust_roots(), request.record, self._clock().wall)
        name = subjects.member(member)
        cluster = await self._direct(name)
        connection = await self._registry.secrets.connection(cluster["metadata"]["uid"])
        if connection is None:
            raise NotFound(f"the credential for cluster {name!r} is gone: it is being removed")
        log.info("a proxy was told a connection", extra={"cluster": name, "proxy": record.proxy})
        return ConnectAnswer(sealed=nkey.seal(record.key, _encode(connection)))


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"cluster {name!r} has joined already: to give this host another credential for it, skerry cluster set {name} "
        f"--kubeconfig FILE; to join another cluster, use another name, or remove that one first: skerry cluster remove {name}",
        kind="clusters",
        group="skerry.dev",
        name=name,
    )


@asynccontextmanager
async def _upstream(target: Target) -> AsyncIterator[Upstream]:
    try:
        upstream = Upstream(target, source(target), role=HOST, connections=4)
    except CredentialError as error:
        raise BadRequest(str(error)) from error
    try:
        async with asyncio.timeout(EXAMINE_S):
            yield upstream
    except TimeoutError as error:
        raise BadGateway(
            f"this host asked {target.url} and got no answers within {EXAMINE_S:.0f} s: check that it reaches it"
        ) from error
    except (KubeconfigError, CredentialError) as error:
        raise BadRequest(str(error)) from error
    except Unauthorized as error:
        raise BadRequest(error.message) from error
    finally:
        await upstream.close()


async def _examined(upstream: Upstream, host_uid: str) -> JoinFacts:
    """What an API server says of itself to this host. BadGateway, Conflict, Unauthorized."""
    version = await checks.version_of(upstream)
    uid = await checks.identity_of(upstream, host_uid)
    await checks.impersonation_of(upstream)
    return JoinFacts(uid, version)
