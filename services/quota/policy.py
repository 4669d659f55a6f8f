"""How much of a quota each namespace is to have: the shares of one resource, from what is used and what is refused. Pure.

A namespace needs what is in use and what was refused; it wants a headroom beyond that. While there is enough for all, each has what
it wants and the rest stays with nobody, so that whoever grows needs no donor. When there is not, needs come before wants, and
among equals the weights of the clusters decide, unit by unit (D'Hondt's divisors: a larger total takes from nobody). What a
cluster is promised as a minimum lies there also while it idles.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from services.quota.model import LeaseKey

EXCESS = Fraction(3, 2)
"""A lease that has more than so many times what its namespace wanted of late gives the rest back, though nobody needs it."""
_MIB = 2**20 * 1000
_UNITS = {"cpu": 100, "memory": 64 * _MIB, "storage": 64 * _MIB, "ephemeral-storage": 64 * _MIB}


class ClusterShare(NamedTuple):
    """What a quota says of one cluster, for one resource; thousandths."""

    least: int = 0
    most: int | None = None
    weight: int = 1


class Demand(NamedTuple):
    """One namespace, one resource; amounts in thousandths."""

    key: LeaseKey
    used: int = 0
    refused: int = 0
    """What the owners ask in vain that were refused less than 2 min ago."""
    peak: int = 0
    """The most that was used and refused together in the last 10 min."""
    asked: int = 0
    granted: int = 0
    """With its debt."""
    foreign: int | None = None
    """What quotas of others in the namespace let in at most."""
    gives: bool = True
    """The member is heard and takes changes: nothing comes back from others."""
    idle: bool = False
    """It has had too much for a minute."""

    @property
    def need(self) -> int:
        return self.used + self.refused


def unit(resource: str) -> int:
    """The steps in which a resource is lent; thousandths."""
    return _UNITS.get(resource.rpartition("requests.")[2].rpartition("limits.")[2], 1000)


def want(need: int, headroom: int, step: int) -> int:
    """A need with so many per cent beyond it, in whole steps."""
    return _up(need + -(-need * headroom // 100), step)


def is_excessive(demand: Demand, headroom: int, step: int) -> bool:
    """True if a namespace has had more than it wanted at its peak by half."""
    return demand.asked > EXCESS * want(max(demand.peak, demand.need), headroom, step)


def shares(
    demands: Iterable[Demand], total: int, clusters: Mapping[str, ClusterShare], headroom: int, step: int
) -> dict[LeaseKey, int]:
    """What each is to have in the end: at most `total` in all, and of each cluster's maximum."""
    rows = sorted(demands)
    caps = {row.key: row.foreign // step * step for row in rows if row.foreign is not None}
    needs = {row.key: _least(_up(row.need, step), caps.get(row.key)) for row in rows}
    wants = {row.key: _least(want(row.need, headroom, step), caps.get(row.key)) for row in rows}
    weights = {row.key: clusters.get(row.key.cluster, ClusterShare()).weight for row in rows}
    have = dict.fromkeys(needs, 0)
    for name in dict.fromkeys(key.cluster for key in have):
        least = clusters.get(name, ClusterShare()).least
        for level in (needs, wants, {key: caps.get(key, least) for key in have}):
            _fill(have, _on(name, level), weights, least, step)
    for level in (needs, wants):
        _fill(have, _inside_maxima(have, level, total, clusters, step), weights, total, step)
    return have


def _inside_maxima(
    have: Mapping[LeaseKey, int],
    goals: Mapping[LeaseKey, int],
    total: int,
    clusters: Mapping[str, ClusterShare],
    step: int,
) -> dict[LeaseKey, int]:
    """How much of their goals namespaces can have beside the others of their cluster."""
    weights, allowed = dict.fromkeys(have, 1), dict(have)
    for name in dict.fromkeys(key.cluster for key in have):
        most = clusters.get(name, ClusterShare()).most
        _fill(allowed, _on(name, goals), weights, max(total, sum(goals.values())) if most is None else most, step)
    return allowed


def _on(cluster: str, amounts: Mapping[LeaseKey, int]) -> dict[LeaseKey, int]:
    return {key: amount for key, amount in amounts.items() if key.cluster == cluster}


def asks(
    demands: Iterable[Demand], total: int, clusters: Mapping[str, ClusterShare], headroom: int, step: int
) -> dict[LeaseKey, int]:
    """What to ask for now, of those for whom it changes: growth as far as what is free at this moment reaches; for the rest of it those
    with the most beyond their shares give back; and so does who has idled for long with too much.
    """
    rows = sorted(demands)
    goal = shares(rows, total, clusters, headroom, step)
    growing = {row.key: max(goal[row.key], row.granted) for row in rows}
    now = {row.key: row.granted for row in rows}
    weights = {row.key: clusters.get(row.key.cluster, ClusterShare()).weight for row in rows}
    _fill(now, _inside_maxima(now, growing, total, clusters, step), weights, total, step)
    growth = {row.key: min(goal[row.key], now[row.key]) for row in rows}
    back = _given_back(rows, goal, growing, total, clusters, step)
    changes = {}
    for row in rows:
        amount = max(row.asked, growth[row.key]) - back.get(row.key, 0)
        if row.gives and row.idle and is_excessive(row, headroom, step):
            amount = min(amount, max(goal[row.key], want(max(row.peak, row.need), headroom, step)))
        if amount != row.asked:
            changes[row.key] = amount
    return changes


def _given_back(
    rows: list[Demand],
    goal: Mapping[LeaseKey, int],
    growing: Mapping[LeaseKey, int],
    total: int,
    clusters: Mapping[str, ClusterShare],
    step: int,
) -> dict[LeaseKey, int]:
    """How much each gives back of what it was asked to have, so that all can have their shares inside the maxima and the total."""
    back = dict.fromkeys(goal, 0)
    caps = [(name, clusters[name].most) for name in dict.fromkeys(row.key.cluster for row in rows) if name in clusters]
    for name, most in (*caps, ("", total)):
        if most is None:
            continue
        here = [row for row in rows if row.gives and name in ("", row.key.cluster)]
        returning = sum(max(0, row.granted - max(row.asked - back[row.key], row.used)) for row in here)
        short = sum(amount for key, amount in growing.items() if name in ("", key.cluster)) - most - returning
        for row in sorted(here, key=lambda row: (goal[row.key] - row.asked, row.key)):
            part = min(row.asked - goal[row.key] - back[row.key], _up(short, step))
            if part > 0:
                back[row.key] += part
                short -= part
    return back


def _fill(
    have: dict[LeaseKey, int], goals: Mapping[LeaseKey, int], weights: Mapping[LeaseKey, int], total: int, step: int
) -> None:
    """Give out steps to those below their goals, until all of `goals` together have `total`; the next always goes to whom it leaves
    with the least for its weight.
    """
    left = (total - sum(have[key] for key in goals)) // step
    open_ = {key: (goal - have[key]) // step for key, goal in goals.items() if goal - have[key] >= step}
    if left <= 0 or not open_:
        return
    if sum(open_.values()) <= left:
        for key, steps in open_.items():
            have[key] += steps * step
        return
    level = _level({key: (have[key] // step, weights[key], steps) for key, steps in open_.items()}, left)
    for key in open_:
        steps = min(open_[key], max(0, int(level * weights[key]) - have[key] // step))
        have[key] += steps * step
        open_[key] -= steps
        left -= steps
    heap = [(Fraction(have[key] // step + 1, weights[key]), key) for key, steps in open_.items() if steps]
    heapq.heapify(heap)
    while left > 0:
        _, key = heapq.heappop(heap)
        have[key] += step
        open_[key] -= 1
        left -= 1
        if open_[key]:
            heapq.heappush(heap, (Fraction(have[key] // step + 1, weights[key]), key))


def _level(rows: Mapping[LeaseKey, tuple[int, int, int]], left: int) -> Fraction:
    """How much for each weight all may have, so that those below it and their goals get `left` in all, were steps divisible; rows are
    (what it has, its weight, what it still may get), in steps.
    """
    marks = iter(
        sorted(
            mark
            for had, weight, steps in rows.values()
            for mark in ((Fraction(had, weight), weight), (Fraction(had + steps, weight), -weight))
        )
    )
    (level, rate), (mark, change), given = next(marks), next(marks), Fraction(0)
    while given + rate * (mark - level) < left:
        given += rate * (mark - level)
        level, rate = mark, rate + change
        mark, change = next(marks)
    return level + (left - given) / rate


def _up(amount: int, step: int) -> int:
    return -(-amount // step) * step


def _least(amount: int, cap: int | None) -> int:
    return amount if cap is None else min(amount, cap)
