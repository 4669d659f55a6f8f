"""Lists in pages: one snapshot over all of them, or a 410 that says how to go on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


async def page(world: World, query: str) -> tuple[list[str], str, str]:
    answer = (await world.ask(f"{CLUSTERS}?{query}")).json()
    return names(answer), answer["metadata"].get("continue", ""), answer["metadata"]["resourceVersion"]


async def test_pages_are_one_snapshot_whatever_happens_meanwhile(world: World) -> None:
    for name in "abcde":
        await world.made(name, labels={"old": "yes"})
    first, token, revision = await page(world, "limit=2")
    await world.clusters.delete("d")
    await world.made("c2")
    changed = await world.clusters.modify("e", lambda d: {**d, "status": {"uid": "new"}})
    await world.cache.reached(changed.revision)
    second, token, same = await page(world, f"limit=2&continue={token}")
    rest = (await world.ask(f"{CLUSTERS}?limit=2&continue={token}")).json()
    assert (first, second, names(rest)) == (["a", "b"], ["c", "d"], ["e"])
    assert revision == same == rest["metadata"]["resourceVersion"]
    assert "status" not in rest["items"][0]
    assert "continue" not in rest["metadata"]
    assert "remainingItemCount" not in rest["metadata"]


async def test_a_page_that_is_exactly_full_is_the_last(world: World) -> None:
    await world.made("a")
    await world.made("b")
    assert (await page(world, "limit=2"))[:2] == (["a", "b"], "")


async def test_a_list_of_whatever_is_cached_is_whole(world: World) -> None:
    for name in "abc":
        await world.made(name)
    assert (await page(world, "limit=2&resourceVersion=0"))[:2] == (["a", "b", "c"], "")
    query = "limit=2&resourceVersion=0&resourceVersionMatch=NotOlderThan"
    assert (await page(world, query))[:2] == (["a", "b", "c"], "")


async def test_a_selector_counts_what_matches(world: World) -> None:
    for name in "abcd":
        await world.made(name, labels={"even": str(name in "bd")})
    first, token, _ = await page(world, "limit=1&labelSelector=even%3DTrue")
    second, end, _ = await page(world, f"limit=1&labelSelector=even%3DTrue&continue={token}")
    assert (first, second, end) == (["b"], ["d"], "")


async def test_tables_have_pages_too(world: World) -> None:
    await world.made("a")
    await world.made("b")
    table = (await world.ask(f"{CLUSTERS}?limit=1", headers=TABLE)).json()
    rest = (await world.ask(f"{CLUSTERS}?continue={table['metadata']['continue']}", headers=TABLE)).json()
    assert [row["cells"][0] for row in (*table["rows"], *rest["rows"])] == ["a", "b"]


async def test_a_lost_snapshot_is_410_with_a_token_to_go_on_inconsistently(world: World) -> None:
    for name in "abc":
        await world.made(name)
    _, token, _ = await page(world, "limit=1")
    await world.made("d")
    world.forget()
    answer = await world.ask(f"{CLUSTERS}?limit=1&continue={token}")
    status = answer.json()
    assert (answer.status, status["reason"]) == (410, "Expired")
    found, token, _ = await page(world, f"limit=2&continue={status['metadata']['continue']}")
    rest, _, _ = await page(world, f"continue={token}")
    assert (found, rest) == (["b", "c"], ["d"])


@pytest.mark.parametrize(
    "token", ["abc", "eyJ2IjoiMSJ9", "%00", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiIvYSJ9"]
)
async def test_a_token_that_nobody_gave_is_400(world: World, token: str) -> None:
    answer = await world.ask(f"{CLUSTERS}?continue={token}")
    assert answer.status == 400
    assert "continue key is not valid" in answer.json()["message"]


async def test_a_revision_beside_a_token_is_400(world: World) -> None:
    await world.made("a")
    await world.made("b")
    _, token, revision = await page(world, "limit=1")
    assert (await world.ask(f"{CLUSTERS}?continue={token}&resourceVersion={revision}")).status == 400


async def test_a_limit_with_a_revision_is_exact(world: World) -> None:
    revision = await world.made("a")
    await world.made("b")
    found, _, shown = await page(world, f"limit=5&resourceVersion={revision}")
    assert (found, shown) == (["a"], str(revision))
    assert (await page(world, f"limit=5&resourceVersion={revision}&resourceVersionMatch=NotOlderThan"))[0] == ["a", "b"]
