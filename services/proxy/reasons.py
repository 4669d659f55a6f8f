"""What an explanation says of a decision and of a member's answer: words, bindings and the next step. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import UNSET

from services.proxy.authn import CachedCredential
from services.proxy.members.explain import few, phrase
from services.proxy.selfaccess import source_of
from skerry.access import MemberRequest, Reach
from skerry.access.holdings import Basis, Scope, role_scope
from skerry.admission.conform import FieldError, forbidden, invalid_value, required
from skerry.api.explanations import ExplainedBasis, ExplainedIdentity, ExplanationSpec
from skerry.api.grants import AccessGrant, AccessGrantSpec, ClusterSelection, Subject
from skerry.api.kinds import BUILT_IN
from skerry.api.kinds.access import ROLES
from skerry.api.messages import Caller
from skerry.api.meta import ObjectMeta
from skerry.api.names import PREFIX, is_group
from skerry.api.times import rfc3339
from skerry.api.validation import is_label

MAX_GROUPS = 500
MAX_TEXT = 256
READS = ("get", "list", "watch")
_BINDING = re.compile(r'RBAC: allowed by (ClusterRoleBinding|RoleBinding) "([^"]{1,512})"')
_PROBLEM = "use printable characters, at most 256"


# The question


def problems(spec: ExplanationSpec) -> list[FieldError]:
    """The fields of a question that make no sense."""
    errors = [] if is_label(spec.cluster) else [invalid_value("spec.cluster", spec.cluster, "name one cluster")]
    if spec.groups and not spec.user:
        errors.append(forbidden("spec.groups", "may only be set beside user: whose groups they are"))
    if spec.user and not is_group(spec.user):  # as a person, or as a service account, is called
        errors.append(invalid_value("spec.user", spec.user, "nobody is called so"))
    if len(spec.groups) > MAX_GROUPS:
        errors.append(forbidden("spec.groups", f"at most {MAX_GROUPS} groups"))
    else:
        errors += [
            invalid_value(f"spec.groups[{index}]", group, "no group is called so")
            for index, group in enumerate(spec.groups)
            if group not in BUILT_IN and not is_group(group)
        ]
    return [*errors, *_request_problems(spec)]


def _request_problems(spec: ExplanationSpec) -> list[FieldError]:
    resource, path = spec.resource_attributes, spec.non_resource_attributes
    if resource is not UNSET and path is UNSET:
        field, texts = "spec.resourceAttributes", {
            "verb": resource.verb, "group": resource.group, "resource": resource.resource,
            "subresource": resource.subresource, "name": resource.name, "version": resource.version,
        }  # fmt: skip
        errors = [
            required(f"{field}.{name}", "say what is asked about") for name in ("verb", "resource") if not texts[name]
        ]
        if resource.namespace and not is_label(resource.namespace):
            errors.append(invalid_value(f"{field}.namespace", resource.namespace, "name one namespace"))
    elif path is not UNSET and resource is UNSET:
        field, texts = "spec.nonResourceAttributes", {"verb": path.verb, "path": path.path}
        errors = [required(f"{field}.{name}", "say what is asked about") for name, text in texts.items() if not text]
    else:
        return [required("spec.resourceAttributes", "set one of resourceAttributes and nonResourceAttributes")]
    return errors + [
        invalid_value(f"{field}.{name}", text[:MAX_TEXT], _PROBLEM)
        for name, text in texts.items()
        if len(text) > MAX_TEXT or not text.isprintable()
    ]


def request_of(spec: ExplanationSpec) -> MemberRequest:
    """The request that is asked about, as the proxy would see it: one for a Namespace names that namespace."""
    resource = spec.resource_attributes
    if resource is UNSET:
        path = spec.non_resource_attributes
        return MemberRequest(spec.cluster, "" if path is UNSET else path.verb.lower())
    return MemberRequest(
        spec.cluster, resource.verb, resource.resource, resource.subresource,
        group=resource.group, namespace=namespace_of(spec),
    )  # fmt: skip


def namespace_of(spec: ExplanationSpec) -> str:
    """The namespace that the request names."""
    resource = spec.resource_attributes
    if resource is UNSET:
        return ""
    names_itself = resource.resource == "namespaces" and not resource.group and resource.name
    return resource.name if names_itself and not resource.namespace else resource.namespace


def subject(spec: ExplanationSpec, caller: Caller) -> Caller:
    """Whose request it would be."""
    return Caller(user=spec.user, groups=tuple(spec.groups)) if spec.user else caller


# Who


def identity_of(credential: CachedCredential) -> ExplainedIdentity:
    """The caller, by the credential that was shown."""
    caller, provider = credential.caller, credential.provider
    return ExplainedIdentity(
        user=caller.user,
        groups=list(caller.groups),
        source=source_of(credential),
        provider="" if provider is None else provider.name,
        expires=rfc3339(credential.expires),
    )


# Why


def bases(reach: Reach, namespace: str) -> list[ExplainedBasis]:
    """What gives anything for a request that names this namespace; where nothing does, what gives something elsewhere."""
    roles = [role_scope(group.removeprefix(PREFIX)) for group in reach.built_in]
    role_bases = [ExplainedBasis(kind="Group", name=each.group, gives=phrase(each)) for each in roles]
    here = [(holding.basis, _applying(holding.scopes, namespace)) for holding in reach.holdings]
    if not role_bases and not any(scopes for _, scopes in here):
        here = [(holding.basis, list(holding.scopes)) for holding in reach.holdings]
    merged: dict[tuple[str, str], list[str]] = {}
    for basis, scopes in here:
        if scopes:
            merged.setdefault((basis.kind, basis.name), []).extend(phrase(each) for each in scopes)
    return role_bases + [
        ExplainedBasis(kind=kind, name=name, gives=", ".join(few(list(dict.fromkeys(texts)))))
        for (kind, name), texts in merged.items()
    ]


def membership(basis: Basis, roles: Iterable[str]) -> ExplainedBasis:
    """What a Workspace gives on the host to who has these roles in it; or what everybody has in a namespace."""
    strongest = max(roles, key=ROLES.index, default="")
    gives = f"{strongest} in namespace {basis.name} of the host" if strongest else f"what is in namespace {basis.name}"
    return ExplainedBasis(kind=basis.kind, name=basis.name, gives=gives)


def _applying(scopes: Iterable[Scope], namespace: str) -> list[Scope]:
    return [scope for scope in scopes if not scope.namespace or scope.namespace == namespace]


def role_scopes(reach: Reach, namespace: str) -> list[Scope]:
    """The roles that are held for such a request, the strongest first."""
    held = [scope for scope in _applying(reach.scopes, namespace) if scope.role]
    return sorted(held, key=lambda scope: (-ROLES.index(scope.role), bool(scope.namespace)))


def binding_of(scope: Scope) -> str:
    """The binding on a member that a role rests on: NAME of a ClusterRoleBinding, NAMESPACE/NAME of a RoleBinding."""
    return f"{scope.namespace}/{PREFIX}{scope.role}" if scope.namespace else PREFIX + scope.role


def named_binding(reason: str) -> str:
    """The binding that the reason of a member's answer names; empty if it names none."""
    match = _BINDING.match(reason)
    if match is None:
        return ""
    kind, name = match.groups()
    return "/".join(reversed(name.rsplit("/", 1))) if kind == "RoleBinding" else name


