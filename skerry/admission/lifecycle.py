"""The life of namespaces on the host: nothing is made in one that is not there, or that is going (as NamespaceLifecycle has it,
k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle).

A namespace is the Workspace of its name; those of ALWAYS are there without one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from skerry.api.kinds import ALWAYS, NAMESPACE, WORKSPACE, Kind
from skerry.errors import BadRequest, Forbidden, NotFound, cause
from skerry.informer import View

LifecycleState = Literal["Active", "Terminating", "Absent"]
CheckNamespace = Callable[[Kind, str, str], Awaitable[None]]
"""From a kind, a namespace and a name to nothing, if an object may be made there. BadRequest, NotFound, Forbidden."""


def state_of(informer: View, namespace: str) -> LifecycleState:
    """How it stands with a namespace, as far as an informer that has Workspaces knows."""
    if namespace in ALWAYS:
        return "Active"
    workspace = informer.get(WORKSPACE, namespace)
    if workspace is None:
        return "Absent"
    going = workspace.tied and "deletionTimestamp" in workspace.document()["metadata"]
    return "Terminating" if going else "Active"


def checks(informer: View) -> CheckNamespace:
    """The check by an informer that has Workspaces, and is asked for what is stored now."""
    return partial(_check, informer)


async def _check(informer: View, kind: Kind, namespace: str, name: str) -> None:
    if not namespace:
        raise BadRequest("an empty namespace may not be set during creation")
    await informer.current()
    state = state_of(informer, namespace)
    if state == "Absent":
        raise NotFound(f'namespaces "{namespace}" not found', kind=NAMESPACE.plural, name=namespace)
    if state == "Terminating":
        raise Forbidden(
            f'{kind.plural}.{kind.group} "{name}" is forbidden: unable to create new content in namespace {namespace} '
            "because it is being terminated",
            kind=kind.plural,
            group=kind.group,
            name=name,
            causes=(cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating"),),
        )
