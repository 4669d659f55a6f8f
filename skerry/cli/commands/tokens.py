"""token: permission to join, made, listed and revoked by a client of the host's API."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated, Any

import typer

from skerry.api.kinds import JOIN_TOKEN
from skerry.cli import listing, output
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect, new_object
from skerry.cli.commands.listings import names_of
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out, program, say, seconds

LOOPBACK = ("127.", "localhost", "[::1]", "::1")

token = typer.Typer(no_args_is_help=True, help="Join tokens: permission for agents to join members.")


def token_names(incomplete: str) -> list[str]:
    """For the shell: names of join tokens."""
    return names_of(JOIN_TOKEN, incomplete)


@token.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name under which the cluster will join.")] = "",
    pattern: Annotated[
        str,
        typer.Option(metavar="GLOB", help="Instead of a name: names that agents choose with --name, e.g. 'edge-*'."),
    ] = "",
    uses: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --pattern: how many agents may join, at most 1000. Default: 1."),
    ] = None,
    ttl: Annotated[str, typer.Option(metavar="DURATION", help="How long the token may be used, at most 24h.")] = "1h",
    replica: Annotated[bool, typer.Option("--replica", help="For one more agent of a member that has joined.")] = False,
    cluster_uid: Annotated[
        str, typer.Option("--cluster-uid", metavar="UID", help="Only for the cluster whose kube-system has this UID.")
    ] = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="Label of the clusters that join; repeatable.")
    ] = None,
    approval: Annotated[
        bool, typer.Option("--approval", help="Clusters that join wait for: skerry cluster approve NAME.")
    ] = False,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="The whole object.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Make a join token. stdout: the token alone; stderr: the line that joins the cluster.

    Examples: skerry token create m1 > m1.token

    skerry token create --pattern 'edge-*' --uses 50 --ttl 12h --label site=north > edge.token
    """
    from skerry.cli.api import path_of

    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)
    seconds(ttl)
    spec: dict[str, Any] = {**_purpose(name, pattern, uses), "ttl": ttl, "replica": replica}
    if cluster_uid:
        spec["clusterUID"] = cluster_uid
    if approval:
        spec["approval"] = True
    if label:
        spec["labels"] = dict(map(_label, label))
    base = (name or pattern.replace("*", "").strip("-"))[:50].rstrip("-")
    body = new_object(JOIN_TOKEN, f"{base}-{secrets.token_hex(3)}" if base else "", **spec)
    answer = connect(kubeconfig, context).post(path_of(JOIN_TOKEN.plural), body)
    text = str(answer.get("status", {}).get("token", ""))
    if not text:
        raise Failure(f"the host made join token {answer['metadata']['name']} and did not show it: make another one")
    _warn_loopback(text)
    if style:
        output.document(answer, style)
        return
    named = " --name NAME" if pattern else ""
    say("# on a machine that reaches the cluster, with a kubeconfig for it:")
    say(f"echo {text} | {program()} agent --token-file -{named} --kubeconfig ~/.kube/config")
    out(text)


def _purpose(name: str, pattern: str, uses: int | None) -> dict[str, Any]:
    """Of the spec: for which clusters. Failure (usage)."""
    if bool(name) == bool(pattern):
        what = "a NAME and --pattern are two purposes: leave one out" if name else "say a NAME, or --pattern GLOB"
        raise Failure(f"for which cluster? {what}, for example: {program()} token create m1", USAGE)
    if uses is not None and not pattern:
        raise Failure(
            f"--uses needs --pattern: a token for one name works once. For one more agent of {name}: "
            f"{program()} token create {name} --replica",
            USAGE,
        )
    if not pattern:
        return {"clusterName": name}
    return {"pattern": pattern} | ({} if uses is None else {"uses": uses})


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Failure(f"--label {text}: use KEY=VALUE, for example site=north", USAGE)
    return key, value


def _warn_loopback(text: str) -> None:
    from urllib.parse import urlsplit

    from skerry.identity import jointoken

    hosts = [urlsplit(server).hostname or "" for server in jointoken.decode(text, now=0).servers]
    if hosts and all(host.startswith(LOOPBACK) for host in hosts):
        say(
            f"warning: the token carries a loopback address ({', '.join(hosts)}): it works on this machine only. "
            f"For other machines: {program()} down, then {program()} up --address HOST"
        )


@token.command("list")
def list_(style: Style = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """List join tokens, without their secrets; those whose time is over, for an hour.

    Example: skerry token list -o wide
    """
    listing.show(partial(connect, kubeconfig, context), JOIN_TOKEN, style)


@token.command("revoke")
def revoke(
    name: Annotated[
        str, typer.Argument(help="Name of the token, from: skerry token list.", autocompletion=token_names)
    ],
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Revoke a join token: nobody joins with it any more, and who is just using it is cut. Clusters that joined stay.

    Example: skerry token revoke edge-4f21aa
    """
    from skerry.cli.api import path_of

    connect(kubeconfig, context).delete(path_of(JOIN_TOKEN.plural, name))
    say(f"join token {name} revoked")
