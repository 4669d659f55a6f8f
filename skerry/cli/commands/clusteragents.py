"""cluster agents: the agents of a member."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from skerry.api.kinds import CLUSTER
from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, cluster_names, connect
from skerry.cli.term import out, program, say

COLUMNS = ("AGENT", "VERSION", "CONNECTED", "LAST HEARTBEAT", "LEAD", "CREDENTIAL ENDS")
WIDE = ("KEY SINCE", "EPOCH", "NKEY")
Name = Annotated[str, typer.Argument(help="Name of the cluster.", autocompletion=cluster_names)]


def agents(name: Name, style: Style = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """List the agents of a member. AGENT is what its public nkey begins with, as in logs; two rows of one are two processes
    with one key: a copy of its directory runs somewhere.

    Example: skerry cluster agents m1 -o wide
    """
    from skerry.cli.api import path_of

    output.check_format(style)
    answer = connect(kubeconfig, context).get(f"{path_of(CLUSTER.plural, name)}/agents")
    items = answer.get("items") or []
    if style in ("json", "yaml"):
        output.document(answer, style)
    elif not items:
        say(f"Cluster {name} has no agents. Make a token for one: {program()} token create {name} --replica")
    elif style == "name":
        for each in dict.fromkeys(item["name"] for item in items):
            out(each)
    else:
        wide = style == "wide"
        output.columns([*COLUMNS, *(WIDE if wide else ())], [_row(item, wide=wide) for item in items])


def _row(item: dict[str, Any], *, wide: bool) -> list[str]:
    heard, since = item["lastHeartbeat"], item["since"]
    cells = [
        item["name"],
        item["version"] or "<none>",
        item["connected"],
        f"{output.age(heard)} ago" if heard else "<none>",
        "yes" if item["lead"] else "no",
        item["expires"] or "<unknown>",
    ]
    return [*cells, output.age(since), item["epoch"] or "<none>", item["nkey"]] if wide else cells
