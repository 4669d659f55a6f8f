"""The checks before joining: each has a name, and a failure says in one line what is wrong and what to do next.

They run before anything is written here, on the member or on the host, except the last: the agent's key and the token.
Whether the bindings may be made and whether impersonation is allowed is asked by trying (a server-side dry run, an
impersonated GET /version), because an access review does not know webhooks, admission, or `escalate`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from services.agent.bindings import HOST_ANNOTATION, HOST_NAME_ANNOTATION, ROLES, binding, path_of_bindings
from services.agent.credentials import CredentialError
from services.agent.upstream import Answer, Upstream
from skerry import bus
from skerry.api.messages import Token
from skerry.errors import BadGateway, SkerryError, StatusError, Unauthorized

T = TypeVar("T")
DIAL_S = 5.0


class CheckFailed(SkerryError):
    """A named check failed; nothing has been changed."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(f"{check}: {message}")
        self.check = check


Report = Callable[[str, str], None]
"""Called with the name of a check that passed and what it found."""


async def reach_bus(settings: bus.Settings, token: Token, credentials: bus.Credentials) -> bus.Connection:
    """The check "bus": DNS, TCP, TLS and the token, in that order, each with its own message. Raises CheckFailed."""
    try:
        return await bus.connect(settings, credentials)
    except Unauthorized as e:
        raise CheckFailed(
            "token",
            f"host {token.host!r} does not take it ({e.message}): it was used, revoked, or has expired; "
            f"make a new one there with: skerry token create {token.name}",
        ) from e
    except StatusError as e:
        raise CheckFailed(*await _why_unreachable(settings.servers, e.message)) from e


async def _why_unreachable(servers: tuple[str, ...], message: str) -> tuple[str, str]:
    verdict = ("bus", message)
    for server in servers:
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port or 4222
        verdict = await _why(host, port, message)
        if verdict[0] == "bus TLS":
            break
    return verdict


async def _why(host: str, port: int, message: str) -> tuple[str, str]:
    loop = asyncio.get_running_loop()
    try:
        await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as e:
        return "bus DNS", f"{host} is not known here ({e.strerror}): check DNS, or make a token with another --address"
    try:
        async with asyncio.timeout(DIAL_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError) as e:
        why = "timed out" if isinstance(e, TimeoutError) else (e.strerror or str(e))
        return (
            "bus TCP",
            f"{host}:{port} cannot be reached ({why}): open the way out, or check the host with: skerry status",
        )
    hint = (
        "check this machine's clock"
        if "not yet valid" in message or "expired" in message
        else (
            f"something between here and {host}:{port}, or another host, answers with its own certificate; make a new token"
        )
    )
    return "bus TLS", f"{message}: {hint}"


class Cluster:
    """What the checks found out about the member."""

    def __init__(self, uid: str, version: str) -> None:
        self.uid, self.version = uid, version


async def member(upstream: Upstream, token: Token, report: Report) -> Cluster:
    """All checks of the member's API server. Raises CheckFailed; changes nothing."""
    version = await _step("api server", report, _version(upstream))
    uid = await _step("identity", report, _identity(upstream, token))
    await _step("impersonation", report, _impersonation(upstream))
    await _step("bindings", report, _bindings(upstream))
    return Cluster(uid, version)


async def _step(check: str, report: Report, work: Awaitable[T]) -> T:
    try:
        found = await work
    except CredentialError as e:
        raise CheckFailed(check, str(e)) from e
    except StatusError as e:
        raise CheckFailed(check, e.message) from e
    report(check, str(found))
    return found


async def _version(upstream: Upstream) -> str:
    answer = await upstream.call("GET", "/version")
    if answer.status == 401:
        raise Unauthorized(f"{upstream.url} refuses the credential of {upstream.origin}: check it with kubectl")
    document = answer.document()
    version = document.get("gitVersion")
    if answer.status != 200 or not isinstance(version, str):
        raise BadGateway(f"{upstream.url} is not a Kubernetes API server (GET /version: {answer.status})")
    return version


async def _identity(upstream: Upstream, token: Token) -> str:
    answer = await upstream.call("GET", "/api/v1/namespaces/kube-system")
    if answer.status != 200:
        raise BadGateway(f"namespace kube-system cannot be read: {answer.message()}: allow `get` on it")
    metadata: dict[str, Any] = answer.document().get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    owner = annotations.get(HOST_ANNOTATION, "")
    if owner and token.host_uid and owner != token.host_uid:
        name = annotations.get(HOST_NAME_ANNOTATION, "") or owner
        raise BadGateway(
            f"this cluster belongs to host {name!r} ({owner}): remove it there first, or if that host is gone: "
            f"kubectl annotate namespace kube-system {HOST_ANNOTATION}-"
        )
    return str(metadata.get("uid") or "")


async def _impersonation(upstream: Upstream) -> str:
    headers = [(b"impersonate-user", b"skerry:check"), (b"impersonate-group", b"skerry:view")]
    extra = (b"impersonate-extra-skerry.dev%2fuser", b"check")
    answer = await upstream.call("GET", "/version", headers=[*headers, extra])
    if answer.status != 200:
        raise BadGateway(
            f"the credential of {upstream.origin} may not impersonate ({answer.message()}): it needs the verb "
            "impersonate on users, groups and userextras/skerry.dev/user, for example by cluster-admin"
        )
    return "allowed"


async def _bindings(upstream: Upstream) -> str:
    answers = [await upstream.call("POST", path_of_bindings() + "?dryRun=All", body=binding(role)) for role in ROLES]
    for role, answer in zip(ROLES, answers, strict=True):
        _allowed(role, answer, upstream)
    return "may be made"


def _allowed(role: str, answer: Answer, upstream: Upstream) -> None:
    if answer.status not in {200, 201, 409}:
        raise BadGateway(
            f"the credential of {upstream.origin} may not bind ClusterRole {role} ({answer.message()}): "
            "it needs the rights of cluster-admin, or `bind` on that role"
        )
