"""Answers to proxies that explain a decision: whether what roles rest on is in place on a member, by its own last report."""

from __future__ import annotations

from services.tenancy import bindings
from services.tenancy.controllers import TenancyContext
from services.tenancy.enforced import Member, Placement, Stand, stand
from services.tenancy.members import OWNER, has_channel
from skerry import subjects
from skerry.access.holdings import Scope, role_scope
from skerry.api.bindingstates import BindingState, BindingStatesAnswer, BindingStatesRequest
from skerry.api.kinds import CLUSTER
from skerry.api.kinds.access import ROLES
from skerry.desired.client import DesiredClient, key_of
from skerry.errors import BadRequest
from skerry.storage import Item

MOST = 64
"""Scopes of one question."""


async def binding_states(context: TenancyContext, request: BindingStatesRequest) -> BindingStatesAnswer:
    """The endpoint. BadRequest, and what the registry answers."""
    if len(request.scopes) > MOST or any(role not in ROLES for role, _ in request.scopes):
        raise BadRequest(f"at most {MOST} scopes are asked for at once, each of one of the roles {', '.join(ROLES)}")
    await context.informer.current()
    item = context.informer.get(CLUSTER, request.cluster)
    member = None if item is None else await _member(context, item)
    stands = [_stand(request.cluster, member, role_scope(role, namespace)) for role, namespace in request.scopes]
    return BindingStatesAnswer(states=tuple(BindingState(state=each.standing, message=each.message) for each in stands))


async def _member(context: TenancyContext, item: Item) -> Member:
    """What is known of a Cluster; asked of the registry, because a replica that does not lead keeps nothing of it."""
    if not has_channel(item.document()):
        return Member(item.uid, item.document())
    client = DesiredClient(context.bus, await context.bus.bucket(subjects.DESIRED_STATUS), OWNER)
    keys = await client.keys(item.name)
    placement = Placement(item.uid, keys.epoch, {each.key: each.revision for each in keys.keys})
    return Member(item.uid, item.document(), placement, await client.status(item.name))


def _stand(name: str, member: Member | None, scope: Scope) -> Stand:
    needs = [key_of(OWNER, name, document) for document in bindings.needed([scope])]
    return stand(None, name, member, needs, narrow=bool(scope.namespace))
