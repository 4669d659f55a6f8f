"""Entries with a number in the bucket: nothing older is stored over one, and none ends before its object is to be gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.registry import fences
from skerry.api.desired import Batch, DesiredItem, Options
from skerry.desired import owners
from skerry.desired.entry import Entry
from skerry.errors import Conflict
from tests.fixtures.nats import NatsHost
from tests.registry.gate import Gate, opened_gate

OWNER = "budget"
KEY = "m1.budget._.resourcequota.shop.skerry-shop"


def _entry(**options: Any) -> Entry:
    return Entry(cluster="u", owner=OWNER, epoch="e", previous=0, object=msgspec.Raw(b"{}"), options=Options(**options))


@pytest.mark.parametrize(
    ("stored", "fence"),
    [(_entry(fence=4), 5), (_entry(), 1), (_entry(fence=4), None), (None, None)],
    ids=["newer", "first", "no number", "neither"],
)
def test_what_is_newer_is_stored(stored: Entry | None, fence: int | None) -> None:
    fences.check_put(KEY, stored, fence)


@pytest.mark.parametrize(
    ("stored", "fence", "why"),
    [
        (_entry(fence=4), 4, "number 4 already: 4 is not newer"),
        (_entry(fence=4), 3, "number 4 already: 3 is not newer"),
        (None, 5, "signed by an earlier root"),
    ],
)
def test_what_is_not_known_to_be_newer_is_refused(stored: Entry | None, fence: int, why: str) -> None:
    with pytest.raises(Conflict, match=why):
        fences.check_put(KEY, stored, fence)


def test_an_entry_with_a_number_ends_after_its_object() -> None:
    fences.check_withdrawal(KEY, _entry(fence=4, absent=True), fenced=True)
    fences.check_withdrawal(KEY, _entry(), fenced=False)
    for stored in (_entry(fence=4), None):
        with pytest.raises(Conflict, match=r"options\.absent"):
            fences.check_withdrawal(KEY, stored, fenced=True)


# At the gate


@pytest.fixture
async def gate(nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    kinds = {("", "ResourceQuota"): lambda document: ""}
    monkeypatch.setitem(owners.OWNERS, OWNER, owners.Owner(name=OWNER, kinds=kinds, fenced=True))
    async with opened_gate(nats_host) as gate:
        yield gate


async def _put(gate: Gate, pods: int, **options: Any) -> tuple[int, str]:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "skerry-shop", "namespace": "shop"},
        "spec": {"hard": {"pods": str(pods)}},
    }
    change = DesiredItem(member="m1", object=msgspec.Raw(msgspec.json.encode(quota)), options=Options(**options))
    return await _answer(gate, change)


async def _answer(gate: Gate, change: DesiredItem) -> tuple[int, str]:
    answer = await gate.desired.batch(OWNER, Batch(request_id="r", items=(change,)))
    return answer.results[0].code, answer.results[0].message


async def test_the_gate_takes_only_newer_numbers_and_ends_an_entry_after_its_object(gate: Gate) -> None:
    assert await _put(gate, 1, fence=5, namespace_uid="u") == (0, "")
    assert await _put(gate, 1, fence=5, namespace_uid="u") == (0, "")
    for pods, fence in ((2, 5), (1, 4), (9, 1)):
        code, message = await _put(gate, pods, fence=fence, namespace_uid="u")
        assert (code, "has number 5 already" in message) == (409, True)
    withdrawal = DesiredItem(member="m1", key=KEY, withdraw=True)
    assert (await _answer(gate, withdrawal))[0] == 409

    assert await _put(gate, 1, fence=6, namespace_uid="u", absent=True) == (0, "")
    assert (await _answer(gate, withdrawal))[0] == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "have a number in options.fence"),
        ({"fence": 0, "namespace_uid": "u"}, "from 1 to"),
        ({"fence": 2**60, "namespace_uid": "u"}, "from 1 to"),
        ({"fence": 1}, "name the UID of their namespace"),
        ({"fence": 1, "namespace_uid": "u", "keep": True, "absent": True}, "not both"),
    ],
)
async def test_what_an_entry_with_a_number_lacks_is_named(gate: Gate, options: dict[str, Any], why: str) -> None:
    code, message = await _put(gate, 1, **options)

    assert (code, why in message) == (400, True)
