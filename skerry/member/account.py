"""A service account of its own for the host on a direct member: what --create-service-account makes, and with what rights.

For credentials that a host cannot use by itself (an exec plugin runs on somebody's machine) or should not have. Its
rights are data, by what they are for: serving, the mark, the inventory, and what tenancy keeps in place; one that an older
version made gets what it lacks when the command is run again. `impersonate` cannot be narrowed to a prefix, and who may
impersonate any user may anything: the token is to be kept like an administrator's, and the barrier is the prefix check of skerry/member/impersonation.py.

The token is that of a Secret, because one from the TokenRequest API ends after hours on most providers and only the
administrator could ask for the next. Where no controller fills such Secrets in, the longest token that is granted is used.
"""

from __future__ import annotations

import asyncio
import binascii
import secrets
import time
from typing import NamedTuple

import msgspec

from skerry.api.kinds.access import ROLES
from skerry.api.meta import Document
from skerry.api.names import INSTALLED_LABEL, MANAGED_BY, PREFIX
from skerry.errors import BadGateway
from skerry.member.bindings import MERGE
from skerry.member.upstream import Upstream, WholeAnswer

NAMESPACE = "skerry-system"
NAME = "skerry-direct"
ROLE = "skerry:direct"
LABELS = {INSTALLED_LABEL: "direct"}
NAMESPACES = "skerry:namespaces"
"""The one ClusterRole of tenancy."""
YEAR_S = 365 * 86400
MADE = (
    f"Namespace {NAMESPACE}", f"ServiceAccount {NAMESPACE}/{NAME}", f"ClusterRole {ROLE}",
    f"ClusterRoleBinding {ROLE}", f"Secret {NAMESPACE}/{NAME}-…",
)  # fmt: skip
"""What `create` makes, for people."""
FILLED_S = 10.0
POLL_S = 0.2
_RBAC = "rbac.authorization.k8s.io"
_SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
_ACCOUNTS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
_encode = msgspec.json.Encoder().encode


class AccountToken(NamedTuple):
    """A token that was made, and the Secret that it lives in (empty: in none)."""

    token: str
    secret: str


class Right(NamedTuple):
    """One rule of the account's ClusterRole, and which part of Skerry needs it."""

    purpose: str
    verbs: str
    group: str
    resources: str
    names: tuple[str, ...] = ()
    """Only of these; empty for all."""


RIGHTS = (
    Right("requests", "impersonate", "", "users groups"),
    Right("requests", "impersonate", "authentication.k8s.io", "userextras/skerry.dev/user"),
    Right("mark", "get patch", "", "namespaces", ("kube-system",)),
    Right("bindings", "get", _RBAC, "clusterrolebindings", tuple(PREFIX + role for role in ROLES)),
    Right("inventory", "get list watch", "", "nodes"),
    Right("inventory", "list", "", "pods"),
    Right("inventory", "list", "metrics.k8s.io", "nodes"),
    Right("tenancy", "get list watch create patch delete", "", "namespaces"),
    Right("tenancy", "get list watch create patch delete", _RBAC, "rolebindings clusterrolebindings"),
    Right("tenancy", "bind", _RBAC, "clusterroles", (*ROLES, NAMESPACES)),
    Right("tenancy", "list watch create", _RBAC, "clusterroles"),
    Right("tenancy", "get patch delete", _RBAC, "clusterroles", (NAMESPACES,)),
)
"""What it may do. To write a binding one has to hold what it gives, or to `bind` its role."""
PATHS = ("/readyz", "/version")


def rules(*, grants: bool = True) -> list[Document]:
    """The rules of its ClusterRole; without what `grants` in single namespaces need, if they are not to work."""
    rules = [_rule(right) for right in RIGHTS if grants or right.purpose != "tenancy"]
    return [*rules, {"nonResourceURLs": list(PATHS), "verbs": ["get"]}]


def front_door_rules() -> list[Document]:
    """The rules for the front door on the cluster that the host runs in: it impersonates, and sees which cluster that is."""
    requests = [_rule(right) for right in RIGHTS if right.purpose == "requests"]
    return [*requests, _rule(Right("identity", "get", "", "namespaces", ("kube-system",)))]


