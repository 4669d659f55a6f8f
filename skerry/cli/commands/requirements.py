"""requirements: what Skerry asks of the clusters that it is installed on. It talks to nobody."""

from __future__ import annotations

from typing import Annotated

import typer

from skerry import requirements as table
from skerry.cli import output
from skerry.cli.failure import USAGE, Failure
from skerry.demand import Amounts, amounts, written

FORMATS = ("", "wide", "json", "yaml")
RESOURCES = ("cpu", "memory")


def requirements(
    style: Annotated[
        str, typer.Option("-o", "--output", metavar="wide|json|yaml", help="wide: with what all replicas ask for.")
    ] = "",
) -> None:
    """Print what each workload asks for per replica, and the oldest Kubernetes.

    Example: skerry requirements -o wide
    """
    if style not in FORMATS:
        raise Failure(f"-o {style}: use one of {', '.join(f for f in FORMATS if f)}", USAGE)
    if style in ("json", "yaml"):
        workloads = [
            {**each._asdict(), "requests": dict(each.requests), "limits": dict(each.limits)} for each in table.rows()
        ]
        output.document({"kubernetes": {"oldest": table.oldest_kubernetes()}, "workloads": workloads}, style)
        return
    head = ["WORKLOAD", "WHERE", "REPLICAS", "CPU", "MEMORY", "CPU LIMIT", "MEMORY LIMIT"]
    wide = ["ALL CPU", "ALL MEMORY"] if style == "wide" else []
    output.columns(head + wide, [_cells(each, wide=bool(wide)) for each in table.rows()])


def _cells(row: table.Row, *, wide: bool) -> list[str]:
    cells = [row.name, row.where, str(row.replicas)]
    cells += [each[resource] for each in (row.requests, row.limits) for resource in RESOURCES]
    return [*cells, *_all(amounts(row.requests), row.replicas)] if wide else cells


def _all(requests: Amounts, replicas: int) -> list[str]:
    return [written(resource, requests[resource] * replicas) for resource in RESOURCES]
