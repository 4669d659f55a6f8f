"""Agents get other keys, and one agent is revoked: what is asked, what is stored, and what becomes of it. Level-triggered.

What is wanted stands in a Cluster's `status.credentials.rekey`, in which every replica of the registry sees it: heartbeats are
answered with it, so that an agent which was away does it when it comes. What is true stands in the member's secret, changed by
compare-and-set; whatever is asked twice, by whomever, is done once. A key that is to go is marked first, then the servers are told,
then it is forgotten: whoever dies in between leaves something that the next one finishes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from services.registry import agentkeys, clusters, joining
from services.registry.clock import Clock
from services.registry.model import PresenceTable, alive, at
from services.registry.secrets import Evicted, MemberSecret
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry import subjects
from skerry.api.agentlist import short_name
from skerry.api.conditions import awaits_approval
from skerry.api.kinds import CLUSTER
from skerry.api.messages import RekeyOrder, RekeyRequest, RenewAnswer, Retired, RetireRequest
from skerry.api.meta import Document
from skerry.api.v1alpha1 import RekeyStatus, ReplacedAgentKey, RevokedAgentKey
from skerry.bus import Bus
from skerry.controller.controller import After
from skerry.errors import BadRequest, Conflict, NotFound, StatusError
from skerry.identity import rekeying
from skerry.identity.farewell import make_farewell
from skerry.informer import Change
from skerry.service import Context
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

AGAIN_S = 2.0
"""After a rekey at once: its agent says that it has done so, or it is looked at again."""
_encode = msgspec.json.Encoder().encode


class Rekeys:
    """See the module. Methods raise StatusError."""

    def __init__(
        self, context: Context[RegistrySettings, Any], registry: RegistryStore, presence: PresenceTable, clock: Clock
    ) -> None:
        self._registry, self._presence, self._clock = registry, presence, clock
        self._bus: Bus = context.bus
        self._orders: dict[str, RekeyOrder] = {}
        """Member -> what its agents are told; most members have none."""
        self.controller = context.controller("rekeys", self.reconcile, workers=4, leader=True)
        context.closing.callback(registry.cache.add_event_handler(CLUSTER, self._seen))
        for item in registry.members():
            self._seen(Change(item.revision, None, item))

    def _seen(self, change: Change) -> None:
        """Called inline by the cache."""
        item = change.new or change.old
        if item is None:
            return
        rekey = None if change.new is None else clusters.rekey_of(change.after())
        if rekey is None:
            self._orders.pop(item.name, None)
            return
        self._orders[item.name] = _order(rekey)
        self.controller.add(item.name)

    def order(self, name: str) -> RekeyOrder | None:
        """What the agents of a member are told with a heartbeat's answer."""
        return self._orders.get(name)

    # What people ask

    async def start(self, name: str, *, by: str, at_once: bool, dry_run: bool = False) -> Document:
        """Have every agent of a member get another key, as `by` wants: the Cluster, which says of whom that is waited for."""
        cluster, secret = await self._member(name)
        if not secret.agents:
            raise Conflict(f"cluster {name!r} has no agent yet whose key could be replaced")
        if dry_run:
            return cluster
        stored = await self._store_rekey(
            name,
            cluster["metadata"]["uid"],
            lambda before: RekeyStatus(
                requested=at(self._clock().wall),
                by=by,
                at_once=at_once,
                pending=sorted(secret.agents),
                replaced=_replaced(secret),
            ),
        )
        rekey = None if stored is None else clusters.rekey_of(stored.document())
        if stored is None or rekey is None:
            raise _gone(name)
        log.info("agents get other keys", extra={"cluster": name, "agents": len(secret.agents), "at once": at_once})
        with contextlib.suppress(StatusError):
            await self._bus.publish(subjects.rekey_order(name), _encode(_order(rekey)))
        return stored.document()

    async def revoke(self, name: str, agent: str, *, by: str, dry_run: bool = False) -> Document:
        """Revoke one agent of a member, as `by` wants, and nobody else: the Cluster."""
        registry, now = self._registry, self._clock().wall
        cluster, secret = await self._member(name)
        nkey = agentkeys.chosen(secret, agent, name)
        if dry_run:
            return cluster

        def revoked(stored: MemberSecret) -> MemberSecret:
            agentkeys.chosen(stored, nkey, name)
            return agentkeys.with_revoked(stored, agentkeys.with_successor(stored, nkey), now)

        after = await self._change(cluster, secret, revoked)
        proof = Evicted(name=name, account=secret.account, jwt="", at=now)
        await registry.secrets.prove(proof, agentkeys.with_successor(secret, nkey))
        await self._say_farewell(name, nkey)
        await self._tell(cluster, after)
        log.warning("an agent is revoked", extra={"cluster": name, "agent": nkey, "by": by})
        revoked_key = RevokedAgentKey(key=nkey, by=by, at=at(now))
        await self._store(name, after.cluster, lambda stored: clusters.with_revoked(stored, revoked_key))
        await self._follow(name)
        return await registry.get_cluster(name)

    # What agents ask

    async def rekey(self, request: RekeyRequest, member: str) -> RenewAnswer:
        """`up.<m>.svc.rekey`: another key in the place of one."""
        name, now = subjects.member(member), self._clock().wall
        keys = rekeying.check_rekey(request, name, now)
        registry = self._registry
        cluster, before = await registry.living(name, keys.old)
        secret = await self._change(
            cluster, before, lambda stored: agentkeys.after_rekey(stored, keys.old, keys.new, now)
        )
        if before != secret:
            log.info("an agent has another key", extra={"cluster": name, "agent": keys.new, "before": keys.old})
        await self._follow(name)
        return registry.credentials(cluster, secret, keys.new, now)

    async def retire(self, request: RetireRequest, member: str) -> Retired:
        """`up.<m>.svc.retire`: an agent uses a replaced key no longer."""
        name, now = subjects.member(member), self._clock().wall
        said = rekeying.check_retirement(request, name, now)
        cluster, secret = await self._registry.living(name, said.nkey)
        over = agentkeys.retired(secret, said.nkey, said.used)
        if over or agentkeys.untold(secret):
            await self._retire(cluster, secret, lambda stored: agentkeys.retired(stored, said.nkey, said.used))
            await self._follow(name)
        return Retired(revoked=tuple(sorted(over)))

    # What follows

    async def reconcile(self, name: str) -> After | None:
        """Revoke what is over, and say in the Cluster what is left to do."""
        item = self._registry.cache.get(CLUSTER, name)
        document = None if item is None else item.document()
        secret = await self._registry.secret_of(name, document)
        if document is None or secret is None or clusters.is_leaving(document):
            return None
        rekey, now = clusters.rekey_of(document), self._clock()
        at_once = rekey is not None and rekey.at_once
        member = self._presence.members.get(name)
        heard = frozenset(agent.beat.agent for agent in alive(member, now)) if member is not None else frozenset()
        over = agentkeys.overdue(secret, heard, now.wall, at_once=at_once)
        if over or agentkeys.untold(secret):
            secret = await self._retire(document, secret, lambda stored: over & stored.replaced.keys())
        await self._follow(name)
        if not secret.replaced:
            return None
        due_s = agentkeys.due_s(secret, now.wall) or 0.0
        return After(AGAIN_S if at_once else max(due_s, AGAIN_S))

    async def _retire(
        self, cluster: Document, secret: MemberSecret, over: Callable[[MemberSecret], Iterable[str]]
    ) -> MemberSecret:
        """Revoke replaced keys, and those that were marked before."""
        now = self._clock().wall
        marked = await self._change(cluster, secret, lambda stored: agentkeys.with_revoked(stored, over(stored), now))
        return await self._tell(cluster, marked)

    async def _tell(self, cluster: Document, secret: MemberSecret) -> MemberSecret:
        """Have the servers know what is revoked, then forget that they did not."""
        untold = agentkeys.untold(secret)
        if not untold:
            return secret
        await self._registry.push_account(cluster, secret)
        log.info("keys of agents are revoked", extra={"cluster": cluster["metadata"]["name"], "keys": sorted(untold)})
        return await self._change(cluster, secret, lambda stored: agentkeys.forgotten(stored, untold))

    async def _change(
        self, cluster: Document, secret: MemberSecret, change: Callable[[MemberSecret], MemberSecret]
    ) -> MemberSecret:
        """Change what is stored of the member of which `secret` is. Conflict if it went meanwhile."""
        name = cluster["metadata"]["name"]

        def changed(stored: MemberSecret | None) -> MemberSecret:
            if stored is None or stored.account != secret.account:
                raise _gone(name)
            return change(stored)

        return await self._registry.secrets.change(name, changed)

    async def _follow(self, name: str) -> None:
        """Have the Cluster say what is left to do, by what is stored now."""
        secret = await self._registry.secrets.member(name)
        if secret is not None:
            await self._store_rekey(name, secret.cluster, partial(_left, secret))

    async def _store_rekey(
        self, name: str, uid: str, change: Callable[[RekeyStatus | None], RekeyStatus | None]
    ) -> Item | None:
        return await self._store(
            name, uid, lambda stored: clusters.with_rekey(stored, change(clusters.rekey_of(stored)))
        )

    async def _store(self, name: str, uid: str, change: Callable[[Document], Document | None]) -> Item | None:
        """Change the Cluster with that uid; None if it is not there any more."""

        def changed(document: Document) -> Document | None:
            return change(document) if document["metadata"]["uid"] == uid else None

        try:
            return await self._registry.clusters.modify(name, changed)
        except NotFound:
            return None

    async def _member(self, name: str) -> tuple[Document, MemberSecret]:
        """A member with agents, and its secret. NotFound, BadRequest, Conflict."""
        cluster = await self._registry.get_cluster(name)
        if not clusters.has_agent(cluster):
            raise BadRequest(
                f"cluster {name!r} has no agent: the host reaches it with a kubeconfig; give it another one with skerry "
                f"cluster set {name} --kubeconfig FILE"
                if clusters.is_member(cluster)
                else f"cluster {name!r} is the host itself and has no agent"
            )
        if awaits_approval(cluster):
            raise Conflict(f"cluster {name!r} waits for approval: it has no agent yet, only one that asks to be")
        secret = await self._registry.secret_of(name, cluster)
        if clusters.is_leaving(cluster) or secret is None:
            raise Conflict(f"cluster {name!r} is being removed, or joins just now: look at skerry clusters")
        return cluster, secret

    async def _say_farewell(self, name: str, nkey: str) -> None:
        """Tell the agent, if it is connected, before nothing reaches it any more."""
        authority, host = self._registry.authority, self._registry.settings.host_name
        text = make_farewell(
            name, nkey, joining.agent_farewell(name, host, short_name(nkey)), authority.assertion_root.sign
        )
        try:
            connection = await self._bus.connection(timeout_s=1.0)
            await connection.publish(subjects.agent_farewell(name, nkey), text)
            await connection.flush(timeout_s=1.0)
        except StatusError as error:
            log.warning("a revoked agent could not be told", extra={"cluster": name, "error": error.message})


def _left(secret: MemberSecret, rekey: RekeyStatus | None) -> RekeyStatus | None:
    """What is still to be done of a rekey, or of one that an agent began by itself."""
    pending = [nkey for nkey in rekey.pending if nkey in secret.agents] if rekey is not None else []
    replaced = _replaced(secret)
    if not pending and not replaced:
        return None
    if rekey is None:
        rekey = RekeyStatus(requested=replaced[0].at)
    return msgspec.structs.replace(rekey, pending=pending, replaced=replaced)


def _replaced(secret: MemberSecret) -> list[ReplacedAgentKey]:
    return [ReplacedAgentKey(key=key, by=each.by, at=at(each.at)) for key, each in sorted(secret.replaced.items())]


def _order(rekey: RekeyStatus) -> RekeyOrder:
    return RekeyOrder(
        keys=tuple(rekey.pending),
        at_once=rekey.at_once,
        replaced={each.key: each.by for each in rekey.replaced if each.by},
    )


def _gone(name: str) -> Conflict:
    return Conflict(f"cluster {name!r} was removed, or joined anew, meanwhile")