def _rule(right: Right) -> Document:
    return {
        "apiGroups": [right.group],
        "resources": right.resources.split(),
        "verbs": right.verbs.split(),
        **({"resourceNames": list(right.names)} if right.names else {}),
    }


async def create(upstream: Upstream) -> AccountToken:
    """The namespace, the account, its role and binding, and a new token; all but the token are made once.

    BadGateway names what cannot be made.
    """
    await _apply(upstream, "/api/v1/namespaces", _object("v1", "Namespace", NAMESPACE))
    await _apply(upstream, _ACCOUNTS, _object("v1", "ServiceAccount", NAME))
    role = {**_object(f"{_RBAC}/v1", "ClusterRole", ROLE), "rules": rules()}
    await _apply(upstream, f"/apis/{_RBAC}/v1/clusterroles", role, patch={"rules": rules()})
    binding = {
        **_object(f"{_RBAC}/v1", "ClusterRoleBinding", ROLE),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }
    await _apply(upstream, f"/apis/{_RBAC}/v1/clusterrolebindings", binding, patch={"subjects": binding["subjects"]})
    return await _token(upstream)


async def forget_tokens(upstream: Upstream, keep: str) -> None:
    """Delete the account's Secrets but `keep`: their tokens are refused from then on. BadGateway."""
    answer = await upstream.call("GET", _SECRETS)
    for item in answer.document().get("items") or []:
        name = str((item.get("metadata") or {}).get("name") or "")
        if name.startswith(f"{NAME}-") and name != keep:
            await upstream.call("DELETE", f"{_SECRETS}/{name}")


def _object(api_version: str, kind: str, name: str) -> Document:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": LABELS}}


async def _apply(upstream: Upstream, path: str, document: Document, patch: Document | None = None) -> None:
    """Make it, or (409) make what matters of it right, the label too. A namespace that was there may be somebody else's."""
    answer = await upstream.call("POST", path, body=_encode(document))
    name = document["metadata"]["name"]
    if answer.status == 409 and patch is not None:
        patch = {**patch, "metadata": {"labels": {**LABELS, MANAGED_BY: None}}}
        where = f"{path}/{name.replace(':', '%3A')}"
        answer = await upstream.call("PATCH", where, body=_encode(patch), content_type=MERGE)
    if answer.status not in {200, 201, 409}:
        raise _cannot(document["kind"], name, answer)


def _cannot(kind: str, name: str, answer: WholeAnswer) -> BadGateway:
    return BadGateway(f"{kind} {name} cannot be made on this cluster: {answer.message()}")


async def _token(upstream: Upstream) -> AccountToken:
    name = f"{NAME}-{secrets.token_hex(4)}"
    secret = {
        **_object("v1", "Secret", name),
        "type": "kubernetes.io/service-account-token",
    }
    secret["metadata"] = {**secret["metadata"], "annotations": {"kubernetes.io/service-account.name": NAME}}
    answer = await upstream.call("POST", _SECRETS, body=_encode(secret))
    if answer.status != 201:
        raise _cannot("Secret", name, answer)
    deadline = time.monotonic() + FILLED_S
    while time.monotonic() < deadline:
        document = (await upstream.call("GET", f"{_SECRETS}/{name}")).document()
        if text := (document.get("data") or {}).get("token"):
            return AccountToken(binascii.a2b_base64(text).decode("ascii"), name)
        await asyncio.sleep(POLL_S)
    await upstream.call("DELETE", f"{_SECRETS}/{name}")
    return await _requested(upstream)


async def _requested(upstream: Upstream) -> AccountToken:
    """From the TokenRequest API, for as long as the cluster grants."""
    document = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": YEAR_S},
    }
    answer = await upstream.call("POST", f"{_ACCOUNTS}/{NAME}/token", body=_encode(document))
    token = str((answer.document().get("status") or {}).get("token") or "")
    if answer.status != 201 or not token:
        raise BadGateway(f"no token for service account {NAMESPACE}/{NAME} was granted: {answer.message()}")
    return AccountToken(token, "")
