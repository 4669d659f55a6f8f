"""Apps at work: one is there as long as it has versions, and says what they say; people name it and put it into categories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from services.appstore import byapp
from services.appstore.byapp import app_of, place, versions_of
from services.appstore.catalogue.summary import status_of
from services.appstore.parts import AppStoreContext
from services.appstore.rules import StoreRules
from skerry.admission import Admitted
from skerry.admission.conform import FieldError, invalid_value
from skerry.admission.prepare import invalid_object
from skerry.api.appstore import UNCATEGORIZED
from skerry.api.kinds import APP, APP_CATEGORY, APP_VERSION
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.controller.controller import Controller
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.informer import View
from skerry.storage import Item, Store

LONGEST_NAME = 128
MOST_CATEGORIES = 10
AT_ONCE = 16


class AppRules(StoreRules):
    """Admission of Apps, of which people say names and categories alone."""

    def __init__(self, context: AppStoreContext) -> None:
        super().__init__(context)
        self._informer = context.informer
        byapp.index(self._informer)

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        problems = list(_problems(document["spec"], self._is_category))
        if problems:
            raise invalid_object(document, problems)
        return Admitted(document)

    def _is_category(self, name: str) -> bool:
        return name == UNCATEGORIZED or self._informer.get(APP_CATEGORY, name) is not None

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Conflict: it goes with its last version, and not before."""
        await self._informer.current()
        versions = versions_of(self._informer, current.namespace, current.name)
        if versions:
            raise Conflict(
                f"app {current.name} has {len(versions)} versions and goes with the last of them: delete those (kubectl delete "
                f"appversions -n {current.namespace} --field-selector spec.app={current.name}), or its repository",
                kind=APP.plural,
                group=APP.group,
                name=current.name,
            )


def _problems(spec: Document, is_category: Callable[[str], bool]) -> Iterator[FieldError]:
    name, categories = spec.get("displayName", ""), spec.get("categories") or []
    if len(name) > LONGEST_NAME or not name.isprintable():
        yield invalid_value("spec.displayName", name[:60], f"must print, and have at most {LONGEST_NAME} characters")
    if len(categories) > MOST_CATEGORIES:
        yield invalid_value("spec.categories", len(categories), f"must have at most {MOST_CATEGORIES} items")
    for number, each in enumerate(categories[:MOST_CATEGORIES]):
        if not is_category(each):
            yield invalid_value(
                f"spec.categories[{number}]",
                each[:80],
                "must be the name of an AppCategory (kubectl get appcategories)",
            )


def apps(context: AppStoreContext) -> Controller[str]:
    """Apps follow their versions: made with the first, gone with the last."""
    byapp.index(context.informer)
    work = Apps(context.store(APP, leader=True), context.informer)
    controller = context.controller("apps", work.reconcile, workers=AT_ONCE, leader=True)
    context.follow(APP_VERSION, controller, app_of)
    return context.follow(APP, controller, lambda item: (place(item.namespace, item.name),))


class Apps:
    """See the module."""

    def __init__(self, store: Store, informer: View) -> None:
        self._store, self._informer = store, informer

    async def reconcile(self, key: str) -> None:
        """Look at the App at this place."""
        namespace, _, name = key.partition("/")
        versions = [item.document() for item in versions_of(self._informer, namespace, name)]
        item = self._informer.get(APP, name, namespace)
        if not versions:
            if item is not None:
                with suppress(NotFound):
                    await self._store.delete(name, namespace, uid=item.uid)
            return
        status = status_of(versions, namespace)
        if item is None:
            with suppress(AlreadyExists):
                await self._store.create(
                    {"metadata": {"name": name, "namespace": namespace}, "spec": {}, "status": status}
                )
            return
        if item.document().get("status") == status:
            return
        with suppress(NotFound):
            await self._store.modify(name, lambda document: {**document, "status": status}, namespace)
