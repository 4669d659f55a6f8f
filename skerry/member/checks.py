"""The checks of a cluster before it joins: each has a name, and a failure says in one line what is wrong and what to do.

They run before anything is written. Whether the bindings may be made and whether impersonation is allowed is asked by
trying (a server-side dry run, an impersonated GET /version), because an access review does not know webhooks, admission,
or `escalate`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from skerry.errors import BadGateway, Conflict, SkerryError, StatusError, Unauthorized
from skerry.member.bindings import HOST_ANNOTATION, HOST_NAME_ANNOTATION, ROLES, binding, path_of_bindings
from skerry.member.credentials import CredentialError
from skerry.member.identity import KUBE_SYSTEM, RightsMissing
from skerry.member.kubeconfig import KubeconfigError
from skerry.member.upstream import Upstream, WholeAnswer

T = TypeVar("T")

OnPassed = Callable[[str, str], None]
"""Called with the name of a check that passed and what it found."""


class CheckFailed(SkerryError):
    """A named check failed; nothing has been changed."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(f"{check}: {message}")
        self.check = check


class ClusterFacts:
    """Facts about a cluster that its checks found out."""

    def __init__(self, uid: str, version: str) -> None:
        self.uid, self.version = uid, version


async def member(upstream: Upstream, host_uid: str, report: OnPassed, *, take_over: bool = False) -> ClusterFacts:
    """All checks of a cluster that is to join the host `host_uid` with this credential; they change nothing.

    `take_over`: that it is marked as another host's is no reason to refuse it. Raises CheckFailed.
    """
    version = await step("api server", report, version_of(upstream))
    uid = await step("identity", report, identity_of(upstream, "" if take_over else host_uid))
    await step("impersonation", report, impersonation_of(upstream))
    await step("bindings", report, _bindings(upstream))
    return ClusterFacts(uid, version)


async def step(check: str, report: OnPassed, work: Awaitable[T]) -> T:
    """One check by its name. Raises CheckFailed for what the cluster or the credential does."""
    try:
        result = await work
    except (CredentialError, KubeconfigError) as e:
        raise CheckFailed(check, str(e)) from e
    except StatusError as e:
        raise CheckFailed(check, e.message) from e
    report(check, str(result))
    return result


async def version_of(upstream: Upstream) -> str:
    """The API server's gitVersion. Unauthorized, BadGateway."""
    answer = await upstream.call("GET", "/version")
    if answer.status == 401:
        raise Unauthorized(f"{upstream.url} refuses the credential of {upstream.proof}: check it with kubectl")
    document = answer.document()
    version = document.get("gitVersion")
    if answer.status != 200 or not isinstance(version, str):
        raise BadGateway(f"{upstream.url} is not a Kubernetes API server (GET /version: {answer.status})")
    return version[:64]


async def identity_of(upstream: Upstream, host_uid: str) -> str:
    """UID of namespace kube-system: the identity of the physical cluster.

    Conflict if it is marked as the member of another host than `host_uid` (empty: of any is fine). BadGateway.
    """
    answer = await upstream.call("GET", KUBE_SYSTEM)
    if answer.status == 401:
        raise Unauthorized(f"{upstream.url} refuses the credential of {upstream.proof}: check it with kubectl")
    if answer.status != 200:
        raise BadGateway(f"namespace kube-system cannot be read: {answer.message()}: allow `get` on it")
    metadata = answer.metadata()
    annotations = metadata.get("annotations") or {}
    owner = annotations.get(HOST_ANNOTATION, "")
    if owner and host_uid and owner != host_uid:
        name = annotations.get(HOST_NAME_ANNOTATION, "") or owner
        raise Conflict(
            f"this cluster belongs to host {name!r} ({owner}): remove it there first, or if that host is gone: "
            f"kubectl annotate namespace kube-system {HOST_ANNOTATION}-"
        )
    uid = str(metadata.get("uid") or "")
    if not 1 <= len(uid) <= 128:
        raise BadGateway(f"{upstream.url} does not tell the UID of namespace kube-system")
    return uid


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


async def _bindings(upstream: Upstream) -> str:
    answers = [await upstream.call("POST", path_of_bindings() + "?dryRun=All", body=binding(role)) for role in ROLES]
    for role, answer in zip(ROLES, answers, strict=True):
        _allowed(role, answer, upstream)
    return "may be made"


def _allowed(role: str, answer: WholeAnswer, upstream: Upstream) -> None:
    if answer.status not in {200, 201, 409}:
        raise BadGateway(
            f"the credential of {upstream.origin} may not bind ClusterRole {role} ({answer.message()}): "
            "it needs the rights of cluster-admin, or `bind` on that role"
        )
