"""Explanations: why somebody may do something on a cluster, or why not, and what to do next.

The decision is that of the request which is asked about, by the same function; the member is then asked the way that this
request would go, as whom it would go. About a cluster that is out of reach nothing is told that would not be told of one that
does not exist. Of others may ask who may write a grant of theirs.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET

from services.proxy import reasons
from services.proxy.authn import CachedCredential, RevokedUser
from services.proxy.authorize import HostRequest, decide_host
from services.proxy.members.directory import MemberRoute
from services.proxy.members.selfreviews import MemberAnswer, asked
from services.proxy.members.signer import BusRequests
from services.proxy.members.transport import Transport
from skerry import subjects
from skerry.access import Access, Allowed, Decision, Denied, MemberRequest, Reach
from skerry.access.escalation import Writer, givers, grant_refusal
from skerry.access.holdings import Basis, Scope
from skerry.admission.conform import FieldError
from skerry.admission.prepare import invalid_object
from skerry.api.bindingstates import BindingState, BindingStatesAnswer, BindingStatesRequest
from skerry.api.corev1 import AccessReviewSpec
from skerry.api.decode import decoded
from skerry.api.explanations import (
    ExplainedBasis,
    ExplainedIdentity,
    ExplainedMember,
    ExplanationSpec,
    ExplanationStatus,
)
from skerry.api.kinds import ACCESS_EXPLANATION, CLUSTER, WORKSPACE
from skerry.api.kinds.access import ROLES
from skerry.api.messages import HOST, Caller
from skerry.api.names import PREFIX
from skerry.api.stored import stored
from skerry.api.text import clean
from skerry.api.v1alpha1 import GROUP, Ceiling, Cluster
from skerry.errors import Forbidden, Invalid, StatusError
from skerry.informer import View
from skerry.relay import AgentAway

log = logging.getLogger("skerry.proxy")

STATE_S = 2.0
"""How long tenancy is waited for, which knows what is in place on members."""
AT_ONCE = 8
"""Questions to tenancy: who asks for thousands of explanations waits, and the services of the host do not."""
WHILE_S = 60.0
"""Somebody can give what they themselves have for so long."""
REASON = 1024
"""Characters of a member's own words."""
_NOBODY = f"{PREFIX}skerry:explain"
"""Who is said to ask a member what its roles allow: nobody is called so."""
_cluster = stored(Cluster)


class MemberAccess(Protocol):
    """The part of `services.proxy.members.requests.MemberRequests` that is needed here."""

    async def decided(self, caller: Caller, request: MemberRequest) -> Decision: ...
    async def find(self, name: str) -> MemberRoute: ...
    async def transport(self, member: MemberRoute, allowed: Allowed) -> tuple[bytes, Transport]: ...
    def away_since(self, member: MemberRoute) -> str: ...


class UserDirectory(Protocol):
    """The part of `services.proxy.members.directory.Directory` that is needed here."""

    def strong_credentials(self) -> Iterable[CachedCredential]: ...
    def revoked(self, user: str) -> RevokedUser | None: ...


class _Question(NamedTuple):
    spec: ExplanationSpec
    request: MemberRequest
    subject: Caller


