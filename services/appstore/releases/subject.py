"""An AppInstance with what it is an instance of: the release, the cluster, as whom it is worked, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.appstore.releases import statuses
from services.appstore.releases.machine import Progress, Wanted
from services.appstore.releases.selecting import is_member, is_wanted
from services.appstore.releases.specs import Place, place
from services.appstore.releases.wording import ReleaseName
from skerry.api import duration
from skerry.api.apprelease import AppInstance, AppRelease, ReleaseActor
from skerry.api.conditions import conditions_of
from skerry.api.delegations import DelegationRequest, DelegationSubject
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE, CLUSTER
from skerry.api.meta import Document
from skerry.api.stored import stored
from skerry.informer import View
from skerry.storage import Item

BY_CLUSTER, BY_RELEASE = "cluster", "release"
"""Indexes of AppInstances: by the name of their cluster; by namespace/name of their AppRelease."""
MOST_CLUSTERS = 50
"""For which one delegation is asked."""
_release, _instance = stored(AppRelease), stored(AppInstance)


def clusters_of(item: Item) -> Iterable[str]:
    """What the index by cluster has for an AppInstance."""
    return (str((item.document().get("spec") or {}).get("cluster", "")),)


def releases_of(item: Item) -> Iterable[str]:
    """What the index by release has for an AppInstance."""
    return (f"{item.namespace}/{(item.document().get('spec') or {}).get('release', '')}",)


def key_of(item: Item) -> str:
    """The key of a namespaced object."""
    return f"{item.namespace}/{item.name}"


@dataclass(frozen=True, kw_only=True)
class InstanceSubject:
    """An instance, with what it is an instance of, as they are stored now."""

    key: str
    item: Item
    instance: AppInstance
    release: AppRelease
    document: Document
    """Of the release."""
    cluster: Item
    place: Place
    wanted: Wanted
    clusters: tuple[str, ...]
    """Of the release, as many as one delegation is for; this one is among them."""

    @property
    def name(self) -> ReleaseName:
        """Of the release."""
        return ReleaseName(self.release.metadata.namespace, self.release.metadata.name)

    @property
    def delegation(self) -> DelegationRequest:
        """As whom it is worked, and where: as who changed the release last."""
        actor, metadata = self.release.status.actor or ReleaseActor(), self.release.metadata
        of = DelegationSubject(
            kind=APP_RELEASE.kind, namespace=metadata.namespace, name=metadata.name, uid=metadata.uid
        )
        return DelegationRequest(
            of=of, user=actor.user, groups=tuple(actor.groups), at=actor.at, clusters=self.clusters
        )

    @property
    def status(self) -> Document:
        """Of the instance."""
        return self.item.document().get("status") or {}

    @property
    def progress(self) -> Progress:
        """What was done so far; what failed before somebody changed the release, or took it over, counts no more."""
        progress, release = statuses.progress_of(self.status), self.release.status
        if progress.reason and self.instance.status.observed_changes != release.changes:
            changed = statuses.moment((release.actor or ReleaseActor()).at)
            return progress.anew(progress.revision, "Pending", max(progress.since, changed))
        return progress

    @property
    def waits(self) -> str:
        """What an instance waits for before it is even looked at; empty if for nothing."""
        cluster = self.cluster.document()
        advice = f"; forget it there: {self.name.forget(self.cluster.name)}" if self.wanted.gone else ""
        if why := _away(self.cluster.name, cluster):
            return why + advice
        if (cluster.get("spec") or {}).get("paused") is True:
            return f"{self.cluster.name} is paused{advice}"
        if self.release.spec.suspend and not self.wanted.gone:
            return "the release is suspended (spec.suspend)"
        return ""


def subject_of(informer: View, item: Item) -> InstanceSubject | None:
    """The instance with its release and its cluster; None if either is gone, or is another by now."""
    instance = _instance(item.body)
    of_release = informer.get(APP_RELEASE, instance.spec.release, item.namespace)
    cluster = informer.get(CLUSTER, instance.spec.cluster)
    if of_release is None or cluster is None or not is_member(cluster):
        return None
    owners = item.document()["metadata"].get("ownerReferences") or []
    if cluster.uid != instance.spec.cluster_uid or not any(each.get("uid") == of_release.uid for each in owners):
        return None
    release, document = _release(of_release.body), of_release.document()
    gone = "deletionTimestamp" in document["metadata"] or not is_wanted(
        informer, item.namespace, release.spec.clusters, cluster
    )
    wanted = Wanted(
        revision=release.status.revision,
        gone=gone,
        orphan=release.spec.deletion == "Orphan",
        rollback=release.spec.on_failure == "Rollback",
        timeout_s=float(duration.parse(release.spec.timeout)),
    )
    return InstanceSubject(
        key=key_of(item),
        item=item,
        instance=instance,
        release=release,
        document=document,
        cluster=cluster,
        place=place(document),
        wanted=wanted,
        clusters=_delegated(informer, item, cluster.name),
    )


def _delegated(informer: View, item: Item, cluster: str) -> tuple[str, ...]:
    """The clusters of its release in groups of which each gets a delegation; the group of this one."""
    of_release = informer.lookup(APP_INSTANCE, BY_RELEASE, next(iter(releases_of(item))))
    names = sorted({cluster, *(name for each in of_release for name in clusters_of(each))})
    items = {name: informer.get(CLUSTER, name) for name in names}
    there = [name for name, member in items.items() if member is not None]
    first = there.index(cluster) // MOST_CLUSTERS * MOST_CLUSTERS
    return tuple(there[first : first + MOST_CLUSTERS])


def _away(name: str, cluster: Document) -> str:
    ready = next((each for each in conditions_of(cluster) if each.get("type") == "Ready"), {})
    if ready.get("status") == "True":
        return ""
    since, why = ready.get("lastTransitionTime", ""), str(ready.get("message") or "it is not Ready")
    return f"{name} is away{f' since {since}' if since else ''}: {why}"
