"""Delegations: Credentials for the App Store, of whoever changed a release, good for some members and for a few minutes (ADR 32).

The object itself says who changed it; what the service says has to be the same. A user whose credentials were taken back since
then has none, and a built-in group counts while an ordinary credential of that user gives it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable

from services.tenancy import model
from services.tenancy.controllers import TenancyContext
from services.tenancy.rules import new_token
from services.tenancy.verify import MAX_GROUPS
from skerry import subjects
from skerry.api import identities
from skerry.api.delegations import LABEL, LIFE_S, REVOKED, DelegationAnswer, DelegationRequest, DelegationSubject
from skerry.api.identities import revocation_name
from skerry.api.kinds import BUILT_IN, CLUSTER, CREDENTIAL, HOST_GROUPS, KINDS, REVOCATION, Kind
from skerry.api.kinds.paths import at
from skerry.api.meta import Document
from skerry.api.names import SERVICE_ACCOUNT, is_group, is_user
from skerry.api.times import rfc3339, seconds
from skerry.api.validation import is_label
from skerry.errors import BadRequest, Conflict, Forbidden, NotFound, cause
from skerry.informer import View
from skerry.storage import Item
from skerry.storage.documents import unseal

log = logging.getLogger("skerry.tenancy")

SLACK_S = 60.0
"""So far the clock of who stored the change may be ahead."""
BY_USER = "built-in"
"""Index of Credentials that are no delegations, and give built-in groups: by user."""
_delegated = at("spec.delegation")


def gives_built_in(item: Item) -> Iterable[str]:
    """What the index has for a Credential."""
    document = item.document()
    spec = document.get("spec") or {}
    own = _delegated(document) is None and any(group in BUILT_IN for group in spec.get("groups") or ())
    return (str(spec.get("user", "")),) if own else ()


async def delegate(context: TenancyContext, request: DelegationRequest) -> DelegationAnswer:
    """The endpoint. BadRequest, NotFound, Conflict; Forbidden, with the cause REVOKED, for a user whose credentials were taken back."""
    return await delegated(context, request, time.time)


async def delegated(context: TenancyContext, request: DelegationRequest, now: Callable[[], float]) -> DelegationAnswer:
    """A new one. `now` is Unix time in seconds."""
    informer = context.informer
    changed = checked(request, now())
    await informer.current()
    await _check_subject(context, request)
    check_revoked(informer, request.user, changed)
    clusters = {name: informer.get(CLUSTER, name) for name in request.clusters}
    for name in (name for name, item in clusters.items() if item is None):
        raise NotFound(f'clusters.skerry.dev "{name}" not found', kind=CLUSTER.plural, group=CLUSTER.group, name=name)
    held = built_in(informer, request.user, now())
    groups = [group for group in request.groups if group in held or is_group(group)]
    token, ends = new_token(), now() + LIFE_S
    document = credential(request, groups, token, ends)
    await context.store(CREDENTIAL).create(document)
    log.info(
        "delegated",
        extra={"user": request.user, "object": f"{request.of.kind} {request.of.namespace}/{request.of.name}",
               "clusters": ",".join(request.clusters), "credential": document["metadata"]["name"]},
    )  # fmt: skip
    lost = tuple(group for group in request.groups if group in BUILT_IN and group not in held)
    return DelegationAnswer(token=token, expires=ends, lost=lost)


def checked(request: DelegationRequest, now: float) -> float:
    """When the change was, in Unix seconds. BadRequest for a request that no object of ours can be behind."""
    user = request.user
    account = user.startswith(SERVICE_ACCOUNT) and is_user(user.removeprefix(SERVICE_ACCOUNT))
    if not is_user(user) and not account:
        raise BadRequest(f"nobody is called {user[:80]!r}")
    for group in request.groups:
        if not is_group(group) and group not in BUILT_IN and group not in HOST_GROUPS:
            raise BadRequest(f"nobody is in the group {group[:80]!r}: such names are reserved")
    if len(request.groups) > MAX_GROUPS:
        raise BadRequest(f"{len(request.groups)} groups; at most {MAX_GROUPS} are taken")
    if not request.clusters or not all(is_label(name) for name in request.clusters):
        raise BadRequest("a delegation is for clusters by their names, at least one; there is no name for all of them")
    try:
        changed = seconds(request.at)
    except ValueError as error:
        raise BadRequest(f"{request.at[:40]!r} is no time in RFC 3339") from error
    if changed > now + SLACK_S:
        raise BadRequest(f"the change was not yet: {request.at}")
    return changed


def kind_of(subject: DelegationSubject) -> Kind:
    """The kind of an object that says who changed it. BadRequest."""
    for kind in KINDS:
        if kind.kind == subject.kind and kind.actor:
            return kind
    raise BadRequest(f"no object of kind {subject.kind[:80]!r} says who changed it")


async def _check_subject(context: TenancyContext, request: DelegationRequest) -> None:
    """NotFound unless the object is there; Conflict unless it says what the request does."""
    subject, kind = request.of, kind_of(request.of)
    entry = await context.bucket.get(subjects.key(kind.group, kind.kind, subject.namespace, subject.name))
    stored = None if entry is None or entry.value is None else unseal(entry.value, entry.revision)
    if stored is None or stored.deleted or stored.uid != subject.uid:
        raise NotFound(
            f'{kind.plural}.{kind.group} "{subject.name}" not found',
            kind=kind.plural,
            group=kind.group,
            name=subject.name,
        )
    if not _says(at(kind.actor)(stored.document()), request):
        raise Conflict(
            f'{kind.plural}.{kind.group} "{subject.name}" was changed by somebody else meanwhile: read it again',
            kind=kind.plural,
            group=kind.group,
            name=subject.name,
        )


def _says(actor: object, request: DelegationRequest) -> bool:
    if not isinstance(actor, dict):
        return False
    stored = actor.get("user"), list(actor.get("groups") or ()), actor.get("at")
    return stored == (request.user, list(request.groups), request.at)


def check_revoked(informer: View, user: str, changed: float) -> None:
    """Forbidden if what a user had at a time in Unix seconds was taken back since."""
    before = taken_back(informer, user)
    if math.floor(changed) <= before:
        why = "is disabled" if before == math.inf else f"had their credentials taken back up to {rfc3339(before)}"
        text = (
            f"user {user!r} {why} (Revocation {revocation_name(user)}): nothing goes on in their name; somebody else has to "
            "take over"
        )
        raise Forbidden(text, causes=(cause("user", text, REVOKED),))


def taken_back(informer: View, user: str) -> float:
    """Unix seconds: what a user got up to then holds no more; -inf if nothing was taken back."""
    item = informer.get(REVOCATION, revocation_name(user))
    return identities.taken_back(None if item is None else item.document())


def built_in(informer: View, user: str, now: float) -> frozenset[str]:
    """The built-in groups for members that credentials of a user give now, but for delegations."""
    informer.index(CREDENTIAL, BY_USER, gives_built_in)
    documents = (item.document() for item in informer.lookup(CREDENTIAL, BY_USER, user))
    before = taken_back(informer, user)
    given = (
        each["spec"]["groups"]
        for each in documents
        if model.expires(each) > now and math.floor(seconds(each["metadata"]["creationTimestamp"])) > before
    )
    return frozenset(group for groups in given for group in groups if group in BUILT_IN)


def credential(request: DelegationRequest, groups: list[str], token: str, ends: float) -> Document:
    """What is stored of a delegation."""
    subject = request.of
    of = {"kind": subject.kind, "namespace": subject.namespace, "name": subject.name, "uid": subject.uid}
    delegation = {"of": of, "at": request.at, "clusters": list(dict.fromkeys(request.clusters))}
    ttl = f"{LIFE_S // 60}m"
    return {
        "metadata": {"name": model.name_of(token), "labels": {LABEL: kind_of(subject).owner}},
        "spec": {"user": request.user, "groups": groups, "ttl": ttl, "delegation": delegation},
        "status": {"expires": rfc3339(ends)},
    }