class Explainer:
    """See the module."""

    def __init__(
        self,
        members: MemberAccess,
        granted: Access,
        cache: View,
        bus: BusRequests,
        people: UserDirectory,
    ) -> None:
        self._members, self._granted, self._cache, self._bus = members, granted, cache, bus
        self._people = people
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def explain(self, credential: CachedCredential, spec: ExplanationSpec) -> ExplanationStatus:
        """The answer. Invalid for a question that makes no sense, Forbidden for one about others that the caller may not ask."""
        problems = reasons.problems(spec)
        if problems:
            raise _invalid(problems)
        question = _Question(spec, reasons.request_of(spec), reasons.subject(spec, credential.caller))
        if spec.user:
            self._check_asker(credential, question)
            identity = ExplainedIdentity(user=spec.user, groups=spec.groups, source="Asked")
        else:
            identity = reasons.identity_of(credential)
        if question.request.member == HOST and question.request.group == GROUP:
            return self._on_host(question, identity)
        decision = await self._members.decided(question.subject, question.request)
        if isinstance(decision, Denied):
            return self._denied(question, identity, decision)
        return await self._allowed(question, identity, decision)

    def _check_asker(self, credential: CachedCredential, question: _Question) -> None:
        """Forbidden, unless the caller could write the least of grants there."""
        now, writer = time.time(), Writer(credential.caller, credential.expires)
        least = reasons.grant_of(ROLES[0], question.spec, question.subject.user, now + WHILE_S)
        if grant_refusal(writer, None, least, self._granted, now) is not None:
            raise Forbidden(
                f"user {writer.caller.user!r} may ask about themselves alone: about others may ask who may write a grant there"
            )

    def _givers(self, question: _Question, role: str) -> list[str]:
        """Who could give a role for the request. Told to those alone who have something there, or may ask about others."""
        now = time.time()
        grant = reasons.grant_of(role, question.spec, question.subject.user, now + WHILE_S)
        writers = (
            Writer(each.caller, each.expires)
            for each in self._people.strong_credentials()
            if each.expires > now + WHILE_S
        )
        return [name for name in givers(grant, self._granted, now, writers) if not self._is_disabled(name)]

    def _is_disabled(self, user: str) -> bool:
        revoked = self._people.revoked(user)
        return revoked is not None and revoked.before == math.inf

    def _reach(self, question: _Question) -> Reach:
        return self._granted.reach(question.subject, question.request.member, time.time())

    # The host's own API

    def _on_host(self, question: _Question, identity: ExplainedIdentity) -> ExplanationStatus:
        request, resource, path = (
            question.request,
            question.spec.resource_attributes,
            question.spec.non_resource_attributes,
        )
        asked_ = HostRequest(
            request.verb,
            request.group,
            request.resource,
            request.subresource,
            request.namespace,
            "" if resource is UNSET else resource.name,
            path="" if path is UNSET else path.path,
        )
        decision = decide_host(question.subject, asked_, self._granted, time.time())
        denied = decision if isinstance(decision, Denied) else None
        ties = isinstance(decision, Allowed) and decision.ties and not decision.basis
        among = ", among the objects that have to do with the user" if ties else ""
        return ExplanationStatus(
            allowed=denied is None,
            identity=identity,
            basis=self._bases_on_host(question, decision),
            member=ExplainedMember(asked=False, reason=f"the host's own API decides by itself{among}"),
            missing=denied.error.message if denied is not None else "",
        )

    def _bases_on_host(self, question: _Question, decision: Decision) -> list[ExplainedBasis]:
        """What groups and grants give there, and what allows the request by the namespace that it names."""
        bases = reasons.bases(self._reach(question), "")
        known = {Basis(each.kind, each.name) for each in bases}
        roles, namespace = self._granted.members.roles, question.request.namespace
        ties: tuple[Basis, ...] = ()
        if isinstance(decision, Allowed):
            ties = decision.basis
        elif roles(question.subject, namespace):  # which is not enough
            ties = (Basis(WORKSPACE.kind, namespace),)
        return bases + [
            reasons.membership(each, roles(question.subject, each.name)) for each in ties if each not in known
        ]

    # Members

    def _denied(self, question: _Question, identity: ExplainedIdentity, denied: Denied) -> ExplanationStatus:
        """By the host. Who has nothing there learns nothing about the cluster, not even that it exists; and who asks about
        others not whether they have something elsewhere.
        """
        reach, request, asks_of_others = self._reach(question), question.request, bool(question.spec.user)
        why = denied.error.message
        if denied.missing and asks_of_others:
            why = f"{question.subject.user} has nothing on cluster {request.member}"
        status = ExplanationStatus(
            allowed=False,
            identity=identity,
            member=ExplainedMember(asked=False, reason=f"not asked: {why}"),
            missing=denied.missing,
        )
        if not denied.missing:
            return msgspec.structs.replace(status, basis=reasons.bases(reach, request.namespace))
        role = reasons.likely_role(request)
        return msgspec.structs.replace(
            status,
            can_grant=self._givers(question, role) if asks_of_others else [],
            next=reasons.asks_for(role, request),
        )

    async def _allowed(self, question: _Question, identity: ExplainedIdentity, allowed: Allowed) -> ExplanationStatus:
        """By the host: the rest is the member's word."""
        reach, request = self._reach(question), question.request
        status = ExplanationStatus(
            allowed=False,
            identity=identity,
            basis=reasons.bases(reach, request.namespace),
            ceiling=self._ceiling(request.member),
        )
        scopes = reasons.role_scopes(reach, request.namespace)
        answer, states = await asyncio.gather(self._ask(question, allowed), self._states(request.member, scopes))
        if isinstance(answer, StatusError):
            return msgspec.structs.replace(
                status,
                member=_bound(
                    ExplainedMember(asked=False, reason=await self._why(request.member, answer)), scopes, states
                ),
                next=f"kubectl get clusters {request.member} -o wide",
            )
        member = _bound(
            ExplainedMember(asked=True, allowed=answer.allowed, reason=clean(answer.reason, REASON)), scopes, states
        )
        status = msgspec.structs.replace(status, allowed=answer.allowed, member=member)
        return status if answer.allowed else await self._refused(question, status, scopes)

    async def _ask(self, question: _Question, allowed: Allowed) -> MemberAnswer | StatusError:
        spec = question.spec
        resource = spec.resource_attributes
        if resource is not UNSET:
            resource = msgspec.structs.replace(resource, namespace=question.request.namespace)
        review = AccessReviewSpec(resource_attributes=resource, non_resource_attributes=spec.non_resource_attributes)
        try:
            return await asked(self._members, await self._members.find(spec.cluster), allowed, review)
        except StatusError as error:
            return error

    async def _why(self, name: str, error: StatusError) -> str:
        """Why a member gave no answer."""
        if not isinstance(error, AgentAway):
            return clean(f"not asked: {error.message}", REASON)
        since = self._members.away_since(await self._members.find(name))
        return f"not asked, away since {since}" if since else "not asked, away"

    async def _refused(self, question: _Question, status: ExplanationStatus, scopes: list[Scope]) -> ExplanationStatus:
        """By the member: which role would do, and whether it is held and only not in place yet."""
        request, member = question.request, status.member
        role = await self._sufficient(question)
        where = f"in namespace {request.namespace}" if request.namespace else "in the whole cluster"
        if not role:
            return msgspec.structs.replace(
                status,
                missing=member.reason or "nothing that a role gives: it is the cluster's own administrator who may",
                next=f"ask the administrator of cluster {request.member}",
            )
        if any(ROLES.index(scope.role) >= ROLES.index(role) for scope in scopes):
            return msgspec.structs.replace(
                status,
                missing=f"binding {member.binding} in place on {request.member}",
                next=f"skerry desired {request.member} --owner tenancy --problems -o wide",
            )
        needs = f"{reasons.action(question.spec)} needs {role}"
        member = msgspec.structs.replace(member, reason=member.reason or needs)
        return msgspec.structs.replace(
            status,
            member=member,
            missing=f"{role} {where}",
            can_grant=self._givers(question, role),
            next=reasons.asks_for(role, request),
        )

    async def _sufficient(self, question: _Question) -> str:
        """The weakest role that allows it there; empty if none does, or that cannot be learned."""
        answers = await asyncio.gather(*(self._ask(question, Allowed(_NOBODY, (PREFIX + role,))) for role in ROLES))
        return next(
            (
                role
                for role, each in zip(ROLES, answers, strict=True)
                if isinstance(each, MemberAnswer) and each.allowed
            ),
            "",
        )

    async def _states(self, cluster: str, scopes: list[Scope]) -> dict[str, BindingState]:
        """By binding, of those that tenancy could tell in time."""
        if not scopes:
            return {}
        request = BindingStatesRequest(cluster=cluster, scopes=tuple((each.role, each.namespace) for each in scopes))
        try:
            async with self._asking:
                question = msgspec.json.encode(request)
                reply = await self._bus.request(subjects.BINDING_STATES, question, timeout_s=STATE_S)
            answer = decoded(reply.data, BindingStatesAnswer)
        except (StatusError, msgspec.DecodeError) as error:
            log.info("tenancy does not tell what is in place", extra={"cluster": cluster, "error": str(error)})
            return {}
        return {reasons.binding_of(scope): state for scope, state in zip(scopes, answer.states, strict=False)}

    def _ceiling(self, name: str) -> Ceiling:
        item = self._cache.get(CLUSTER, name)
        if item is None:
            return Ceiling()
        ceiling = _cluster(item.body).status.ceiling
        return Ceiling() if ceiling is UNSET else ceiling


def _bound(member: ExplainedMember, scopes: list[Scope], states: dict[str, BindingState]) -> ExplainedMember:
    """With the binding that the member's reason names, which has just been used, or else that of the strongest role."""
    named = reasons.named_binding(member.reason)
    if named:
        return msgspec.structs.replace(member, binding=named, state="Enforced")
    if not scopes:
        return member
    binding = reasons.binding_of(scopes[0])
    state = states.get(binding, BindingState(state="Unknown"))
    return msgspec.structs.replace(member, binding=binding, state=state.state, reason=member.reason or state.message)


def _invalid(problems: list[FieldError]) -> Invalid:
    document = {"apiVersion": ACCESS_EXPLANATION.api_version, "kind": ACCESS_EXPLANATION.kind, "metadata": {}}
    return invalid_object(document, problems)
