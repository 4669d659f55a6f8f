"""get and list: from the cache, as fresh as the client's resourceVersion demands."""

from __future__ import annotations

import asyncio

from services.proxy.hostapi import selectors
from services.proxy.hostapi.request import Query
from services.proxy.hostapi.table import View
from skerry.api.kinds import Kind
from skerry.errors import BadRequest, GatewayTimeout, Gone, NotFound, cause
from skerry.store import Cache, Item

TOO_LARGE_S = 3.0
"""How long to wait for a resourceVersion that this replica has not seen yet, as the API server does."""


async def fresh(cache: Cache, query: Query) -> None:
    """Wait until the cache may answer: unset means current, 0 anything, N at least N.

    GatewayTimeout with the cause ResourceVersionTooLarge for a revision that does not come; Gone for `Exact`.
    """
    wanted = query.number("resourceVersion")
    match = query.text("resourceVersionMatch")
    if match and match not in ("Exact", "NotOlderThan"):
        raise BadRequest(f"resourceVersionMatch is {match[:40]!r}: use Exact or NotOlderThan")
    if match and wanted is None:
        raise BadRequest("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if wanted is None:
        await cache.current()
    elif wanted:
        await reached(cache, wanted)
    else:
        await cache.reached(0)
    if match == "Exact" and wanted != cache.revision:
        raise Gone(f"the provided resource version is too old: only the present one is kept ({cache.revision})")


async def reached(cache: Cache, revision: int) -> None:
    """Wait until the cache is at `revision`; the API server's error if that takes too long."""
    try:
        async with asyncio.timeout(TOO_LARGE_S):
            await cache.reached(revision)
    except TimeoutError:
        text = f"Too large resource version: {revision}, current: {cache.revision}"
        raise GatewayTimeout(
            f"Timeout: {text}", causes=(cause("", "Too large resource version", "ResourceVersionTooLarge"),),
            retry_after_s=1,
        ) from None  # fmt: skip


def selector(query: Query, name: str = "") -> selectors.Match:
    """What the request's selectors match."""
    match = selectors.both(selectors.labels(query.text("labelSelector")), selectors.fields(query.text("fieldSelector")))
    return selectors.both(match, lambda item: item.name == name) if name else match


async def get(cache: Cache, kind: Kind, namespace: str, name: str, query: Query, view: View) -> bytes:
    """One object. NotFound."""
    await fresh(cache, query)
    item = cache.get(kind, name, namespace)
    if item is None:
        raise not_found(kind, name)
    return view.one(item)


async def listed(cache: Cache, kind: Kind, namespace: str, query: Query, view: View) -> bytes:
    """All objects that match, as of one revision. `limit` is taken as a wish: the answer is always complete."""
    match = selector(query)
    if query.text("continue"):
        raise BadRequest("continue key is not valid: this server never gives one, list again without it")
    await fresh(cache, query)
    items: list[Item] = [item for item in cache.list(kind, namespace) if match(item)]
    return view.many(items, max(cache.revision, 1))


def not_found(kind: Kind, name: str) -> NotFound:
    """404, worded as the API server words it."""
    resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    return NotFound(f'{resource} "{name}" not found', kind=kind.plural, group=kind.group, name=name)
