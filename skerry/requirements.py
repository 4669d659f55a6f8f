"""What Skerry asks of clusters: versions that are tested, and resources per replica of each workload. Pure.

The table is skerry/requirements.toml. Versions are compared by their first two numbers; one that nobody can read is refused
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from skerry.demand import PODS, Amounts, amounts

AGENT_BEHIND, AGENT_AHEAD = 2, 1
"""Minor versions that an agent may be behind and ahead of its host."""
_MINOR = re.compile(r"v?(\d{1,4})\.(\d{1,4})")

Fit = Literal["", "old", "new", "unknown"]
"""How a version fits: too old, too new, not to be read; empty: it does."""


class Workload(NamedTuple):
    """What one replica asks for."""

    replicas: int
    requests: Amounts
    """Its place among pods too."""
    limits: Amounts


class Row(NamedTuple):
    """One workload as the table states it: quantities of cpu and memory, of one replica."""

    name: str
    where: str
    """`host` or `agent member`; nothing runs on a direct member."""
    replicas: int
    """Unless somebody says otherwise."""
    requests: Mapping[str, str]
    limits: Mapping[str, str]


def rows() -> tuple[Row, ...]:
    """All workloads, those of the host first."""
    return tuple(Row(name=name, **row) for name, row in _table()["workloads"].items())


def workload(name: str) -> Workload:
    """Of agent, controller-manager, nats-server or tower. KeyError for any other."""
    row = {each.name: each for each in rows()}[name]
    return Workload(row.replicas, {**amounts(row.requests), **amounts({PODS: 1})}, amounts(row.limits))


def oldest_kubernetes() -> str:
    """The oldest that is tested, as `1.31`."""
    return str(_table()["kubernetes"]["oldest"])


def kubernetes_fit(version: str) -> Fit:
    """By the API server's gitVersion."""
    cluster, oldest = _minor(version), _minor(oldest_kubernetes())
    if cluster is None or oldest is None:
        return "unknown"
    return "old" if cluster < oldest else ""


def agent_fit(agent: str, host: str) -> Fit:
    """Of an agent to its host, by the versions of Skerry."""
    ours, theirs = _minor(host), _minor(agent)
    if ours is None or theirs is None:
        return "unknown"
    if theirs[0] < ours[0] or (theirs[0] == ours[0] and theirs[1] < ours[1] - AGENT_BEHIND):
        return "old"
    return "new" if theirs[0] > ours[0] or theirs[1] > ours[1] + AGENT_AHEAD else ""


def _minor(text: str) -> tuple[int, int] | None:
    match = _MINOR.match(text)
    return None if match is None else (int(match[1]), int(match[2]))


@cache
def _table() -> dict[str, Any]:
    import tomllib  # only who asks for it pays for the parser

    return tomllib.loads(Path(__file__).with_name("requirements.toml").read_text(encoding="utf-8"))