# What next


def action(spec: ExplanationSpec) -> str:
    """The request in words, for example `delete on pods`."""
    resource, path = spec.resource_attributes, spec.non_resource_attributes
    if resource is not UNSET:
        name = f"{resource.resource}.{resource.group}" if resource.group else resource.resource
        return (
            f"{resource.verb} on {name}/{resource.subresource}"
            if resource.subresource
            else f"{resource.verb} on {name}"
        )
    return "" if path is UNSET else f"{path.verb} on {path.path}"


def grant_of(role: str, question: ExplanationSpec, user: str, ends: float) -> AccessGrant:
    """The grant that would give a role for the request; `ends` is in Unix seconds, soon: who has something for a while may give
    it for a while.
    """
    namespace = namespace_of(question)
    return AccessGrant(
        metadata=ObjectMeta(),
        spec=AccessGrantSpec(
            subjects=[Subject(kind="User", name=user)],
            clusters=ClusterSelection(names=[question.cluster]),
            role=role,
            namespaces=[namespace] if namespace else [],
            expires=rfc3339(ends),
        ),
    )


def likely_role(request: MemberRequest) -> str:
    """The role that a request most likely takes, where the member cannot be asked."""
    return "view" if request.verb in READS and request.subresource in ("", "log", "status", "scale") else "edit"


def asks_for(role: str, request: MemberRequest) -> str:
    """The command with which somebody asks for a role."""
    where = f" -n {request.namespace}" if request.namespace else ""
    return f"skerry request create {role} --cluster {request.member}{where} --reason …"
