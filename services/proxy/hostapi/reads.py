"""get and list: from the cache, as fresh as the client's resourceVersion demands."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from services.proxy.hostapi import selectors
from services.proxy.hostapi.options import (
    Continue,
    Inconsistent,
    ListOptions,
    check_list,
    integer,
    options,
    revision_of,
    token,
)
from services.proxy.hostapi.request import Query
from services.proxy.hostapi.sight import WHOLE, Sight
from services.proxy.hostapi.sources import ObjectSource
from services.proxy.hostapi.table import Representation
from skerry.api.kinds import Kind
from skerry.errors import GatewayTimeout, Gone, NotFound, cause
from skerry.storage import Item

TOO_LARGE_S = 3.0
"""How long to wait for a resourceVersion that this replica has not seen yet, as the API server does."""


class _State(NamedTuple):
    """The objects of a kind at one revision."""

    items: list[Item]
    revision: int
    consistent: bool = True


async def fresh(source: ObjectSource, revision: int | None) -> None:
    """Wait until the source may answer: None means current, 0 anything, N at least N.

    GatewayTimeout with the cause ResourceVersionTooLarge for a revision that does not come.
    """
    if revision is None:
        await source.current()
    else:
        await reached(source, revision)


async def reached(source: ObjectSource, revision: int) -> None:
    """Wait until the source is at `revision`; the API server's error if that takes too long."""
    try:
        async with asyncio.timeout(TOO_LARGE_S):
            await source.reached(revision)
    except TimeoutError:
        text = f"Too large resource version: {revision}, current: {source.revision}"
        raise GatewayTimeout(
            f"Timeout: {text}", causes=(cause("", "Too large resource version", "ResourceVersionTooLarge"),),
            retry_after_s=1,
        ) from None  # fmt: skip


def selector(query: Query, kind: Kind, check: Callable[[Query], None]) -> selectors.Match:
    """What a list or watch selects, if its ListOptions can be read and pass `check`. BadRequest, Invalid.

    Whether the kind has the fields is asked last, as in the API server.
    """
    for name in ("timeoutSeconds", "limit"):
        integer(query, name)
    labels, terms = selectors.labels(query.text("labelSelector")), selectors.terms(query.text("fieldSelector"))
    check(query)
    return selectors.both(labels, selectors.fields(terms, kind))


async def get(
    source: ObjectSource,
    kind: Kind,
    namespace: str,
    name: str,
    query: Query,
    view: Representation,
    sight: Sight = WHOLE,
) -> bytes:
    """One object, of those in `sight`. NotFound."""
    await fresh(source, revision_of(query))
    item = source.get(kind, name, namespace)
    if item is None or not sight.match(item):
        raise not_found(kind, name)
    return view.one(item)


class Page(NamedTuple):
    """What a list found, as of one revision, and the token for what comes after."""

    items: list[Item]
    revision: int
    more: str = ""


async def listed(
    source: ObjectSource,
    kind: Kind,
    namespace: str,
    query: Query,
    view: Representation,
    sight: Sight = WHOLE,
) -> bytes:
    """The objects that match, of those in `sight`, or a page of them, as of one revision."""
    part = await page(source, kind, namespace, query, selector(query, kind, check_list), sight)
    return view.many(part.items, part.revision, part.more)


async def page(
    source: ObjectSource, kind: Kind, namespace: str, query: Query, match: selectors.Match, sight: Sight = WHOLE
) -> Page:
    """What of all in `sight` that `match`es the ListOptions of `query`, which were checked, ask for. BadRequest, Gone, GatewayTimeout.

    Pages are of one snapshot, which the ring of changes gives back on any replica that saw those changes; where it
    cannot, 410 with a token that goes on without.
    """
    list_options = options(query)
    state = await _state(source, kind, namespace, list_options, sight)
    match = selectors.both(match, sight.match)
    matching: list[Item] = []
    more = ""
    for item in _after(state.items, list_options.continue_):
        if not match(item):
            continue
        if list_options.limit and len(matching) == list_options.limit:
            last = matching[-1]
            more = token(state.revision if state.consistent else None, (last.namespace, last.name))
            break
        matching.append(item)
    return Page(matching, max(state.revision, 1), more)


async def _state(source: ObjectSource, kind: Kind, namespace: str, list_options: ListOptions, sight: Sight) -> _State:
    going_on = list_options.continue_
    if going_on is not None and going_on.revision is not None:
        await reached(source, going_on.revision)
        try:
            return _as_before(source, kind, namespace, going_on.revision, sight)
        except Gone as error:
            raise Inconsistent(going_on.start) from error
    if list_options.exact and list_options.revision is not None:
        await reached(source, list_options.revision)
        try:
            return _as_before(source, kind, namespace, list_options.revision, sight)
        except Gone as error:
            raise Gone("The resourceVersion for the provided list is too old.") from error
    await fresh(source, list_options.revision)
    return _State(source.list(kind, namespace, sight.keys()), source.revision, going_on is None)


def _as_before(source: ObjectSource, kind: Kind, namespace: str, revision: int, sight: Sight) -> _State:
    items = source.snapshot(kind, revision, namespace, sight.keys())
    if not sight.whole:
        items = [item for item in items if sight.past(item, source.get(kind, item.name, item.namespace))]
    return _State(items, revision)


def _after(items: list[Item], place: Continue | None) -> list[Item]:
    if place is None:
        return items
    return items[bisect_right(items, place.start, key=lambda item: (item.namespace, item.name)) :]


def not_found(kind: Kind, name: str) -> NotFound:
    """404, worded as the API server words it."""
    resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    return NotFound(f'{resource} "{name}" not found', kind=kind.plural, group=kind.group, name=name)
