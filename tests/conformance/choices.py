"""How generated requests choose: a few primitives over hypothesis, made so that each draw is cheap.

Making a strategy costs a hundred times what drawing from it does, so the few that there are are kept.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")
Keyed = TypeVar("Keyed", bound="HasKey")


class HasKey(Protocol):
    """What can be told apart."""

    @property
    def key(self) -> object: ...


@functools.cache
def _below(bound: int) -> st.SearchStrategy[int]:
    return st.sampled_from(range(bound))


def upto(draw: st.DrawFn, last: int) -> int:
    """A number from 0 to `last`."""
    return draw(_below(last + 1))


def pick(draw: st.DrawFn, items: Sequence[T]) -> T:
    """One of them."""
    return items[draw(_below(len(items)))]


def some(draw: st.DrawFn, items: Sequence[T], most: int, least: int = 0) -> list[T]:
    """From `least` to `most` of them, in any order; one may come twice."""
    return [pick(draw, items) for _ in range(least + upto(draw, most - least))]


_AT_A_TIME = 10
"""Beyond so many, hypothesis makes most examples by changing the last one a little."""


def drawn(strategy: st.SearchStrategy[Keyed], count: int, number: int) -> list[Keyed]:
    """`count` distinct values of the seed `number`."""
    found: dict[object, Keyed] = {}

    @settings(
        max_examples=_AT_A_TIME,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Keyed) -> None:
        found.setdefault(value.key, value)

    for run in itertools.count(number * 1_000_003):
        if len(found) >= count:
            break
        seed(run)(collect)()
    return list(found.values())[:count]
