"""Watching metadata: pages, what happened between two lists, and answers that are wrong. (Real ones: tests/desired.)"""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from skerry.errors import BadGateway, Forbidden, StatusError
from skerry.http.exchange import Exchange
from skerry.member.upstream import Upstream
from skerry.member.watch import PAGE, MetadataWatch
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration
PATH = "/api/v1/namespaces"


def item(name: str, version: str = "1") -> dict[str, Any]:
    """A PartialObjectMetadata."""
    return {"metadata": {"name": name, "resourceVersion": version}}


class Collection:
    """What the API server says: `lists` and `watches` in turn, each an answer or an error; and what it was asked."""

    def __init__(self, api: ApiServer) -> None:
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        self.asked: list[dict[str, list[str]]] = []
        api.routes[PATH] = self._answer

    async def _answer(self, exchange: Exchange) -> None:
        query = parse_qs(exchange.head.target.partition(b"?")[2].decode())
        self.asked.append(query)
        answer = (self.watches if "watch" in query else self.lists).pop(0)
        if isinstance(answer, StatusError):
            await exchange.respond_error(answer)
            return
        body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        await exchange.respond(200, JSON, body)


@pytest.fixture
def collection(api: ApiServer) -> Collection:
    """Namespaces."""
    return Collection(api)


def listed(*items: dict[str, Any], version: str = "9", after: str = "") -> dict[str, Any]:
    """One page."""
    return {"metadata": {"resourceVersion": version, **({"continue": after} if after else {})}, "items": list(items)}


def events(*changes: tuple[str, dict[str, Any]]) -> bytes:
    """A watch's answer."""
    return b"".join(msgspec.json.encode({"type": kind, "object": what}) + b"\n" for kind, what in changes)


async def all_of(watch: MetadataWatch) -> list[tuple[str, bool]]:
    """(name, gone) of one attempt."""
    async with contextlib.aclosing(watch.run()) as changes:
        return [(seen.name, seen.gone) async for seen in changes]


async def test_pages_then_changes_from_where_the_list_was(upstream: Upstream, collection: Collection) -> None:
    collection.lists = [listed(item("a"), after="next"), listed(item("b"))]
    collection.watches = [
        events(("ADDED", item("c", "10")), ("MODIFIED", item("a", "11")), ("DELETED", item("b", "12")))
    ]
    watch = MetadataWatch(upstream, PATH, "x=y")
    assert await all_of(watch) == [("a", False), ("b", False), ("c", False), ("a", False), ("b", True)]
    first, second, third = collection.asked
    assert (first["limit"], second["continue"], third["resourceVersion"]) == ([str(PAGE)], ["next"], ["9"])
    assert all(each["labelSelector"] == ["x=y"] for each in collection.asked)


async def test_the_next_attempt_goes_on_where_the_last_one_was(upstream: Upstream, collection: Collection) -> None:
    collection.lists = [listed(item("a"))]
    collection.watches = [
        events(("BOOKMARK", {"metadata": {"resourceVersion": "40"}})),
        events(("ADDED", item("b", "41"))),
    ]
    watch = MetadataWatch(upstream, PATH)
    await all_of(watch)
    assert await all_of(watch) == [("b", False)]
    assert collection.asked[-1]["resourceVersion"] == ["40"]


@pytest.mark.parametrize("as_status", [True, False])
async def test_what_went_while_nobody_looked_is_told(
    upstream: Upstream, collection: Collection, as_status: bool
) -> None:
    """410, as an event or as the answer, makes a new list."""
    expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    answer: Any = events(("ERROR", expired))
    if as_status:
        answer = StatusError("too old")
        answer.code, answer.reason = 410, "Expired"
    collection.lists = [listed(item("a"), item("b")), listed(item("b"), item("c"), version="50")]
    collection.watches = [answer, b""]
    watch = MetadataWatch(upstream, PATH)
    assert await all_of(watch) == [("a", False), ("b", False)]
    assert await all_of(watch) == [("a", True), ("b", False), ("c", False)]


async def test_a_continue_that_ran_out_begins_again(upstream: Upstream, collection: Collection) -> None:
    gone = StatusError("the continue parameter is too old")
    gone.code, gone.reason = 410, "Expired"
    collection.lists = [listed(item("a"), after="next"), gone, listed(item("a"), item("b"))]
    collection.watches = [b""]
    assert await all_of(MetadataWatch(upstream, PATH)) == [("a", False), ("b", False)]


async def test_a_refusal_is_the_api_servers(upstream: Upstream, collection: Collection) -> None:
    collection.lists = [Forbidden("namespaces is forbidden"), listed()]
    collection.watches = [Forbidden("no watching")]
    watch = MetadataWatch(upstream, PATH)
    with pytest.raises(Forbidden, match="namespaces is forbidden"):
        await all_of(watch)
    with pytest.raises(Forbidden, match="no watching"):
        await all_of(watch)


@pytest.mark.parametrize("line", [b"garbage\n", b'{"type": 3}\n', b"[]\n", b'{"type":"ADDED","object":3}\n', b"\xff\n"])
async def test_what_cannot_be_read_is_an_error_and_the_next_attempt_lists(
    upstream: Upstream, collection: Collection, line: bytes
) -> None:
    collection.lists = [listed(item("a")), listed(item("a"))]
    collection.watches = [line, b""]
    watch = MetadataWatch(upstream, PATH)
    with pytest.raises(BadGateway, match="cannot be read"):
        await all_of(watch)
    assert await all_of(watch) == [("a", False)]


async def test_a_list_that_cannot_be_read_is_an_error(upstream: Upstream, collection: Collection) -> None:
    collection.lists = [b"[]"]
    with pytest.raises(BadGateway, match="cannot be read"):
        await all_of(MetadataWatch(upstream, PATH))


async def test_a_line_without_an_end_is_not_kept(upstream: Upstream, collection: Collection) -> None:
    collection.lists = [listed()]
    collection.watches = [b'{"type":"' + b"x" * (5 << 20)]
    with pytest.raises(BadGateway, match="more than"):
        await all_of(MetadataWatch(upstream, PATH))
