"""cluster pause, resume, cordon and uncordon: a member is held back, for a while or until somebody ends it."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from skerry.api.kinds import CLUSTER
from skerry.api.times import rfc3339
from skerry.cli.commands.clients import ClusterName, ContextName, Kubeconfig, connect
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import program, say, seconds

LONGEST_S = 3650 * 86400
For = Annotated[str, typer.Option("--for", metavar="DURATION", help="The host ends it after this time, such as 2h.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for who looks at it.")]


def pause(
    name: ClusterName, for_: For = "", reason: Reason = "", kubeconfig: Kubeconfig = None, context: ContextName = ""
) -> None:
    """Leave a member as it is: nothing of the host's is applied on it or withdrawn from it. Requests still reach it.

    Called again it says anew until when and why.

    Example: skerry cluster pause m1 --for 2h --reason "an upgrade"
    """
    _hold(name, "paused", "pause", for_, reason, kubeconfig, context)


def resume(name: ClusterName, kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """End a pause: what was held back is done now.

    Example: skerry cluster resume m1
    """
    _release(name, "paused", "pause", kubeconfig, context)


def cordon(
    name: ClusterName, for_: For = "", reason: Reason = "", kubeconfig: Kubeconfig = None, context: ContextName = ""
) -> None:
    """Place nothing new on a cluster; what is there stays, and is looked after. Requests still reach it.

    Called again it says anew until when and why.

    Example: skerry cluster cordon m1 --reason "to be replaced"
    """
    _hold(name, "unschedulable", "cordon", for_, reason, kubeconfig, context)


def uncordon(name: ClusterName, kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """End a cordon: new things may be placed on the cluster again.

    Example: skerry cluster uncordon m1
    """
    _release(name, "unschedulable", "cordon", kubeconfig, context)


_DONE = {
    "paused": ("paused", "resume", "is not paused"),
    "unschedulable": ("cordoned", "uncordon", "is not cordoned"),
}


def _hold(name: str, flag: str, detail: str, for_: str, reason: str, kubeconfig: Any, context: str) -> None:
    until = _until(for_)
    said = {"until": until, "reason": reason or None} if until or reason else None
    _patch(name, {flag: True, detail: said}, kubeconfig, context)
    done, end, _ = _DONE[flag]
    how = f"until {until}" if until else f"until: {program()} cluster {end} {name}"
    say(f"cluster {name} is {done} {how}")


def _release(name: str, flag: str, detail: str, kubeconfig: Any, context: str) -> None:
    _patch(name, {flag: None, detail: None}, kubeconfig, context)
    say(f"cluster {name} {_DONE[flag][2]}")


def _patch(name: str, spec: dict[str, Any], kubeconfig: Any, context: str) -> None:
    from skerry.cli.api import path_of

    connect(kubeconfig, context).patch(path_of(CLUSTER.plural, name), {"spec": spec})


def _until(for_: str) -> str | None:
    """The end of a hold of this duration from now, RFC 3339; None for one without an end. Failure (usage)."""
    if not for_:
        return None
    duration_s = seconds(for_)
    if not 1 <= duration_s <= LONGEST_S:
        raise Failure(f"--for {for_}: must be at least 1s and at most {LONGEST_S // 3600}h", USAGE)
    return rfc3339(time.time() + duration_s)
