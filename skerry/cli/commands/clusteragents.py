"""cluster agents, rekey and revoke-agent: the agents of a member, and the keys that they have."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from skerry.api.agentlist import short_name
from skerry.api.kinds import CLUSTER
from skerry.cli import output
from skerry.cli.commands.clients import POLL_S, ClusterName, ContextName, Kubeconfig, Style, connect
from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.term import out, program, progress, say, seconds

COLUMNS = ("AGENT", "VERSION", "CONNECTED", "LAST HEARTBEAT", "LEAD", "CREDENTIAL ENDS")
WIDE = ("KEY SINCE", "EPOCH", "NKEY")


def agents(name: ClusterName, style: Style = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
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


def rekey(
    name: ClusterName,
    now: Annotated[
        bool, typer.Option("--now", help="Cut the connections of the keys of now as soon as there are others.")
    ] = False,
    wait: Annotated[str, typer.Option("--wait", metavar="DURATION", help="How long to wait for its agents.")] = "60s",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Have each agent of a member make another key; no seed ever travels. Requests that run keep theirs until they end, 8 hours at
    most, then it is revoked; with --now they are cut. An agent that is away does it when it returns.

    Exit 5: the time is over, and this agent has not done so yet. It goes on waiting for it.

    Examples: skerry cluster rekey m1, skerry cluster rekey m1 --now
    """
    from skerry.cli.api import path_of

    limit_s = seconds(wait)
    api = connect(kubeconfig, context)
    path = path_of(CLUSTER.plural, name)
    pending = _rekey_of(api.post(f"{path}/rekey", {"atOnce": now}))["pending"]
    deadline = time.monotonic() + limit_s
    with progress() as shown:
        while True:
            status = _rekey_of(api.get(path))
            missing = [key for key in pending if key in status["pending"]]
            left = [each["key"] for each in status["replaced"] if each["key"] in pending]
            if not missing and not (now and left):
                break
            if time.monotonic() >= deadline:
                raise _unfinished(name, missing, left, wait)
            shown.show(f"waiting for agents of cluster {name}: {', '.join(map(short_name, missing or left))}")
            time.sleep(POLL_S)
    many = "its agent has" if len(pending) == 1 else f"its {len(pending)} agents have"
    if left:
        say(f"cluster {name}: {many} another key; requests that run with the one before may end first, within 8 hours")
    else:
        say(f"cluster {name}: {many} another key, and the one before is revoked")


def revoke_agent(
    name: ClusterName,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="As skerry cluster agents prints it.")],
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Revoke one agent of a member: it is cut at once and cannot come back. The others go on, with all their requests.

    Example: skerry cluster revoke-agent m1 UDXR4K2P7Q
    """
    from skerry.cli.api import path_of

    connect(kubeconfig, context).post(f"{path_of(CLUSTER.plural, name)}/revoke-agent", {"agent": agent})
    say(f"agent {agent} of cluster {name} is revoked")


def _rekey_of(cluster: dict[str, Any]) -> dict[str, Any]:
    """What is left to do of a rekey, by the Cluster."""
    rekey = ((cluster.get("status") or {}).get("credentials") or {}).get("rekey") or {}
    return {"pending": rekey.get("pending") or [], "replaced": rekey.get("replaced") or []}


def _unfinished(name: str, missing: list[str], left: list[str], wait: str) -> Failure:
    if missing:
        who = ", ".join(map(short_name, missing))
        return Failure(
            f"cluster {name}: after {wait} no other key has agent {who}: it is away, or too old for this; it does so when it "
            f"is back. {program()} cluster agents {name} shows it, {program()} cluster revoke-agent ends it",
            TIMED_OUT,
        )
    who = ", ".join(map(short_name, left))
    return Failure(f"cluster {name}: after {wait} the replaced key {who} is not revoked yet; it will be", TIMED_OUT)
