"""Level-triggered work for Workspaces: their namespaces on members are claimed, bound, and true to what members say.

In this order: a claim, which one workspace alone can have; the status, which binds the namespace to the Cluster and from which
what is wanted there is computed (services/tenancy/members.py); what the member says. Who goes waits for no member: a claim
alone stays until the member has taken away what its workspace had there, or is gone itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from services.tenancy import namespaces
from services.tenancy.claims import Claim, Claims, Held
from services.tenancy.controllers import TenancyContext
from services.tenancy.enforced import Member
from services.tenancy.granted import BY_CLUSTER, Granted, clusters_of, uid_of, workspace_of, workspaces_on
from services.tenancy.granting import AT_ONCE, LONGEST_S, OWNER, Reports, picture
from services.tenancy.members import has_channel
from services.tenancy.namespaces import CREATING, Place
from services.tenancy.pace import LATER_S, SOON_S, Pace
from skerry import subjects
from skerry.api.desired import KeysAnswer, Report
from skerry.api.grants import OwnedNamespace, Workspace
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.bus import Bus
from skerry.controller.controller import After, Controller
from skerry.desired.client import DesiredClient, key_of
from skerry.errors import Conflict, NotFound
from skerry.informer import Change, View
from skerry.storage import Item, Store

log = logging.getLogger("skerry.tenancy")

EVERYWHERE = "*"
"""The key under which all claims are looked at: no Cluster has this UID."""
AGAIN_S = 30.0
"""A workspace that lacks something is looked at again after so long, whatever happens."""


def workspaces(context: TenancyContext) -> Controller[str]:
    """The status of each Workspace that names namespaces of members."""
    claims, reports = Claims(context.bus), Reports(context.bus, time.monotonic)
    granted, informer = context.state.granted, context.informer
    store = context.store(WORKSPACE, leader=True)
    work = WorkspaceStatusWriter(
        store, informer, granted, reports, claims, lambda uid: granted.unclaimed(uid), time.time
    )
    controller = context.controller("workspaces", work.reconcile, workers=AT_ONCE, leader=True)
    informer.index(WORKSPACE, BY_CLUSTER, clusters_of)

    def on(name: str) -> None:
        for item in informer.lookup(WORKSPACE, BY_CLUSTER, name):
            controller.add(item.name)

    def changed(change: Change) -> None:
        item = change.new or change.old
        if item is not None and picture(change.old) != picture(change.new):
            reports.forget(item.name)
            on(item.name)

    context.closing.callback(informer.add_event_handler(CLUSTER, changed))
    granted.placed.append(on)
    granted.released = on
    return context.follow(WORKSPACE, controller)


class WorkspaceStatusWriter:
    """See the module. `now` is Unix time in seconds."""

    def __init__(
        self,
        store: Store,
        informer: View,
        granted: Granted,
        reports: Reports,
        claims: Claims,
        unclaimed: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        """`unclaimed` is called with the UID of a Cluster on which there may be a claim that nobody wants."""
        self._store, self._informer, self._granted, self._reports = store, informer, granted, reports
        self._claims, self._unclaimed, self._now = claims, unclaimed, now
        self._pace = Pace(time.monotonic)
        self._ours: dict[str, set[tuple[str, str, str]]] = {}
        """By workspace: its UID, and UID of the Cluster and name of what was seen to be claimed for it."""

    async def reconcile(self, name: str) -> After | None:
        """Claim what a workspace names, and write its status if it is another."""
        item = self._informer.get(WORKSPACE, name)
        workspace = workspace_of(item)
        if item is None or workspace is None or "deletionTimestamp" in item.document()["metadata"]:
            self._ours.pop(name, None)
            self._pace.over(name)
            return None
        known, self._ours[name] = self._ours.get(name, set()), set()
        before = {namespaces.place_of(each): each for each in workspace.status.namespaces}
        observed = [
            await self._observed(item, place, before.get(place), known) for place in namespaces.wanted_by(workspace)
        ]
        now = self._now()
        try:
            await self._store.update(item, namespaces.with_status(item.document(), observed, now))
        except (Conflict, NotFound):  # it is another by now: what was claimed for it may be nobody's
            for each in observed:
                if each.uid:
                    self._unclaimed(each.uid)
            return After(SOON_S)
        return self._again(workspace, observed)

    def _again(self, workspace: Workspace, observed: list[OwnedNamespace]) -> After:
        """When to look again."""
        states, name = {each.state for each in observed}, workspace.metadata.name
        if CREATING in states:
            return After(self._pace.next_s(name, workspace.metadata.generation))
        self._pace.over(name)
        return After(LONGEST_S if states <= {namespaces.READY} else AGAIN_S)

    async def _observed(
        self, item: Item, place: Place, before: OwnedNamespace | None, known: set[tuple[str, str, str]]
    ) -> OwnedNamespace:
        uid, bound = uid_of(self._informer, place.cluster), "" if before is None else before.uid
        if not uid or (bound and bound != uid):
            return namespaces.unbound(place, bound, replaced=bool(uid))
        ours = (item.uid, uid, place.name)
        if not (bound and ours in known) and (taken := await self._taken(item, place, uid, bound)) is not None:
            return taken
        self._ours[item.name].add(ours)
        if not bound:
            return OwnedNamespace(cluster=place.cluster, name=place.name, uid=uid, state=CREATING)
        cluster = self._informer.get(CLUSTER, place.cluster)
        document = {"metadata": {}} if cluster is None else cluster.document()
        report = await self._reports.of(place.cluster)
        member = Member(uid, document, self._granted.placements.get(place.cluster), report)
        return namespaces.observed(place, member, _key(place), before)

    async def _taken(self, item: Item, place: Place, uid: str, bound: str) -> OwnedNamespace | None:
        """What is to be said if another workspace has it; None if it is claimed for this one."""
        if not bound and any(
            namespaces.bound_by(each).get(place) == uid and place in namespaces.wanted_by(each)
            for each in workspaces_on(self._informer, place.cluster)
            if each.metadata.name != item.name
        ):  # by its status, whatever became of the bucket of claims
            return namespaces.unclaimed(place, going=False)
        claim = Claim(uid=item.uid, workspace=item.name, cluster=place.cluster)
        holder = await self._claims.take(uid, place.name, claim)
        if holder is not None and holder.uid == item.uid:
            return None
        going = holder is not None and not claimed_still(self._informer, holder, place)
        if going:
            self._unclaimed(uid)
        log.info(
            "a workspace names a namespace of another one",
            extra={"workspace": item.name, "cluster": place.cluster, "namespace": place.name,
                   "owner": "" if holder is None else holder.workspace},
        )  # fmt: skip
        return namespaces.unclaimed(place, going=going)


def claimed_still(informer: View, claim: Claim, place: Place) -> bool:
    """Whether the workspace of a claim is there and names the namespace."""
    item = informer.get(WORKSPACE, claim.workspace)
    if item is None or item.uid != claim.uid:
        return False
    workspace = workspace_of(item)
    return workspace is None or place in namespaces.wanted_by(workspace)


def _key(place: Place) -> str:
    return key_of(OWNER, place.cluster, namespaces.namespace(place.name))


# Claims that nobody wants any more


def claims(context: TenancyContext) -> Controller[str]:
    """Claims go when the member has taken away what their workspaces had there. Keys are UIDs of Clusters."""
    informer, reports = context.informer, Reports(context.bus, time.monotonic)
    granted = context.state.granted
    work = NamespaceReleases(
        context.bus,
        informer,
        Claims(context.bus),
        reports,
        lambda name: granted.released(name),
        context.lease.check,
    )
    controller = context.controller("claims", work.reconcile, leader=True)
    work.found = controller.add

    def changed(change: Change) -> None:
        for uid in given_up(informer, change):
            controller.add(uid)

    def moved(change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and (new is None or new.uid != old.uid):
            controller.add(old.uid)
        elif new is not None and new.uid in work.pending and picture(old) != picture(new):
            controller.add(new.uid)

    context.closing.callback(informer.add_event_handler(WORKSPACE, changed))
    context.closing.callback(informer.add_event_handler(CLUSTER, moved))
    granted.unclaimed = controller.add
    controller.add(EVERYWHERE)
    return controller


def given_up(informer: View, change: Change) -> set[str]:
    """UIDs of the Clusters on which a workspace had what it does not name any more."""
    before = workspace_of(change.old)
    if before is None or change.old is None:
        return set()
    same = change.new is not None and change.new.uid == change.old.uid
    after = workspace_of(change.new) if same else None
    left = set(namespaces.wanted_by(before)) - set({} if after is None else namespaces.wanted_by(after))
    bound = namespaces.bound_by(before)
    return {uid for place in left if (uid := bound.get(place) or uid_of(informer, place.cluster))}


class NamespaceReleases:
    """See `claims`."""

    def __init__(
        self,
        bus: Bus,
        informer: View,
        claims: Claims,
        reports: Reports,
        released: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """`released` is called with the name of a cluster on which something is free again; `check` is asked in front of each
        write, and raises a StatusError where none may follow.
        """
        self._bus, self._informer, self._claims, self._reports = bus, informer, claims, reports
        self._released, self._check = released, check
        self._client: DesiredClient | None = None
        self.found: Callable[[str], None] = lambda uid: None
        """Called with the UID of each Cluster on which there are claims."""
        self.pending: set[str] = set()
        """UIDs of Clusters on which something is still to be released."""

    async def reconcile(self, uid: str) -> After | None:
        """Release what is free on one Cluster; with EVERYWHERE name all that have claims."""
        if uid == EVERYWHERE:
            for cluster in await self._claims.clusters():
                self.found(cluster)
            return After(LONGEST_S)
        held = await self._claims.on(uid)
        await self._informer.current()
        left = [each for each in held if self._is_left(uid, each)]
        free = await self._free(uid, left) if left else []
        for each in free:
            self._check()
            await self._claims.release(uid, each)
        for name in {each.claim.cluster for each in free if each.claim is not None}:
            self._released(name)
        if len(free) == len(left):
            self.pending.discard(uid)
            return None
        self.pending.add(uid)
        return After(LATER_S)

    def _is_left(self, uid: str, held: Held) -> bool:
        claim = held.claim
        if claim is None:
            return False
        place = Place(claim.cluster, held.namespace)
        return not self._is_there(uid, claim.cluster) or not claimed_still(self._informer, claim, place)

    def _is_there(self, uid: str, name: str) -> bool:
        item = self._informer.get(CLUSTER, name)
        return item is not None and item.uid == uid

    async def _free(self, uid: str, left: list[Held]) -> list[Held]:
        """Those of these that nothing of ours is left of on the member."""
        name = next(each.claim.cluster for each in left if each.claim is not None)
        item = self._informer.get(CLUSTER, name)
        if item is None or item.uid != uid or (uid_of(self._informer, name) and not has_channel(item.document())):
            return left  # it is gone, or never had anything
        if self._client is None:
            statuses = await self._bus.bucket(subjects.DESIRED_STATUS)
            self._client = DesiredClient(self._bus, statuses, OWNER)
        keys = await self._client.keys(name)
        self._reports.forget(name)
        report = await self._reports.of(name)
        return [each for each in left if is_gone(_key(Place(name, each.namespace)), keys, report)]


def is_gone(key: str, keys: KeysAnswer, report: Report | None) -> bool:
    """Whether a member has passed the end of an entry: it is not asked for, everything up to now was tried, and that is none of
    the problems.
    """
    complete = any(subjects.is_complete(each.key) for each in keys.keys)
    if not complete or any(each.key == key for each in keys.keys):
        return False
    if report is None or report.epoch != keys.epoch or report.applied < keys.last or report.more:
        return False
    return all(each.key != key for each in report.problems)
