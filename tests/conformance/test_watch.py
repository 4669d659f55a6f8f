"""A watcher of the host API is told what a watcher of a real API server is told of the same requests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cases import ONE, Case, apply, create, delete, merge, put, with_metadata
from tests.conformance.sides import Side, comparable
from tests.conformance.test_oracle import different, played

pytestmark = [pytest.mark.kube, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

HELD = create(finalizers=["x.dev/f", "x.dev/g"])
STORIES = (
    Case("a deletion", (create(), delete())),
    Case("a deletion that waits", (HELD, delete(), delete(), merge({"metadata": {"finalizers": ["x.dev/g"]}}),
                                   merge({"metadata": {"finalizers": None}}))),
    Case("put of no finalizers", (HELD, delete(), put(with_metadata(finalizers=[])))),
    Case("apply of no finalizers", (apply("m1", finalizers=["x.dev/f"]), delete(), apply("m1"))),
    Case("finalizers of a living object", (HELD, merge({"metadata": {"finalizers": None}}), delete())),
    Case("the last change with the last finalizer", (HELD, delete(),
         merge({"metadata": {"finalizers": [], "labels": {"a": "b"}}, "spec": {"displayName": "last"}}))),
)  # fmt: skip


async def told(side: Side, story: Case, name: str) -> list[dict[str, Any]]:
    """What a watch tells that begins before the story."""
    collection, headers = ONE.rpartition("/")[0], {"accept": "application/json"}
    before = (await side.ask("GET", f"{collection}?limit=1", None, headers)).body["metadata"]["resourceVersion"]
    await played(side, story, name)
    query = f"watch=true&resourceVersion={before}&timeoutSeconds=2&fieldSelector=metadata.name%3D{name}"
    events = (await side.ask("GET", f"{collection}?{query}", None, headers, watch=True)).body
    assert isinstance(events, list)
    return events


@pytest.mark.parametrize("index", range(len(STORIES)), ids=[story.name.replace(" ", "-") for story in STORIES])
async def test_watchers_are_told_the_same(apiserver: Side, host: Side, index: int) -> None:
    story, name = STORIES[index], f"w{index}"
    expected, found = await told(apiserver, story, name), await told(host, story, name)
    assert not different(comparable(expected), comparable(found))
