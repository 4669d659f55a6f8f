"""Dry runs of what would be installed: quotas, ranges, Pod Security, policies and webhooks answer in their own words.

Nothing is written. Pods are tried one by one, because a Deployment is taken whatever becomes of its pods.
"""

from __future__ import annotations

from collections.abc import Sequence

from skerry.api.meta import Document
from skerry.checks.preflightreport import PreflightCheck
from skerry.checks.unreadable import unreadable
from skerry.errors import Forbidden, NotFound, StatusError
from skerry.installation import Workload
from skerry.member.objects import ObjectClient

_BINDINGS = ("RoleBinding", "ClusterRoleBinding")


async def try_pods(client: ObjectClient, workloads: Sequence[Workload], namespace: str) -> PreflightCheck:
    """One pod of each workload. Unreadable without the right to make pods; what else the API server tells of itself."""
    for workload in workloads:
        if not workload.replicas:
            continue
        try:
            await client.create(workload.pod(namespace), dry_run=True)
        except StatusError as error:
            _raise_unjudged(error)
            return PreflightCheck(
                name="admission",
                state="fail",
                message=f"a pod of {workload.name} is not admitted ({error.message})",
                next="change the values, or what refuses it",
            )
    return PreflightCheck(name="admission", state="pass", message="a pod of each workload is admitted")


async def try_objects(
    client: ObjectClient, documents: Sequence[Document], namespace: str, *, namespace_exists: bool
) -> PreflightCheck:
    """All objects, as an installation applies them. Unreadable without the right to do that."""
    untried, refused = list[str](), list[str]()
    named = {(each["kind"], each["metadata"]["name"]) for each in documents}
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        try:
            placed = await client.placed(document, namespace)
            if not namespace_exists and placed["metadata"].get("namespace") == namespace:
                untried.append(name)
                continue
            await client.apply(placed, dry_run=True)
        except StatusError as error:
            if isinstance(error, NotFound) and _binds(document, named):
                untried.append(name)  # to a role that is in the manifest itself, and not there yet
                continue
            _raise_unjudged(error)
            refused.append(f"{name} is refused ({error.message})")
    if refused:
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        message = f"{refused[0]}{more}"
        return PreflightCheck(
            name="manifest", state="fail", message=message, next="change the values, or what refuses it"
        )
    tried = f"{len(documents) - len(untried)} of {len(documents)} objects are accepted"
    if not untried:
        return PreflightCheck(name="manifest", state="pass", message=tried)
    names = ", ".join(untried[:3]) + (f" and {len(untried) - 3} more" if len(untried) > 3 else "")
    why = f"{tried}; what others need is not there yet, so they are not tried ({names})"
    return PreflightCheck(name="manifest", state="pass", message=why)


def _binds(document: Document, named: set[tuple[str, str]]) -> bool:
    role = document.get("roleRef") if document["kind"] in _BINDINGS else None
    return isinstance(role, dict) and (role.get("kind"), role.get("name")) in named


def _raise_unjudged(error: StatusError) -> None:
    """Unless it is about the object: who may not try it, or is not answered, knows nothing."""
    if isinstance(error, Forbidden) and "cannot " in error.message and " resource " in error.message:
        raise unreadable(error) from error
    if error.code == 401 or error.code == 429 or error.code >= 500:
        raise error
