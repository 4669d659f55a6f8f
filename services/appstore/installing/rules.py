"""Admission of AppReleases: what they may say, which version they get, and as whom they are worked; AppInstances are nobody's to write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from services.appstore import byapp
from services.appstore.installing.schemas import value_problems
from services.appstore.parts import AppStoreContext
from services.appstore.releases import choosing, specs
from services.appstore.releases.revising import Change, changes_revision, owned, revised
from services.appstore.releases.selecting import clusters, clusters_of_workspace
from services.appstore.rules import StoreRules
from skerry.admission import Admitted
from skerry.admission.conform import FieldError, forbidden
from skerry.admission.prepare import invalid_object
from skerry.api.apprelease import AppRelease
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.stored import readable
from skerry.controller.garbage import collector
from skerry.errors import Conflict, NotFound
from skerry.storage import Item

FINALIZER = "skerry.dev/installed"
"""A release goes when nothing of it is left that could be uninstalled."""
BY_PLACE = "place"
"""Index of AppReleases, by namespace/name of their Helm release."""


def places(item: Item) -> Iterable[str]:
    """What the index has for an AppRelease."""
    return ("/".join(specs.place(item.document())),)


class ReleaseRules(StoreRules):
    """Admission of AppReleases. `now` is Unix time in seconds."""

    def __init__(self, context: AppStoreContext, now: Callable[[], float] = time.time) -> None:
        super().__init__(context)
        self._informer, self._store, self._now = context.informer, context.store(APP_RELEASE), now
        byapp.index(self._informer)
        self._informer.index(APP_RELEASE, BY_PLACE, places)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        await super().admit(document, request)
        metadata = document["metadata"]
        finalizers = [each for each in metadata.get("finalizers") or [] if each != FINALIZER]
        document = {**document, "metadata": {**metadata, "finalizers": [*finalizers, FINALIZER]}}
        return await self.changed({}, document, request)

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one. Labels and annotations are nobody's work on the clusters, and change no actor."""
        if current["spec"] == document["spec"]:
            return Admitted(document)
        return await self.changed(current, document, request)

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """Who deletes it uninstalls it: whoever changed it last may have lost their rights. With its workspace it goes as whom it
        was worked until now: who deleted that is not known here, and nobody on a member knows the collector.
        """
        if request.caller == collector(APP_RELEASE):
            return

        def taken_over(document: Document) -> Document | None:
            if document["metadata"]["uid"] != current.uid:
                return None
            return {**document, "status": owned(document.get("status") or {}, request.caller, self._now())}

        try:
            await self._store.modify(current.name, taken_over, current.namespace)
        except NotFound:
            return

    async def changed(
        self, current: Document, document: Document, request: WriteRequest, secrets: Document | None = None
    ) -> Admitted:
        """A release whose spec is another one, new if `current` is empty; with `secrets` as status.secretValues."""
        await self._informer.current()
        problems = [*specs.problems(document, current or None)]
        if problems:
            raise invalid_object(document, problems)
        namespace = str(document["metadata"].get("namespace", ""))
        chosen = self._chosen(current, document)
        if isinstance(chosen, FieldError):
            raise invalid_object(document, [chosen])
        if problems := self._foreign_clusters(document, namespace):
            raise invalid_object(document, problems)
        self._check_place(document)
        if problems := await self._value_problems(current, document, chosen, secrets):
            raise invalid_object(document, problems)
        change = Change(request.caller, str(chosen.app), chosen.digest, self._now(), secrets)
        after = revised(current, document, change)
        if changes_revision(current, after) and not request.options.dry_run:
            await self._context.state.releases.history.keep(current)
        return Admitted(after, warnings=tuple(specs.warnings(document["spec"])))

    def _chosen(self, current: Document, document: Document) -> choosing.ChosenVersion | FieldError:
        """The version; one that stays is not judged again: suspending it ends nothing that runs."""
        chosen = choosing.choose(self._informer, document["metadata"].get("namespace", ""), document["spec"])
        history = (current.get("status") or {}).get("history") or []
        if (
            isinstance(chosen, FieldError)
            and history
            and not specs.installs_otherwise(current["spec"], document["spec"])
        ):
            return choosing.kept(history[0])
        return chosen

    async def _value_problems(
        self, current: Document, document: Document, chosen: choosing.ChosenVersion, secrets: Document | None
    ) -> list[FieldError]:
        """Values that the chart's schema does not take, where what is installed is another than before."""
        if secrets is None and current and not specs.installs_otherwise(current["spec"], document["spec"]):
            return []
        state, spec = self._context.state, readable(document, AppRelease).spec
        named = (current.get("status") or {}).get("secretValues") if secrets is None else secrets
        sealed: dict[str, str] = {}
        if current and named:
            try:
                sealed = await state.releases.history.secrets(current["metadata"]["uid"], named.get("set", ""))
            except NotFound:  # a dry run keeps none
                return []
        wanted = clusters(self._informer, str(document["metadata"].get("namespace", "")), spec.clusters)
        version = choosing.document_of(self._informer, chosen)
        return await value_problems(state, version, spec, specs.place(document), wanted.values(), sealed)

    def _foreign_clusters(self, document: Document, namespace: str) -> list[FieldError]:
        """Clusters by name that are not of the workspace."""
        allowed = clusters_of_workspace(self._informer, namespace)
        names = [each for each in document["spec"]["clusters"].get("names") or [] if not allowed(each)]
        if not names:
            return []
        text = f"{', '.join(names[:10])}: not among the clusters of workspace {namespace}; its administrators name them there"
        return [forbidden("spec.clusters.names", text)]

    def _check_place(self, document: Document) -> None:
        """Conflict for a Helm release that another AppRelease has on one of the clusters."""
        place, mine = specs.place(document), document["metadata"]
        wanted = self._selected(document)
        for item in self._informer.lookup(APP_RELEASE, BY_PLACE, "/".join(place)):
            if (item.namespace, item.name) == (mine.get("namespace", ""), mine.get("name", "")):
                continue
            if both := sorted(wanted & self._selected(item.document())):
                raise Conflict(
                    f"AppRelease {item.namespace}/{item.name} has the Helm release {place.name} in namespace {place.namespace} on "
                    f"{', '.join(both[:10])} already: set spec.releaseName or spec.targetNamespace to something else, or change that one",
                    kind=APP_RELEASE.plural,
                    group=APP_RELEASE.group,
                    name=mine.get("name", ""),
                )

    def _selected(self, document: Document) -> set[str]:
        """The clusters of a release: those that there are now, and those that it names."""
        selection = readable(document, AppRelease).spec.clusters
        namespace = str(document["metadata"].get("namespace", ""))
        return {*selection.names, *clusters(self._informer, namespace, selection)}


class InstanceRules(StoreRules):
    """Admission of AppInstances, which nobody but the service writes."""

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Conflict while its release is there: that of a workspace that is deleted is uninstalled first."""
        document = current.document()
        name = str(document["spec"].get("release", ""))
        release = self._context.informer.get(APP_RELEASE, name, current.namespace)
        owners = document["metadata"].get("ownerReferences") or []
        if release is not None and any(each.get("uid") == release.uid for each in owners):
            raise Conflict(
                f"{current.name} goes when AppRelease {name} is uninstalled there: delete that",
                kind=APP_INSTANCE.plural,
                group=APP_INSTANCE.group,
                name=current.name,
            )
