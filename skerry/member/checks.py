"""What is asked of a cluster before it joins, and again later: each says in one line what is wrong and what to do.

Whether the bindings may be made and whether impersonation is allowed is asked by trying (a server-side dry run, an
impersonated GET /version), because an access review does not know webhooks, admission, or `escalate`. skerry/checks puts
these under their names.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skerry.api.kinds.access import ROLES
from skerry.api.names import PREFIX
from skerry.errors import BadGateway, Conflict, Unauthorized
from skerry.member.bindings import binding, is_right, path_of_bindings
from skerry.member.identity import HOST_ANNOTATION, KUBE_SYSTEM, RightsMissing, owner_of
from skerry.member.upstream import Upstream, WholeAnswer


async def version_of(upstream: Upstream) -> str:
    """The API server's gitVersion. Unauthorized, BadGateway."""
    answer = await upstream.call("GET", "/version")
    if answer.status == 401:
        raise refused(upstream)
    document = answer.document()
    version = document.get("gitVersion")
    if answer.status != 200 or not isinstance(version, str):
        raise BadGateway(
            f"{upstream.url} is not a Kubernetes API server (GET /version: {answer.status}): check the address"
        )
    return version[:64]


def refused(upstream: Upstream) -> Unauthorized:
    """The error for a credential that an API server does not take."""
    return Unauthorized(f"{upstream.url} refuses the credential of {upstream.proof}: check it with kubectl")


async def identity_of(upstream: Upstream, host_uid: str) -> str:
    """UID of namespace kube-system: the identity of the physical cluster.

    Conflict if it is marked as the member of another host than `host_uid` (empty: of any is fine). BadGateway.
    """
    metadata = await kube_system_of(upstream)
    owner, host = owner_of(metadata)
    if owner and host_uid and owner != host_uid:
        raise owned_by_another(owner, host)
    return uid_of(metadata, upstream)


async def kube_system_of(upstream: Upstream) -> dict[str, Any]:
    """metadata of namespace kube-system. Unauthorized, BadGateway."""
    answer = await upstream.call("GET", KUBE_SYSTEM)
    if answer.status == 401:
        raise refused(upstream)
    if answer.status != 200:
        kind = RightsMissing if answer.status == 403 else BadGateway
        raise kind(f"namespace kube-system cannot be read ({answer.message()}): allow `get` on it")
    return answer.metadata()


def uid_of(metadata: dict[str, Any], upstream: Upstream) -> str:
    """The UID in the metadata of kube-system. BadGateway."""
    uid = str(metadata.get("uid") or "")
    if not 1 <= len(uid) <= 128:
        raise BadGateway(
            f"{upstream.url} does not tell the UID of namespace kube-system: is it a Kubernetes API server?"
        )
    return uid


def owned_by_another(owner: str, name: str) -> Conflict:
    """The error for a cluster with the mark of another host, by that host's UID and name."""
    return Conflict(
        f"this cluster belongs to host {(name or owner)[:64]!r} ({owner[:64]}): remove it there first, or take it over with "
        f"--take-over; if that host is gone: kubectl annotate namespace kube-system {HOST_ANNOTATION}-"
    )


async def impersonation_of(upstream: Upstream) -> str:
    """Check that the credential may impersonate, by doing so. RightsMissing if not, BadGateway."""
    headers = [(b"impersonate-user", b"skerry:check"), (b"impersonate-group", b"skerry:view")]
    extra = (b"impersonate-extra-skerry.dev%2fuser", b"check")
    answer = await upstream.call("GET", "/version", headers=[*headers, extra])
    if answer.status == 200:
        return "allowed"
    if answer.status in {401, 429} or answer.status >= 500:
        raise BadGateway(f"{upstream.url} does not say whether its credential may impersonate: {answer.message()}")
    raise RightsMissing(
        f"the credential of {upstream.origin} may not impersonate ({answer.message()}): it needs the verb "
        "impersonate on users, groups and userextras/skerry.dev/user, for example by cluster-admin: kubectl create "
        "clusterrolebinding skerry-access --clusterrole=cluster-admin with --user=NAME or --serviceaccount=NAMESPACE:NAME"
    )


async def bindings_of(upstream: Upstream) -> str:
    """Check that each of the four bindings is there and right, or may be made, by a dry run. RightsMissing naming the first that
    neither is nor may be; BadGateway."""
    absent = [role for role in ROLES if not await _is_there(upstream, role)]
    path = path_of_bindings() + "?dryRun=All"
    answers = [await upstream.call("POST", path, body=msgspec.json.encode(binding(role))) for role in absent]
    for role, answer in zip(absent, answers, strict=True):
        _allowed(role, answer, upstream)
    return "may be made" if absent else "are there"


async def _is_there(upstream: Upstream, role: str) -> bool:
    """Who made it for us need not let us make it."""
    answer = await upstream.call("GET", path_of_bindings(PREFIX + role))
    return answer.status == 200 and is_right(role, answer.document())


def _allowed(role: str, answer: WholeAnswer, upstream: Upstream) -> None:
    if answer.status == 429 or answer.status >= 500:
        raise BadGateway(f"{upstream.url} does not say whether ClusterRole {role} may be bound: {answer.message()}")
    if answer.status not in {200, 201, 409}:
        raise RightsMissing(
            f"the credential of {upstream.origin} may not bind ClusterRole {role} ({answer.message()}): "
            "it needs the rights of cluster-admin, or `bind` on that role"
        )
