"""Level-triggered work for AccessGrants: what each says of itself follows the clusters that it is for.

Nothing waits for it but the reader: a grant has its effect where it is decided. A grant that names a cluster which comes later
is bound to it here, to the first that has the name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from services.tenancy import bindings
from services.tenancy.controllers import TenancyContext
from services.tenancy.enforced import Member, Stand, Standing, listed, stand, verdict
from services.tenancy.granted import Granted, uid_of
from services.tenancy.pace import Pace
from skerry import subjects
from skerry.access.holdings import scopes_of
from skerry.api.conditions import DESIRED_APPLIED, Verdict, condition_of, new_condition, with_condition
from skerry.api.decode import decoded
from skerry.api.desired import Report
from skerry.api.grants import AccessGrant, LabelSelector
from skerry.api.kinds import ACCESS_GRANT, CLUSTER
from skerry.api.meta import Document
from skerry.api.stored import stored
from skerry.api.times import rfc3339, seconds
from skerry.bus import Bucket, Bus
from skerry.controller.controller import After, Controller
from skerry.desired.client import key_of
from skerry.errors import NotFound
from skerry.informer import Change, View
from skerry.storage import Item, Store

OWNER = "tenancy"
ENFORCED = "Enforced"
AT_ONCE = 4
LOOKED_S = 0.25
"""A member's report is read again after so long, however many grants ask."""
LONGEST_S = 3600.0
BY_SELECTOR = "*"
"""Value of the index of clusters for grants with a selector: no cluster has this name."""
_grant = stored(AccessGrant)


def grants(context: TenancyContext) -> Controller[str]:
    """The status of each AccessGrant."""
    store = context.store(ACCESS_GRANT, leader=True)
    reports = Reports(context.bus, time.monotonic)
    work = GrantStatus(store, context.informer, context.state.granted, reports, time.time)
    controller = context.controller("grants", work.reconcile, workers=AT_ONCE, leader=True)
    context.informer.index(ACCESS_GRANT, "clusters", clusters_of)

    def on(name: str) -> None:
        for key in (name, BY_SELECTOR):
            for item in context.informer.lookup(ACCESS_GRANT, "clusters", key):
                controller.add(item.name)

    def changed(change: Change) -> None:
        item = change.new or change.old
        if item is not None and picture(change.old) != picture(change.new):
            reports.forget(item.name)
            on(item.name)

    context.closing.callback(context.informer.add_event_handler(CLUSTER, changed))
    context.state.granted.placed.append(on)
    return context.follow(ACCESS_GRANT, controller)


def clusters_of(item: Item) -> Iterable[str]:
    """What the index has for a grant."""
    selection = (item.document().get("spec") or {}).get("clusters") or {}
    return [BY_SELECTOR] if "selector" in selection else [str(name) for name in selection.get("names") or ()]


def picture(item: Item | None) -> Any:
    """What the standing of grants on a Cluster depends on."""
    if item is None:
        return None
    document = item.document()
    going = "deletionTimestamp" in document["metadata"]
    paused = (document.get("spec") or {}).get("paused") is True
    verdicts = condition_of(document, "Ready"), condition_of(document, DESIRED_APPLIED)
    return item.uid, item.labels, going, paused, verdicts, (document.get("status") or {}).get("desired")


class Reports:
    """What members said last about what is wanted on them. `now` is in seconds of any clock."""

    def __init__(self, bus: Bus, now: Callable[[], float]) -> None:
        self._bus, self._now = bus, now
        self._bucket: Bucket | None = None
        self._read: dict[str, tuple[float, Report | None]] = {}

    async def of(self, name: str) -> Report | None:
        """A member's last report; None if there is none. StatusError."""
        now, read = self._now(), self._read.get(name)
        if read is not None and now - read[0] < LOOKED_S:
            return read[1]
        if self._bucket is None:
            self._bucket = await self._bus.bucket(subjects.DESIRED_STATUS)
        entry = await self._bucket.get(subjects.member(name))
        report = None if entry is None or entry.value is None else decoded(entry.value, Report)
        self._read[name] = (now, report)
        return report

    def forget(self, name: str) -> None:
        """It said something else, or is gone."""
        self._read.pop(name, None)


