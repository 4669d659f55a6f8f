"""cluster remove: a member leaves, and what became of what the host has on it is told, step by step.

The host does the work, for kubectl delete as well, and says in the Cluster's conditions what it has done: they are followed until the
Cluster is gone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import typer

from skerry.api.conditions import CLEANED, DESIRED_APPLIED, JOINED, STREAMS_CUT, UNMARKED, awaits_approval, condition_of
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.api.names import CLEANUP, WITHDRAW
from skerry.cli.api import Api, path_of
from skerry.cli.commands.agentjoin import target_of
from skerry.cli.commands.clients import bindings_away, cluster_names, connect, leftovers
from skerry.cli.commands.direct import HostContext, HostFile, MemberContext, MemberName, host_of
from skerry.cli.commands.takingaway import MemberCleanup
from skerry.cli.failure import TIMED_OUT, USAGE, Failure
from skerry.cli.paths import query
from skerry.cli.term import ProgressLine, program, progress, say, seconds
from skerry.errors import NotFound, StatusError

RETRY_S = 0.2


def remove(
    name: Annotated[str, typer.Argument(autocompletion=cluster_names)],
    wait: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for it to be gone.")] = "60s",
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Revoke its credentials before anything else, as after a theft: nothing is cleaned."
        ),
    ] = False,
    cleanup: Annotated[
        str, typer.Option(metavar="DURATION", help="How long it may take away what is on it. Default: 10s.")
    ] = "",
    keep_on_member: Annotated[
        bool,
        typer.Option(
            "--keep-on-member", help="Leave there what the host's services put there: from then on it is nobody's."
        ),
    ] = False,
    kubeconfig: MemberName = None,
    context: MemberContext = "",
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NAME", help="Of the agent that is deleted there.")
    ] = "skerry-system",
    host_kubeconfig: HostFile = None,
    host_context: HostContext = "",
) -> None:
    """Remove a member: clients are cut at once, and what the host's services put there is withdrawn if it is reached; 10 s later
    at the latest its agent is cut too, and cannot return, and the name is free again.

    With --context or --kubeconfig of the member nothing is left there but namespaces: the agent that `skerry join` installed is
    deleted, or the account of a direct member, and what could not be withdrawn.

    Exit code 5: it is not gone after --wait; the host goes on.

    Example: skerry cluster remove m1

    Example: skerry cluster remove m1 --context m1

    Example: skerry cluster remove m1 --now
    """
    if now and (cleanup or keep_on_member):
        raise Failure("--now revokes first, so there is nothing to wait for or to let go: leave the other out", USAGE)
    limit = seconds(wait)
    seconds(cleanup or "10s")
    annotations = {WITHDRAW: "Orphan"} if keep_on_member else {}
    if now or cleanup:
        annotations[CLEANUP] = "0s" if now else cleanup
    target = target_of(kubeconfig, context) if kubeconfig is not None or context else None
    api = connect(host_kubeconfig, host_context)
    path = path_of(CLUSTER.plural, name)
    before = api.get(path)
    cleanup_there = None if target is None else MemberCleanup(target, namespace, before, host_of(api))
    if cleanup_there is not None:
        asyncio.run(cleanup_there.check())
    _delete(api, path, before, annotations)
    with progress() as display:
        last = _followed(api, name, before, limit, wait, display)
    _tell(name, before, last, by_hand=cleanup_there is None)
    if cleanup_there is not None:
        for line in asyncio.run(cleanup_there.run(keep=keep_on_member)):
            say(line)


def _delete(api: Api, path: str, before: Document, annotations: dict[str, str]) -> None:
    """Delete a Cluster; one that stays after all is left as it was."""
    if annotations:
        api.patch(path, {"metadata": {"annotations": annotations}})
    try:
        api.delete(path)
    except StatusError:
        if annotations:
            kept = before["metadata"].get("annotations") or {}
            with suppress(StatusError):
                api.patch(path, {"metadata": {"annotations": {key: kept.get(key) for key in annotations}}})
        raise


def _followed(api: Api, name: str, before: Document, limit_s: float, wait: str, display: ProgressLine) -> Document:
    """The Cluster as it was last, once it is gone. Failure 5 when the time is over."""
    deadline, last = time.monotonic() + limit_s, before
    while True:
        display.show(f"removing cluster {name}")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Failure(
                f"cluster {name} is still there after {wait}, and the host goes on: look at {program()} clusters -o wide",
                TIMED_OUT,
            )
        since = str(last["metadata"]["resourceVersion"])
        chosen = {"fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(math.ceil(left_s))}
        for event in api.watch(query(path_of(CLUSTER.plural), watch="1", resourceVersion=since, **chosen)):
            cluster: Document = event["object"]
            if event["type"] == "ERROR" or cluster["metadata"].get("uid") != before["metadata"].get("uid"):
                break
            last = cluster
            if event["type"] == "DELETED":
                return last
        if _is_gone(api, name, before):
            return last
        time.sleep(RETRY_S)


def _is_gone(api: Api, name: str, before: Document) -> bool:
    """Whether the Cluster is not there any more, or another of that name is."""
    try:
        cluster = api.get(path_of(CLUSTER.plural, name))
    except NotFound:
        return True
    return bool(cluster["metadata"].get("uid") != before["metadata"].get("uid"))


def _tell(name: str, before: Document, last: Document, *, by_hand: bool) -> None:
    """What became of it, in the order in which it is done; with `by_hand` the commands for what is left there."""
    taken_over, cut = condition_of(before, JOINED).reason == "TakenOver", condition_of(last, STREAMS_CUT)
    if cut.status == "True":
        say(cut.message)
    for line in () if taken_over or awaits_approval(before) else _on_member(last, by_hand=by_hand):
        say(line)
    say("credentials revoked")
    say(f"cluster {name} removed")
    if taken_over:
        say("another host has that cluster now: nothing on it was touched")


def _on_member(last: Document, *, by_hand: bool) -> Iterator[str]:
    """What was done there, and what is left with the commands that remove it."""
    cleaned, left = condition_of(last, CLEANED), condition_of(last, DESIRED_APPLIED)
    direct = (last.get("spec") or {}).get("connection", {}).get("mode") == "direct"
    if cleaned.status == "True":
        yield cleaned.message
    if (last["metadata"].get("annotations") or {}).get(WITHDRAW) == "Orphan":
        yield "what the host's services put there stays, and nobody keeps it in place any more; with it, until somebody deletes it:"
        yield f"  {bindings_away()}"
    is_clean, is_unmarked = cleaned.status == "True" and left.reason != "Left", cleaned.reason == UNMARKED
    if not by_hand:
        return
    commands = leftovers(direct=direct, cleaned=is_clean, unmarked=is_unmarked)
    if is_clean:
        stays = ["the mark of this host"] * (not is_unmarked) + ["its account if one was made"] * direct
        yield from [f"left there: {', and '.join(stays)}"] if stays else []
    else:
        yield "left there:" if cleaned.status == "True" else "not reached: left there:"
    if left.reason == "Left":
        yield f"  # {left.message}"
    yield from (f"  {line}" for line in commands)
