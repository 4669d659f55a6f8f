"""`search=` of a list: the owner of the kind ranks, and what is shown is what a list of the same caller would show, in that order."""

from __future__ import annotations

from services.proxy.hostapi import selectors
from services.proxy.hostapi.forward import Forwarder
from services.proxy.hostapi.options import check_list, options
from services.proxy.hostapi.reads import fresh, selector
from services.proxy.hostapi.request import Query, Target, known
from services.proxy.hostapi.sight import Sight
from services.proxy.hostapi.sources import ObjectSource
from services.proxy.hostapi.table import Representation
from skerry.api.kinds import Kind
from skerry.api.messages import Caller
from skerry.api.searching import LONGEST_TEXT, MOST
from skerry.errors import BadRequest
from skerry.storage import Item

PARAMETER = "search"
_LISTS = ("list", "watch", "deletecollection")


def check(kind: Kind, verb: str, query: Query) -> bool:
    """True if this is a search. BadRequest where it would be taken for something else: a collection must not be deleted, or
    watched, as if nothing had been searched for.
    """
    text = query.find(PARAMETER)
    if text is None or verb not in _LISTS:
        return False
    if not kind.searchable:
        raise BadRequest(
            f"{kind.plural} cannot be searched: leave {PARAMETER} out, or use labelSelector or fieldSelector"
        )
    if verb != "list":
        raise BadRequest(f"{PARAMETER} is for lists: a {verb} takes labelSelector and fieldSelector")
    if not text.strip():
        raise BadRequest(f"{PARAMETER} is empty: say what to search {kind.plural} for, or leave it out")
    if len(text) > LONGEST_TEXT:
        raise BadRequest(f"{PARAMETER} has {len(text)} characters, the limit is {LONGEST_TEXT}")
    return True


async def searched(
    forwarder: Forwarder,
    source: ObjectSource,
    target: Target,
    caller: Caller,
    query: Query,
    view: Representation,
    sight: Sight,
) -> bytes:
    """The objects that match, best first: of those in `sight`, under the selectors of the query, as they are now. BadRequest."""
    kind = known(target)
    match = selectors.both(selector(query, kind, check_list), sight.match)
    list_options = options(query)
    if list_options.continue_ is not None or query.text("resourceVersionMatch") == "Exact":
        raise BadRequest(f"{PARAMETER} has one page, of now: leave continue and resourceVersionMatch out")
    if list_options.limit > MOST:
        raise BadRequest(f"limit is {list_options.limit}, and a search has at most {MOST} objects")
    keys = await forwarder.search(target, caller, query.text(PARAMETER))
    await fresh(source, list_options.revision)
    items: dict[str, Item] = {}
    most = list_options.limit or MOST
    for key in keys:
        if len(items) == most:
            break
        namespace, _, name = key.rpartition("/")
        item = source.get(kind, name, namespace)
        if item is not None and target.namespace in ("", namespace) and match(item):
            items[key] = item
    return view.many(list(items.values()), max(source.revision, 1), "")