class GrantStatus:
    """See the module. `now` is Unix time in seconds."""

    def __init__(
        self, store: Store, informer: View, granted: Granted, reports: Reports, now: Callable[[], float]
    ) -> None:
        self._store, self._informer, self._granted, self._reports, self._now = store, informer, granted, reports, now
        self._pace = Pace(time.monotonic)

    async def reconcile(self, name: str) -> After | None:
        """Write the status of one grant, if it is another."""
        item = self._informer.get(ACCESS_GRANT, name)
        if item is None or "deletionTimestamp" in item.document()["metadata"]:
            self._pace.over(name)
            return None
        try:
            grant = _grant(item.body)
        except msgspec.DecodeError:
            return None  # it gives nothing, and says nothing
        bound = self._bound(grant)
        names = self._granted.access.selected(name) if bound is None else tuple(bound)
        stands = {each: await self._stand(grant, bound, each) for each in names}
        self._keep(grant, stands)
        now, ends = self._now(), _ends(grant)
        over = ends is not None and ends <= now
        said = verdict(stands, rfc3339(ends) if over and ends is not None else "")
        clusters = listed(stands, bound)

        def changed(document: Document) -> Document | None:
            if document["metadata"].get("uid") != item.uid or _written(document) != grant.metadata.generation:
                return None
            return with_status(document, said, clusters, now)

        try:
            await self._store.modify(name, changed)
        except NotFound:
            return None
        return None if over else self._again(said, grant, LONGEST_S if ends is None else ends - now + 0.01)

    def _again(self, said: Verdict, grant: AccessGrant, left_s: float) -> After:
        """When to look again at a grant that ends in so many seconds."""
        wait_s, name = min(LONGEST_S, left_s), grant.metadata.name
        if said.reason != Standing.APPLYING:
            self._pace.over(name)
            return After(wait_s)
        return After(min(wait_s, self._pace.next_s(name, grant.metadata.generation)))

    def _bound(self, grant: AccessGrant) -> dict[str, str] | None:
        """The UIDs that a grant's clusters have, by name: the one that it is bound to, else that of the first of the name."""
        if isinstance(grant.spec.clusters.selector, LabelSelector):
            return None
        bound = {each.name: each.uid for each in grant.status.clusters}
        return {
            name: bound.get(name) or uid_of(self._informer, name) for name in dict.fromkeys(grant.spec.clusters.names)
        }

    async def _stand(self, grant: AccessGrant, bound: dict[str, str] | None, name: str) -> Stand:
        item = self._informer.get(CLUSTER, name)
        if item is None or not uid_of(self._informer, name):
            self._reports.forget(name)
            return stand(None if bound is None else bound[name], name, None, (), narrow=False)
        scopes = tuple(scopes_of(grant))
        keys = [key_of(OWNER, name, document) for document in bindings.needed(scopes)]
        report = await self._reports.of(name) if keys else None
        member = Member(item.uid, item.document(), self._granted.placements.get(name), report)
        narrow = any(scope.namespace for scope in scopes)
        return stand(None if bound is None else bound[name], name, member, keys, narrow=narrow)

    def _keep(self, grant: AccessGrant, stands: dict[str, Stand]) -> None:
        """A process that has just begun to lead knows of no placements: what was in place is not doubted for that."""
        if not any(
            each.type == ENFORCED and each.observed_generation == grant.metadata.generation
            for each in grant.status.conditions
        ):
            return
        for each in grant.status.clusters:
            unknown = each.name in stands and each.name not in self._granted.placements
            if unknown and each.state == Standing.ENFORCED and stands[each.name].standing is Standing.APPLYING:
                stands[each.name] = Stand(Standing.ENFORCED)


def with_status(document: Document, said: Verdict, clusters: list[Document], now: float) -> Document:
    """A grant with what is to be said of it."""
    status = document.get("status") or {}
    condition = new_condition(ENFORCED, said, now) | {"observedGeneration": _written(document)}
    conditions = with_condition(status.get("conditions") or [], condition)
    return {**document, "status": {**status, "conditions": conditions, "clusters": clusters}}


def _written(document: Document) -> int:
    return int(document["metadata"].get("generation") or 0)


def _ends(grant: AccessGrant) -> float | None:
    if grant.spec.expires is UNSET:
        return None
    try:
        return seconds(grant.spec.expires)
    except ValueError:
        return 0.0
