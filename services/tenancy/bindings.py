"""What the scopes of a member need there: bindings, as tenancy wants them on it. Pure.

A set: a second grant in a known scope wants nothing more, and what nobody's grant gives any more is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skerry.access.holdings import Basis, Scope
from skerry.api.desired import REASONS, Because, Options
from skerry.api.kinds import CLUSTER
from skerry.api.kinds.access import ROLES
from skerry.api.meta import Document
from skerry.api.names import NAMESPACES_GROUP, PREFIX
from skerry.desired.client import Want
from skerry.member import bindings

RBAC = "rbac.authorization.k8s.io"
ADOPT = Options(adopt="Same")
"""What is there already just as it is wanted, by whoever made it, is taken in."""


def wants(name: str, scopes: Mapping[Scope, tuple[Basis, ...]]) -> list[Want]:
    """All of them: the four that every member has, one for each role in a namespace, and, once there is anything in a
    namespace, what lets Namespaces be listed.
    """
    cluster = (Because(kind=CLUSTER.kind, name=name),)
    desired = [Want(bindings.binding(role), ADOPT, cluster) for role in ROLES]
    narrow = {scope: bases for scope, bases in sorted(scopes.items()) if scope.namespace}
    desired += [Want(role_binding(scope), ADOPT, _because(bases)) for scope, bases in narrow.items() if scope.role]
    if narrow:
        because = _because(basis for bases in narrow.values() for basis in bases)
        desired += [Want(document, ADOPT, because) for document in (namespaces_role(), namespaces_binding())]
    return desired


def needed(scopes: Iterable[Scope]) -> list[Document]:
    """The objects that these scopes of one grant rest on."""
    documents = [
        role_binding(scope) if scope.namespace else bindings.binding(scope.role) for scope in scopes if scope.role
    ]
    if any(scope.namespace for scope in scopes):
        documents += [namespaces_role(), namespaces_binding()]
    return documents


def role_binding(scope: Scope) -> Document:
    """RoleBinding `skerry:<role>` of a role in a namespace."""
    return bindings.bound(PREFIX + scope.role, scope.role, scope.group, scope.namespace)


def namespaces_role() -> Document:
    """ClusterRole `skerry:namespaces`: Namespaces can be listed. Who is asserted its group sees their own alone."""
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAMESPACES_GROUP},
        "rules": [rule],
    }


def namespaces_binding() -> Document:
    """ClusterRoleBinding `skerry:namespaces`."""
    return bindings.bound(NAMESPACES_GROUP, NAMESPACES_GROUP, NAMESPACES_GROUP)


def _because(bases: Iterable[Basis]) -> tuple[Because, ...]:
    return tuple(Because(kind=basis.kind, name=basis.name) for basis in sorted(set(bases)))[:REASONS]
