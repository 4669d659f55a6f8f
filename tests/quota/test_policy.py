"""Shares: what is promised is kept, needs come first, weights decide among equals, and nothing swings."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quota.model import LeaseKey
from services.quota.policy import ClusterShare, Demand, asks, is_excessive, shares, unit, want

STEP = 100
A, B, C = LeaseKey("m1", "web"), LeaseKey("m2", "web"), LeaseKey("m2", "batch")


@pytest.mark.parametrize(
    ("resource", "step"),
    [
        ("cpu", 100),
        ("requests.cpu", 100),
        ("limits.cpu", 100),
        ("requests.memory", 64 * 2**20 * 1000),
        ("requests.storage", 64 * 2**20 * 1000),
        ("requests.ephemeral-storage", 64 * 2**20 * 1000),
        ("pods", 1000),
        ("requests.nvidia.com/gpu", 1000),
        ("count/jobs.batch", 1000),
    ],
)
def test_steps(resource: str, step: int) -> None:
    assert unit(resource) == step


def test_want_is_the_need_and_its_headroom_in_whole_steps() -> None:
    assert want(1000, 25, 100) == 1300
    assert want(0, 25, 100) == 0
    assert want(1, 0, 100) == 100


def test_while_there_is_enough_each_has_what_it_wants_and_the_rest_stays() -> None:
    assert shares([Demand(A, used=1000), Demand(B, refused=400)], 10_000, {}, 25, STEP) == {A: 1300, B: 500}


def test_needs_come_before_wants() -> None:
    assert shares([Demand(A, used=2000), Demand(B, used=1000)], 3200, {}, 100, STEP) == {A: 2000, B: 1200}


def test_weights_decide_among_equals() -> None:
    clusters = {"m1": ClusterShare(weight=3)}

    assert shares([Demand(A, used=9000), Demand(B, used=9000)], 4000, clusters, 0, STEP) == {A: 3000, B: 1000}


def test_a_cluster_keeps_its_minimum_also_while_it_idles_and_never_has_more_than_its_maximum() -> None:
    clusters = {"m1": ClusterShare(least=1000), "m2": ClusterShare(most=1500)}

    assert shares([Demand(A), Demand(B, used=9000), Demand(C, used=200)], 8000, clusters, 0, STEP) == {
        A: 1000,
        B: 1300,
        C: 200,
    }


def test_nobody_gets_what_a_quota_of_others_keeps_out_anyway() -> None:
    demands = [Demand(A, used=500, refused=5000, foreign=850), Demand(B, used=3000)]

    assert shares(demands, 4000, {"m1": ClusterShare(least=1000)}, 0, STEP) == {A: 800, B: 3000}


def test_growth_takes_what_is_free_at_once_and_donors_give_the_rest() -> None:
    demands = [
        Demand(A, used=500, asked=3000, granted=3000, peak=500),
        Demand(B, used=500, refused=2000, asked=500, granted=500),
    ]

    assert asks(demands, 4000, {}, 0, STEP) == {A: 1500, B: 1000}


def test_who_is_cut_off_gives_nothing() -> None:
    demands = [
        Demand(A, asked=3000, granted=3000, gives=False),
        Demand(B, refused=4000, asked=500, granted=500),
    ]

    assert asks(demands, 4000, {}, 0, STEP) == {B: 1000}


def test_what_was_asked_back_and_is_not_proven_is_not_lent() -> None:
    demands = [Demand(A, asked=0, granted=3000), Demand(B, refused=4000, asked=500, granted=500)]

    assert asks(demands, 4000, {}, 0, STEP) == {B: 1000}


def test_a_cluster_grows_to_its_maximum_only() -> None:
    demands = [Demand(B, refused=4000), Demand(C, asked=1000, granted=1000, used=1000)]

    assert asks(demands, 9000, {"m2": ClusterShare(most=1500)}, 0, STEP) == {B: 500, C: 800}


def test_nothing_is_given_back_while_nobody_is_short_but_what_idled_for_long() -> None:
    idle = Demand(A, used=100, peak=400, asked=3000, granted=3000, idle=True)

    assert is_excessive(idle, 0, STEP)
    assert asks([idle], 4000, {}, 0, STEP) == {A: 400}
    assert asks([idle._replace(idle=False)], 4000, {}, 0, STEP) == {}
    assert asks([idle._replace(peak=2500)], 4000, {}, 0, STEP) == {}


def test_more_in_use_than_the_total_may_not_come_back_once_it_has_ended() -> None:
    demands = [Demand(A, used=5000, asked=5000, granted=5000), Demand(B, refused=1000)]

    assert asks(demands, 4000, {}, 0, STEP) == {A: 3000}


def test_whom_the_maximum_of_a_cluster_keeps_from_growing_is_given_to_by_others_there() -> None:
    clusters = {"m2": ClusterShare(most=2000)}
    demands = [Demand(A, asked=3000, granted=3000), Demand(B, asked=2000, granted=2000), Demand(C, refused=500)]

    assert asks(demands, 9000, clusters, 0, STEP) == {B: 1500}


def test_those_with_the_most_beyond_their_shares_give_first() -> None:
    demands = [
        Demand(A, asked=1000, granted=1000),
        Demand(B, asked=3000, granted=3000),
        Demand(C, refused=3500),
    ]

    assert asks(demands, 4000, {}, 0, STEP) == {A: 500, B: 0}


# Properties


class Case(NamedTuple):
    demands: list[Demand]
    total: int
    clusters: dict[str, ClusterShare]
    headroom: int


@st.composite
def cases(draw: Any) -> Case:
    keys = [LeaseKey(cluster, namespace) for cluster in ("m1", "m2", "m3") for namespace in ("a", "b")]
    amount = st.integers(0, 6000)
    used = draw(st.lists(st.tuples(amount, amount, st.none() | amount), min_size=1, max_size=len(keys)))
    demands = [Demand(key, used=row[0], refused=row[1], foreign=row[2]) for key, row in zip(keys, used, strict=False)]
    clusters = {}
    for name in ("m1", "m2"):
        least = draw(st.integers(0, 10)) * STEP
        most = draw(st.none() | st.integers(least // STEP, 80).map(lambda steps: steps * STEP))
        clusters[name] = ClusterShare(least, most, draw(st.integers(1, 5)))
    least = sum(each.least for each in clusters.values())
    return Case(demands, draw(st.integers(least, 30_000)), clusters, draw(st.sampled_from((0, 25, 100))))


def _shares(case: Case, total: int | None = None) -> dict[LeaseKey, int]:
    return shares(case.demands, case.total if total is None else total, case.clusters, case.headroom, STEP)


@given(cases())
def test_total_maxima_and_minima_are_kept(case: Case) -> None:
    given_ = _shares(case)

    assert sum(given_.values()) <= case.total
    for name, share in case.clusters.items():
        here = [each for each in case.demands if each.key.cluster == name]
        has = sum(given_[each.key] for each in here)
        assert share.most is None or has <= share.most
        reach = sum(share.least if each.foreign is None else each.foreign // STEP * STEP for each in here)
        assert has >= min(share.least, reach)


@given(cases(), st.integers(0, 5000))
def test_a_larger_total_takes_from_nobody(case: Case, more: int) -> None:
    before, after = _shares(case), _shares(case, case.total + more)

    assert all(after[key] >= amount for key, amount in before.items())


@given(cases())
def test_nothing_is_kept_back_that_somebody_wants(case: Case) -> None:
    given_ = _shares(case)
    if case.total - sum(given_.values()) < STEP:
        return
    for row in case.demands:
        share = case.clusters.get(row.key.cluster, ClusterShare())
        here = sum(amount for key, amount in given_.items() if key.cluster == row.key.cluster)
        wanted = want(row.need, case.headroom, STEP)
        if row.foreign is not None:
            wanted = min(wanted, row.foreign // STEP * STEP)
        assert given_[row.key] >= wanted or (share.most is not None and share.most - here < STEP)


@given(cases())
def test_under_constant_demand_it_comes_to_rest(case: Case) -> None:
    """Members prove each shrink a round later; after a few rounds nothing is asked for any more."""
    rows = case.demands
    for _ in range(6):
        changes = asks(rows, case.total, case.clusters, case.headroom, STEP)
        rows = [_after(row, changes.get(row.key, row.asked)) for row in rows]
        assert sum(row.granted for row in rows) <= max(case.total, sum(row.used for row in case.demands))
    assert asks(rows, case.total, case.clusters, case.headroom, STEP) == {}


def _after(row: Demand, amount: int) -> Demand:
    """A round later: growth counts at once; what shrank is proven, but for what is in use."""
    granted = max(row.granted, amount) if amount > row.asked else max(amount, min(row.used, row.granted))
    return row._replace(asked=amount, granted=granted)
