"""What is told of objects that were changed on members and put right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.registry.model import Now
from services.registry.repairs import KEPT, TOLD_S, RepairEvents, text
from skerry.api.desired import Repair
from skerry.controller.controller import After

WALL = 1_000_000.0


class Teller:
    """A registry's Repairs, and what it told."""

    def __init__(self) -> None:
        self.mono, self.leads = 0.0, True
        self.told: list[str] = []
        self.added: list[str] = []
        self.clusters = {"m1", "m2"}
        context: Any = SimpleNamespace(
            informer=SimpleNamespace(get=lambda kind, name: self._item(name)),
            recorder=SimpleNamespace(normal=lambda document, reason, message: self.told.append(message)),
            lease=self,
            controller=lambda name, tell, *, leader: SimpleNamespace(add=self.added.append),
        )
        self.repairs = RepairEvents(context, lambda: Now(self.mono, WALL + self.mono))

    @property
    def held(self) -> bool:
        return self.leads

    def _item(self, name: str) -> Any:
        return SimpleNamespace(document=dict) if name in self.clusters else None

    async def hear(self, *repairs: Repair, name: str = "m1") -> After | None:
        """A report came, and whoever is to be looked at is."""
        self.repairs.reported(name, repairs)
        again = None
        for each in self.added:
            again = await self.repairs.tell(each)
        self.added.clear()
        return again


def repair(name: str, at: float, by: str = "kubectl", member: str = "m1") -> Repair:
    return Repair(key=f"{member}.tenancy._.namespace._.{name}", by=by, last=WALL + at)


async def test_what_is_new_is_told_once_however_often_it_is_reported() -> None:
    teller = Teller()
    for _ in range(3):
        await teller.hear(repair("a", 1.0))
    assert teller.told == ["changed on the cluster and put right: namespace a (by kubectl)"]


async def test_within_ten_minutes_what_happens_is_gathered() -> None:
    teller = Teller()
    await teller.hear(repair("a", 1.0))
    teller.mono = 10.0
    assert await teller.hear(repair("a", 5.0), repair("b", 6.0, by="")) == After(TOLD_S - 10.0)
    assert len(teller.told) == 1
    await teller.hear(repair("a", 1.0, member="m2"), name="m2")
    assert len(teller.told) == 2, "another member's is told"
    teller.mono = TOLD_S
    assert await teller.repairs.tell("m1") is None
    assert teller.told[-1] == "changed on the cluster and put right: namespace b (deleted), namespace a (by kubectl)"
    assert await teller.repairs.tell("m1") is None
    assert len(teller.told) == 3


async def test_what_was_put_right_before_this_process_or_while_another_led_is_not_told_again() -> None:
    teller = Teller()
    await teller.hear(repair("a", -1.0), repair("a", 0.0))
    teller.leads = False
    await teller.hear(repair("a", 1.0))
    teller.leads = True
    await teller.hear(repair("a", 1.0))
    assert teller.told == []
    await teller.hear(repair("a", 2.0))
    assert len(teller.told) == 1


async def test_of_a_member_that_went_nothing_is_told_or_kept() -> None:
    teller = Teller()
    await teller.hear(repair("a", 1.0))
    await teller.hear(repair("a", 2.0))
    teller.clusters.clear()
    assert await teller.repairs.tell("m1") is None
    tables: list[dict[str, Any]] = [teller.repairs._heard, teller.repairs._untold, teller.repairs._told]
    assert not any(tables)


async def test_no_more_is_kept_than_is_told_whatever_a_member_says() -> None:
    teller = Teller()
    await teller.hear(repair("first", 1.0))
    for number in range(3 * KEPT):
        await teller.hear(repair(f"n{number}", 2.0 + number))
    teller.mono = TOLD_S
    await teller.repairs.tell("m1")
    assert teller.told[-1].endswith(f"and {KEPT - 3} more")


@pytest.mark.parametrize(
    ("repairs", "said"),
    [
        (["b"], "namespace b (by kubectl)"),
        (
            ["b", "a", "c", "d"],
            "namespace a (by kubectl), namespace b (by kubectl), namespace c (by kubectl) and 1 more",
        ),
    ],
)
def test_an_event_names_a_few(repairs: list[str], said: str) -> None:
    assert text([repair(name, 1.0) for name in repairs]).endswith(f": {said}")


def test_an_object_in_a_namespace_is_named_with_it() -> None:
    key = "m1.tenancy.rbac=2Eauthorization=2Ek8s=2Eio.rolebinding.shop.skerry=3Aedit"
    assert text([Repair(key=key)]).endswith(": rolebinding shop/skerry:edit (deleted)")
