"""The search at work: fed from the informer, asked by the front door for whoever lists apps with `search=`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.appstore.parts import AppStoreContext
from services.appstore.search import Search, SearchEntry
from skerry.api.kinds import APP
from skerry.api.messages import WriteRequest
from skerry.api.searching import SearchRequest
from skerry.informer import Change, View
from skerry.storage import Item


def feed(informer: View, search: Search) -> Callable[[], None]:
    """Have all Apps found, now and after each change; returns how to stop."""

    def changed(change: Change) -> None:
        if change.new is not None:
            search.put(_key(change.new), entry(change.new))
        elif change.old is not None:
            search.remove(_key(change.old))

    for item in informer.list(APP):
        search.put(_key(item), entry(item))
    return informer.add_event_handler(APP, changed)


def entry(item: Item) -> SearchEntry:
    """An App as it is found: by its name and the name that people gave it, keywords, description."""
    document = item.document()
    spec, status = document.get("spec") or {}, document.get("status") or {}
    name = f"{spec.get('displayName', '')} {item.name}".strip()
    return SearchEntry(name, " ".join(status.get("keywords") or ()), str(status.get("description", "")))


def _key(item: Item) -> str:
    return f"{item.namespace}/{item.name}"


async def find_apps(context: AppStoreContext, request: WriteRequest, question: SearchRequest) -> Iterable[str]:
    """Places of the Apps that match, the best first: of one namespace, or of those that the caller may see."""
    people, seen = context.state.people, dict[str, bool]()

    def shows(key: str) -> bool:
        namespace = key.partition("/")[0]
        if question.namespace:
            return namespace == question.namespace
        if namespace not in seen:
            seen[namespace] = people.reads(request.caller, namespace)
        return seen[namespace]

    return context.state.search.find(question.text, shows)
