"""cluster approve and deny: somebody decides on a cluster that asked to join and waits."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from skerry.api.kinds import CLUSTER
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect
from skerry.cli.term import say

WaitingName = Annotated[str, typer.Argument(help="Name of the cluster that waits.", autocompletion=cluster_names)]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: it stands in the cluster's events.")]


def approve(
    name: WaitingName, reason: ReasonOption = "", kubeconfig: Kubeconfig = None, context: ContextName = ""
) -> None:
    """Let a cluster in that waits for approval: its agent goes on by itself within a second or two.

    Which one it is: skerry clusters NAME -o wide shows the UID of its namespace kube-system.

    Example: skerry cluster approve m1
    """
    _decide(name, "approve", reason, kubeconfig, context)
    say(f"cluster {name} approved")


def deny(
    name: WaitingName, reason: ReasonOption = "", kubeconfig: Kubeconfig = None, context: ContextName = ""
) -> None:
    """Turn a cluster away that waits for approval: its agent is told so and ends, and the name is free again.

    Example: skerry cluster deny m1 --reason "not ours"
    """
    _decide(name, "deny", reason, kubeconfig, context)
    say(f"cluster {name} denied: nothing of it is left here, and nothing was changed on it")


def _decide(name: str, how: str, reason: str, kubeconfig: Any, context: str) -> None:
    from skerry.api.v1alpha1 import API_VERSION
    from skerry.cli.api import path_of

    body = {"apiVersion": API_VERSION, "kind": "ClusterDecision", "reason": reason}
    connect(kubeconfig, context).post(f"{path_of(CLUSTER.plural, name)}/{how}", body)
