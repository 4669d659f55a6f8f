"""Whether some replicas find their places on some nodes. Pure.

The scheduler places pod by pod, and moves none of them again. So what could be placed is searched for from the largest
replica on, and then whether the scheduler can miss it: whether there is an order in which one remains without a place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from skerry.access.selection import selects
from skerry.demand import Amounts, add
from skerry.room import fits, shortfall, times
from skerry.scheduling import NodeRoom, PodAffinityTerm, PodRules, TopologySpreadConstraint, repelled, selected

STEPS = 2_000
"""Tries of one search: nine replicas need a fraction of them, unless very little is left nearly everywhere."""

Fit = Literal["certain", "tight", "none"]
"""`certain`: all find a place whatever the scheduler does. `tight`: there are places, which it may miss. `none`: there are not."""


class Replicas(NamedTuple):
    """Pods that are alike and want a place each."""

    name: str
    wanted: int
    requests: Amounts
    rules: PodRules = PodRules()
    labels: Mapping[str, str] = {}


class Placed(NamedTuple):
    """A replica and its node."""

    name: str
    node: str


class Missing(NamedTuple):
    """A replica without a place, the node that is nearest to being one, and what that lacks.

    No node: rules admit none. Nothing lacks: what spreads the replicas, or keeps them apart, is in the way.
    """

    name: str
    node: str
    amounts: Amounts


class Places(NamedTuple):
    """Places for some replicas, and who has none."""

    fit: Fit
    placed: list[Placed]
    missing: list[Missing]


def places(replicas: Sequence[Replicas], nodes: Sequence[NodeRoom]) -> Places:
    """Places for all of them, the largest first; for as many as possible in that order if not for all."""
    search = _Search([each for each in replicas if each.wanted > 0], sorted(nodes, key=lambda node: node.name))
    search.thin()
    placed = search.placed()
    if placed is None:
        placed, without = search.greedy()
        return Places("none" if without else "tight", placed, without)
    return Places("certain" if search.certain() else "tight", placed, [])


_On: TypeAlias = Sequence[Sequence[int]]
"""The kinds of replicas on each node."""


class _Rule(NamedTuple):
    """What spreads replicas of a kind over domains, or keeps them away from some."""

    domains: list[str]
    """Of each node; empty: none."""
    spread: frozenset[str]
    """The domains over which it spreads; empty if it keeps apart."""
    closed: Callable[[_On], set[int]]
    """The nodes on which it allows no further replica."""


class _Kind(NamedTuple):
    replicas: Replicas
    open: list[int]
    """Nodes whose own rules admit it."""
    rules: list[_Rule]


class _Search:
    """Puts replicas on nodes, one by one, and takes them away again."""

    def __init__(self, replicas: Sequence[Replicas], nodes: Sequence[NodeRoom]) -> None:
        total, together = Counter[str](), Amounts()
        for node in nodes:
            total.update(node.left)
        for each in replicas:
            add(together, {name: nano * each.wanted for name, nano in each.requests.items()})
        ordered = sorted(replicas, key=lambda each: times(each.requests, total))
        self._nodes = nodes
        self._kinds = [_kind(each, ordered, nodes) for each in ordered]
        self._left = [dict(node.left) for node in nodes]
        self._on: list[list[int]] = [[] for _ in nodes]
        self._remaining = [each.wanted for each in ordered]
        self._plenty = [fits(together, node.left) for node in nodes]
        self._likeness = [self._traits(number) for number in range(len(nodes))]
        self._admitted = [each.open for each in self._kinds]
        self._steps = 0

    def thin(self) -> None:
        """Forget nodes of which there are more alike than all replicas can make unlike."""
        enough = sum(self._remaining) * (1 + max((len(each.rules) for each in self._kinds), default=0))
        seen, some = Counter[object](), set[int]()
        for node in range(len(self._nodes)):
            alike = self._alike(node)
            seen[alike] += 1
            if seen[alike] <= enough:
                some.add(node)
        self._kinds = [each._replace(open=[node for node in each.open if node in some]) for each in self._kinds]

    def placed(self) -> list[Placed] | None:
        """Places for all; None if there is no way, or none was found in STEPS."""
        self._steps = STEPS
        placed = self._place(set())
        return None if placed is None else [Placed(self._name(kind), self._nodes[node].name) for kind, node in placed]

    def greedy(self) -> tuple[list[Placed], list[Missing]]:
        """Each in turn where there is most room, and those that are left over."""
        placed, without = list[Placed](), list[Missing]()
        for kind, each in enumerate(self._kinds):
            for _ in range(each.replicas.wanted):
                node = next(iter(self._options(kind)), None)
                if node is None:
                    without.append(self._nearest(kind))
                else:
                    self._put(kind, node)
                    placed.append(Placed(each.replicas.name, self._nodes[node].name))
        return placed, without

    def certain(self) -> bool:
        """Whether no order of them, on whichever nodes, leaves one without a place; False too if STEPS do not show it."""
        self._steps = STEPS
        return all(map(self._abundant, range(len(self._kinds)))) or self._never_stuck(set())

    def _place(self, stuck: set[tuple[tuple[int, ...], ...]]) -> list[tuple[int, int]] | None:
        """In any order: what spreads over domains counts who is there already."""
        waiting = [kind for kind, count in enumerate(self._remaining) if count]
        if not waiting:
            return []
        state = tuple(map(tuple, self._on))
        if state in stuck:
            return None
        for kind in waiting:
            for node in self._options(kind):
                self._steps -= 1
                if self._steps < 0:
                    return None
                self._put(kind, node)
                rest = self._place(stuck)
                self._take(kind, node)
                if rest is not None:
                    return [(kind, node), *rest]
        stuck.add(state)
        return None

    def _never_stuck(self, known: set[tuple[tuple[int, ...], ...]]) -> bool:
        state = tuple(map(tuple, self._on))
        if state in known:
            return True
        self._steps -= 1
        options = {kind: self._options(kind) for kind, count in enumerate(self._remaining) if count}
        if self._steps < 0 or not all(options.values()):
            return False
        for kind, nodes in options.items():
            for node in nodes:
                self._put(kind, node)
                goes_on = self._never_stuck(known)
                self._take(kind, node)
                if not goes_on:
                    return False
        known.add(state)
        return True

    def _abundant(self, kind: int) -> bool:
        """So many nodes have room for it that all others together cannot close them.

        Each of them fills one node, if not one that has room for all together, and by a rule closes one domain. What spreads
        closes none of those that have fewest.
        """
        each, others = self._kinds[kind], sum(self._remaining) - 1
        room = [node for node in self._admitted[kind] if fits(each.replicas.requests, self._left[node])]
        closed = sum(
            sum(sorted(Counter(rule.domains[node] for node in room).values(), reverse=True)[:others])
            for rule in each.rules
        )
        if len(room) > others + closed:
            return True
        plenty = [node for node in room if self._plenty[node]]
        if not each.rules:
            return bool(plenty)
        if len(each.rules) > 1 or not each.rules[0].spread:
            return False
        domains, roomy = each.rules[0].domains, {each.rules[0].domains[node] for node in plenty}
        by_domain = Counter(domains[node] for node in room)
        return all(by_domain[name] > others or name in roomy for name in each.rules[0].spread)

    def _options(self, kind: int) -> list[int]:
        """Nodes for one more, the roomiest first; one of those between which nothing can tell."""
        needs = self._kinds[kind].replicas.requests
        closed = set[int]().union(*(rule.closed(self._on) for rule in self._kinds[kind].rules))
        unlike: dict[object, int] = {}
        for node in sorted(self._kinds[kind].open, key=lambda node: -times(needs, self._left[node])):
            if node not in closed and fits(needs, self._left[node]):
                unlike.setdefault(self._alike(node), node)
        return list(unlike.values())

    def _alike(self, node: int) -> object:
        """The same of nodes between which nothing can tell, now and later."""
        left = () if self._plenty[node] else tuple(self._left[node].items())
        return self._likeness[node], tuple(self._on[node]), left

    def _nearest(self, kind: int) -> Missing:
        replicas = self._kinds[kind].replicas
        node = max(self._kinds[kind].open, key=lambda node: times(replicas.requests, self._left[node]), default=None)
        if node is None:
            return Missing(replicas.name, "", {})
        return Missing(replicas.name, self._nodes[node].name, shortfall(replicas.requests, self._left[node]))

    def _put(self, kind: int, node: int) -> None:
        self._remaining[kind] -= 1
        self._on[node].append(kind)
        self._on[node].sort()
        self._ask(kind, node, 1)

    def _take(self, kind: int, node: int) -> None:
        self._remaining[kind] += 1
        self._on[node].remove(kind)
        self._ask(kind, node, -1)

    def _ask(self, kind: int, node: int, sign: int) -> None:
        for name, nano in self._kinds[kind].replicas.requests.items():
            self._left[node][name] = self._left[node].get(name, 0) - sign * nano

    def _name(self, kind: int) -> str:
        return self._kinds[kind].replicas.name

    def _traits(self, node: int) -> tuple[object, ...]:
        """What rules see of a node: who may be there, and domains that others are in too."""
        domains = [rule.domains for each in self._kinds for rule in each.rules]
        shared = tuple(each[node] if each.count(each[node]) > 1 else "" for each in domains)
        return tuple(node in each.open for each in self._kinds), shared


def _kind(replicas: Replicas, kinds: Sequence[Replicas], nodes: Sequence[NodeRoom]) -> _Kind:
    tests = selected(replicas.rules), repelled(replicas.rules)
    spreads = [each for each in replicas.rules.topology_spread_constraints if each.hard]
    return _Kind(
        replicas,
        [number for number, node in enumerate(nodes) if not any(test(node) for test in tests)],
        [_spread(replicas, each, kinds, nodes) for each in spreads]
        + [_apart(replicas, each, term, kinds, nodes) for each in kinds for term in each.rules.apart_from],
    )


def _domains(key: str, nodes: Sequence[NodeRoom]) -> list[str]:
    """The domain of each node; empty: none."""
    return [node.labels.get(key, "") for node in nodes]


def _spread(
    replicas: Replicas, constraint: TopologySpreadConstraint, kinds: Sequence[Replicas], nodes: Sequence[NodeRoom]
) -> _Rule:
    """One more may not make a domain have more than `max_skew` beyond the one that has fewest."""
    counts_there = selects(constraint.label_selector) if constraint.label_selector else lambda labels: False
    counted = [counts_there(each.labels) for each in kinds]
    own = int(counts_there(replicas.labels))
    domains = _domains(constraint.topology_key, nodes)
    tests = [
        *([selected(replicas.rules)] if constraint.node_affinity_policy == "Honor" else ()),
        *([repelled(replicas.rules)] if constraint.node_taints_policy == "Honor" else ()),
    ]
    eligible = [bool(domains[n]) and not any(test(node) for test in tests) for n, node in enumerate(nodes)]
    known = {domains[n] for n, is_eligible in enumerate(eligible) if is_eligible}

    def closed(on: _On) -> set[int]:
        numbers = dict.fromkeys(known, 0)
        for node, there in enumerate(on):
            if eligible[node]:
                numbers[domains[node]] += sum(counted[kind] for kind in there)
        fewest = min(numbers.values(), default=0) if len(known) >= constraint.min_domains else 0
        full = {name for name, number in numbers.items() if number + own - fewest > constraint.max_skew}
        return {node for node, name in enumerate(domains) if name not in known or name in full}

    enough = len(known) >= constraint.min_domains
    return _Rule(domains, frozenset(known if enough else ()), closed)


def _apart(
    replicas: Replicas, owner: Replicas, term: PodAffinityTerm, kinds: Sequence[Replicas], nodes: Sequence[NodeRoom]
) -> _Rule:
    """What a term of `owner` closes for `replicas`: domains of pods that it selects, and its own for pods so selected."""
    selects_it = selects(term.label_selector) if term.label_selector else lambda labels: False
    others = {each.name for each in kinds if owner is replicas and selects_it(each.labels)}
    if selects_it(replicas.labels):
        others.add(owner.name)
    domains = _domains(term.topology_key, nodes)

    def closed(on: _On) -> set[int]:
        taken = {domains[node] for node, there in enumerate(on) if any(kinds[kind].name in others for kind in there)}
        return {node for node, name in enumerate(domains) if name and name in taken}

    return _Rule(domains, frozenset(), closed)
