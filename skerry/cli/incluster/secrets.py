"""Secrets of one namespace, as the bootstrap uses them; the only importer of kubernetes-asyncio.

It costs 80 MiB, so only short-lived processes load it, when they begin to ask a cluster.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from skerry.errors import BadGateway, Forbidden, ServiceUnavailable

T = TypeVar("T")
LABELS = {"app.kubernetes.io/part-of": "skerry", "skerry.dev/installed": "host"}
"""By which what the host made is found, whoever manages it."""
MANAGER = "skerry-bootstrap"
DEADLINE_S = 15.0
"""Of one request."""
_CONFLICT, _MISSING = 409, 404


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


class ClusterSecrets:
    """Those of a namespace of a real cluster."""

    def __init__(self, core: Any, namespace: str) -> None:
        """`core` is a CoreV1Api of kubernetes-asyncio."""
        self._core, self._namespace = core, namespace

    async def get(self, name: str) -> Secret | None:
        """See Secrets."""
        secret = await self._call(
            f"get Secret {name}", lambda: self._core.read_namespaced_secret(name, self._namespace)
        )
        if secret is None:
            return None
        files = {key: base64.b64decode(value) for key, value in (secret.data or {}).items()}
        return Secret(files, str(secret.metadata.resource_version))

    async def create(self, name: str, files: Mapping[str, bytes]) -> bool:
        """See Secrets."""
        body = _document(name, files)
        secret = await self._call(
            f"create Secret {name}",
            lambda: self._core.create_namespaced_secret(self._namespace, body, field_manager=MANAGER),
        )
        return secret is not None

    async def replace(self, name: str, files: Mapping[str, bytes], version: str) -> bool:
        """See Secrets."""
        body = _document(name, files, version)
        secret = await self._call(
            f"update Secret {name}",
            lambda: self._core.replace_namespaced_secret(name, self._namespace, body, field_manager=MANAGER),
        )
        return secret is not None

    async def kube_system(self) -> Mapping[str, Any]:
        """See Secrets."""
        namespace = await self._call("get Namespace kube-system", lambda: self._core.read_namespace("kube-system"))
        if namespace is None:
            raise BadGateway("the cluster has no namespace kube-system: it is not Kubernetes")
        return {"uid": namespace.metadata.uid, "annotations": dict(namespace.metadata.annotations or {})}

    async def _call(self, what: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None where the name is taken, not there, or of another version."""
        from kubernetes_asyncio.client import ApiException

        try:
            async with asyncio.timeout(DEADLINE_S):
                return await ask()
        except ApiException as error:
            if error.status in (_CONFLICT, _MISSING) and not (error.status == _MISSING and what.startswith("create")):
                return None
            if error.status in (401, 403):
                raise Forbidden(
                    f"the cluster does not let the bootstrap {what} in namespace {self._namespace}: allow it"
                ) from error
            raise BadGateway(
                f"{what} in namespace {self._namespace}: the cluster answered {error.status} {error.reason}"
            ) from error
        except (TimeoutError, OSError) as error:  # aiohttp's errors of connections are OSErrors
            reason = str(error) or f"no answer in {DEADLINE_S:g} s"
            raise ServiceUnavailable(f"{what}: the cluster cannot be reached ({reason})") from error


def _document(name: str, files: Mapping[str, bytes], version: str = "") -> dict[str, Any]:
    metadata = {"name": name, "labels": LABELS, **({"resourceVersion": version} if version else {})}
    data = {key: base64.b64encode(value).decode() for key, value in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


@asynccontextmanager
async def connected(namespace: str, kubeconfig: str, context: str) -> AsyncIterator[ClusterSecrets]:
    """By a kubeconfig, or as the pod that this runs in. ServiceUnavailable if there is neither."""
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    try:
        if kubeconfig:
            await config.load_kube_config(kubeconfig, context or None, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise ServiceUnavailable(f"no cluster is known: {error}") from error
    configuration.retries = 0
    async with client.ApiClient(configuration) as api:
        yield ClusterSecrets(client.CoreV1Api(api), namespace)
