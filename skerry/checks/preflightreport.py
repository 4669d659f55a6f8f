"""What a preflight found, as a document: each check, and where each replica would run. Pure."""

from __future__ import annotations

from typing import Literal

from skerry.api.meta import Struct
from skerry.demand import written
from skerry.installation import Installation, Where, Workload
from skerry.placement import Places

Verdict = Literal["pass", "warn", "fail", "unknown"]

_WORST: tuple[Verdict, ...] = ("fail", "unknown", "warn")


class PreflightCheck(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One thing that was looked at."""

    name: str
    state: Verdict
    message: str
    next: str = ""


class PlacedReplica(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A replica that has a place."""

    replica: int
    node: str


class MissingReplica(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One that has none, the node nearest to being it, and what that lacks."""

    replica: int
    node: str
    cpu: str
    memory: str


class PreflightWorkload(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One that would be installed."""

    name: str
    replicas: int
    requests: dict[str, str]
    limits: dict[str, str]
    placed: list[PlacedReplica] = []
    missing: list[MissingReplica] = []


class PreflightReport(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The whole."""

    where: Where
    verdict: Verdict
    checks: list[PreflightCheck]
    workloads: list[PreflightWorkload]


def report(installation: Installation, checks: list[PreflightCheck], places: Places) -> PreflightReport:
    """All of it, with the worst state as the verdict; what is not known is worse than a warning."""
    states = {each.state for each in checks}
    return PreflightReport(
        where=installation.where,
        verdict=next((each for each in _WORST if each in states), "pass"),
        checks=checks,
        workloads=[_workload(each, places) for each in installation.workloads],
    )


def _workload(workload: Workload, places: Places) -> PreflightWorkload:
    placed = [each.node for each in places.placed if each.name == workload.name]
    missing = [each for each in places.missing if each.name == workload.name]
    return PreflightWorkload(
        name=workload.name,
        replicas=workload.replicas,
        requests={name: written(name, nano) for name, nano in workload.size.requests.items()},
        limits={name: written(name, nano) for name, nano in workload.limits.items()},
        placed=[PlacedReplica(replica=number, node=node) for number, node in enumerate(placed)],
        missing=[
            MissingReplica(
                replica=number,
                node=each.node,
                cpu=written("cpu", each.amounts.get("cpu", 0)),
                memory=written("memory", each.amounts.get("memory", 0)),
            )
            for number, each in enumerate(missing, len(placed))
        ],
    )
