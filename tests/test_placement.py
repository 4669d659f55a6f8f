"""Places for replicas: beside trying everything, and beside what the scheduler can do wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.grants import LabelSelector
from skerry.placement import Missing, Placed, Replicas, places
from skerry.room import fits
from skerry.scheduling import (
    Affinity,
    NodeRoom,
    PodAffinity,
    PodAffinityTerm,
    PodRules,
    Taint,
    TopologySpreadConstraint,
)

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
OURS = {"app": "ours"}


def node(name: str, cpu: int, zone: str = "", *taints: Taint) -> NodeRoom:
    labels = {HOST: name, **({ZONE: zone} if zone else {})}
    return NodeRoom(name, labels, taints, True, {"cpu": cpu})


def spread(key: str, skew: int = 1, **more: object) -> PodRules:
    selector = LabelSelector(match_labels=OURS)
    constraint = TopologySpreadConstraint(
        max_skew=skew, topology_key=key, when_unsatisfiable="DoNotSchedule", label_selector=selector, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return PodRules(topology_spread_constraints=[constraint])


def apart(key: str) -> PodRules:
    term = PodAffinityTerm(topology_key=key, label_selector=LabelSelector(match_labels=OURS))
    anti = PodAffinity(required_during_scheduling_ignored_during_execution=[term])
    return PodRules(affinity=Affinity(pod_anti_affinity=anti))


def test_all_find_a_place_whatever_the_scheduler_does() -> None:
    result = places([Replicas("tower", 2, {"cpu": 1})], [node("a", 4), node("b", 4)])
    assert (result.fit, result.missing) == ("certain", [])
    assert [each.name for each in result.placed] == ["tower", "tower"]


def test_the_largest_comes_first() -> None:
    small, large = Replicas("small", 2, {"cpu": 1}), Replicas("large", 1, {"cpu": 3})
    result = places([small, large], [node("a", 3), node("b", 2)])
    assert result.placed == [Placed("large", "a"), Placed("small", "b"), Placed("small", "b")]


def test_what_the_scheduler_may_miss_is_said() -> None:
    """A small one on the large node, and the large one has none."""
    small, large = Replicas("small", 1, {"cpu": 1}), Replicas("large", 1, {"cpu": 3})
    assert places([small, large], [node("a", 3), node("b", 2)]).fit == "tight"


def test_who_has_no_place_is_told_the_nearest_node_and_what_it_lacks() -> None:
    result = places([Replicas("tower", 2, {"cpu": 3})], [node("a", 4), node("b", 2)])
    assert result.fit == "none"
    assert result.placed == [Placed("tower", "a")]
    assert result.missing == [Missing("tower", "b", {"cpu": 1})]


def test_without_a_node_there_is_none_that_is_near() -> None:
    full = node("a", 9, "", Taint("gpu", "", "NoSchedule"))
    assert places([Replicas("tower", 1, {"cpu": 1})], [full]).missing == [Missing("tower", "", {})]
    assert places([Replicas("tower", 1, {"cpu": 1})], []).missing == [Missing("tower", "", {})]


def test_nothing_is_always_placed() -> None:
    assert places([Replicas("tower", 0, {"cpu": 1})], []).fit == "certain"


@pytest.mark.parametrize("rules", [spread(HOST), apart(HOST)], ids=["spread", "apart"])
def test_three_want_three_hosts(rules: PodRules) -> None:
    nats = Replicas("nats", 3, {"cpu": 1}, rules, OURS)
    assert places([nats], [node("a", 9), node("b", 9), node("c", 9)]).fit == "certain"
    assert places([nats], [node(str(number), 9) for number in range(900)]).fit == "certain"


def test_replicas_that_stay_apart_leave_one_over() -> None:
    result = places([Replicas("nats", 3, {"cpu": 1}, apart(HOST), OURS)], [node("a", 9), node("b", 9)])
    assert result.fit == "none"
    assert [(each.name, each.amounts) for each in result.missing] == [("nats", {})]


def test_replicas_that_are_spread_return_to_the_first_host() -> None:
    result = places([Replicas("nats", 3, {"cpu": 1}, spread(HOST), OURS)], [node("a", 9), node("b", 9)])
    assert sorted(each.node for each in result.placed) in (["a", "a", "b"], ["a", "b", "b"])


def test_a_full_host_counts_as_one_that_has_fewest() -> None:
    nats = Replicas("nats", 2, {"cpu": 1}, spread(HOST), OURS)
    assert places([nats], [node("a", 9), node("b", 0)]).fit == "none"


def test_a_host_whose_taint_is_not_tolerated_counts_unless_it_is_said_that_it_does_not() -> None:
    nodes = [node("a", 9), node("b", 9, "", Taint("gpu", "", "NoSchedule"))]
    assert places([Replicas("nats", 2, {"cpu": 1}, spread(HOST), OURS)], nodes).fit == "none"
    honored = spread(HOST, node_taints_policy="Honor")
    assert places([Replicas("nats", 2, {"cpu": 1}, honored, OURS)], nodes).fit == "certain"


def test_fewer_domains_than_asked_for_count_as_empty_ones() -> None:
    nats = Replicas("nats", 2, {"cpu": 1}, spread(ZONE, min_domains=3), OURS)
    assert places([nats], [node("a", 9, "x")]).fit == "none"
    assert places([nats], [node("a", 9, "x"), node("b", 9, "y")]).fit == "certain"


def test_nodes_without_the_label_are_no_place() -> None:
    assert places([Replicas("nats", 1, {"cpu": 1}, spread(ZONE), OURS)], [node("a", 9)]).fit == "none"


def test_a_constraint_whose_selector_means_others_counts_none_of_ours() -> None:
    assert (
        places([Replicas("nats", 4, {"cpu": 1}, spread(HOST), {"app": "else"})], [node("a", 9), node("b", 0)]).fit
        == "certain"
    )


def test_a_soft_constraint_is_never_in_the_way() -> None:
    soft = TopologySpreadConstraint(max_skew=1, topology_key=HOST, when_unsatisfiable="ScheduleAnyway")
    rules = PodRules(topology_spread_constraints=[soft])
    assert places([Replicas("nats", 4, {"cpu": 1}, rules, OURS)], [node("a", 9), node("b", 0)]).fit == "certain"


def test_one_that_stays_away_keeps_others_away_too() -> None:
    shy, ours = Replicas("shy", 1, {"cpu": 2}, apart(HOST), {}), Replicas("ours", 2, {"cpu": 1}, PodRules(), OURS)
    result = places([shy, ours], [node("a", 9), node("b", 9)])
    homes = {each.name: each.node for each in result.placed}
    assert homes["shy"] != homes["ours"]
    assert result.fit == "tight"  # ours on both, and the shy one has none
    assert places([shy, ours], [node("a", 9)]).fit == "none"


def test_zones_of_a_large_cluster_are_searched_soon() -> None:
    nats = Replicas("nats", 3, {"cpu": 2}, spread(ZONE), OURS)
    towers = Replicas("tower", 6, {"cpu": 1})
    nodes = [node(f"n{number}", 9 + number % 7 * 10, "xyz"[number % 3]) for number in range(900)]
    assert places([nats, towers], nodes).fit == "certain"


@pytest.mark.parametrize(("number", "cpu"), [(5, 50), (10, 50), (1000, 50), (1000, 3)])
def test_many_replicas_on_nodes_with_plenty_of_room_are_certain(number: int, cpu: int) -> None:
    nats = Replicas("nats", 5, {"cpu": 2}, spread(HOST), {"app": "nats"})
    others = [Replicas(name, 20, {"cpu": 1}) for name in ("tower", "controller-manager")]
    assert places([nats, *others], [node(f"n{n}", cpu) for n in range(number)]).fit == "certain"


def test_a_search_that_is_too_long_ends_without_a_promise() -> None:
    kinds = [Replicas(f"k{number}", 1, {"cpu": 10 + number}) for number in range(9)]
    nodes = [node(f"n{number}", 20 + number) for number in range(7)]
    assert places(kinds, nodes).fit in {"tight", "none"}


# Beside trying everything

amounts = st.integers(1, 4)
some_nodes = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 4, 5, 20]), st.sampled_from(["x", "y"])), min_size=1, max_size=3
)
some_rules = st.sampled_from([PodRules(), spread(HOST), spread(ZONE), spread(ZONE, 2), apart(HOST), apart(ZONE)])
some_kinds = st.lists(st.tuples(st.integers(1, 2), amounts, some_rules), min_size=1, max_size=2)


@given(some_nodes, some_kinds)
def test_it_is_what_trying_everything_finds(
    sizes: list[tuple[int, str]], wanted: list[tuple[int, int, PodRules]]
) -> None:
    nodes = [node(f"n{number}", cpu, zone) for number, (cpu, zone) in enumerate(sizes)]
    kinds = [
        Replicas(f"k{number}", count, {"cpu": cpu}, rules, OURS) for number, (count, cpu, rules) in enumerate(wanted)
    ]
    result = places(kinds, nodes)
    ends = outcomes(kinds, nodes)
    if result.fit == "certain":
        assert ends == {True}
    elif result.fit == "none":
        assert ends == {False}
        assert len(result.placed) + len(result.missing) == sum(each.wanted for each in kinds)
    else:
        assert ends == {True, False}


def outcomes(kinds: Sequence[Replicas], nodes: Sequence[NodeRoom]) -> set[bool]:
    """Whether all have a place at the end: of each order, and each choice."""
    ends = set[bool]()
    seen = set[frozenset[tuple[int, int, int]]]()

    def go(on: dict[tuple[int, int], int]) -> None:
        state = frozenset((kind, place, number) for (kind, place), number in on.items())
        if state in seen:
            return
        seen.add(state)
        waiting = [
            kind
            for kind, each in enumerate(kinds)
            if sum(on.get((kind, n), 0) for n in range(len(nodes))) < each.wanted
        ]
        if not waiting:
            ends.add(True)
        for kind in waiting:
            choices = [place for place in range(len(nodes)) if admits(kinds, nodes, on, kind, place)]
            if not choices:
                ends.add(False)
            for place in choices:
                go({**on, (kind, place): on.get((kind, place), 0) + 1})

    go({})
    return ends


def admits(
    kinds: Sequence[Replicas], nodes: Sequence[NodeRoom], on: Mapping[tuple[int, int], int], kind: int, place: int
) -> bool:
    """The rules word by word: all replicas have the labels that all selectors mean."""
    used = sum(number * kinds[k].requests["cpu"] for (k, n), number in on.items() if n == place)
    if not fits(kinds[kind].requests, {"cpu": nodes[place].left["cpu"] - used}):
        return False
    for each in kinds[kind].rules.topology_spread_constraints:
        numbers = dict.fromkeys((at.labels[each.topology_key] for at in nodes), 0)
        for (_, n), number in on.items():
            numbers[nodes[n].labels[each.topology_key]] += number
        if numbers[nodes[place].labels[each.topology_key]] + 1 - min(numbers.values()) > each.max_skew:
            return False
    for owner, n in product(range(len(kinds)), range(len(nodes))):
        for term in kinds[owner].rules.apart_from:
            same = nodes[n].labels[term.topology_key] == nodes[place].labels[term.topology_key]
            if same and (
                on.get((owner, n), 0) or (owner == kind and any(on.get((k, n), 0) for k in range(len(kinds))))
            ):
                return False
    return True


def test_ways_that_end_alike_are_gone_once() -> None:
    """Two kinds between which only their size tells, and one that has no place anywhere."""
    kinds = [Replicas("a", 2, {"cpu": 1}), Replicas("b", 2, {"cpu": 2}), Replicas("c", 1, {"cpu": 3})]
    assert places(kinds, [node("n1", 4), node("n2", 4)]).fit == "none"
