"""login, logout and whoami: signing in at the company's provider, and what one has here then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.kinds import SELF_ACCESS_REVIEW
from skerry.api.selfaccess import EVERYWHERE
from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, connect
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out, program, say, seconds

if TYPE_CHECKING:
    from skerry.cli.login.parameters import LoginParameters

LoginKubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig. Default: KUBECONFIG, ~/.kube/config.")
]
MOST_S = 3600.0
_PLUGIN = "What a kubeconfig says"
_SOURCES = {
    "Credential": "a token of the host",
    "Certificate": "a client certificate",
    "IdentityProvider": "provider {provider}",
    "TokenReview": "a token of the host's cluster",
}


def _plugin(name: str, metavar: str, about: str) -> Any:
    return typer.Option(name, metavar=metavar, help=about, rich_help_panel=_PLUGIN)


def login(
    kubeconfig: LoginKubeconfig = None,
    context: ContextName = "",
    browser: Annotated[bool, typer.Option("--browser", help="By a browser on this machine.")] = False,
    device: Annotated[bool, typer.Option("--device", help="By a code on another device.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for an answer.")] = "2m",
    exec_: Annotated[bool, _plugin("--exec", "", "For kubectl: print the ExecCredential alone.")] = False,
    issuer: Annotated[str, _plugin("--issuer", "URL", "The provider.")] = "",
    client_id: Annotated[str, _plugin("--client-id", "ID", "The client that is registered there.")] = "",
    scopes: Annotated[str, _plugin("--scopes", "TEXT", "What is asked for, separated by blanks.")] = "",
    flow: Annotated[str, _plugin("--flow", "Auto|Browser|Device", "How to log in.")] = "",
    ca_data: Annotated[str, _plugin("--ca-data", "BASE64", "Authorities of the provider, in PEM.")] = "",
) -> None:
    """Log in at your company's provider, with a kubeconfig made by skerry kubeconfig --login.

    kubectl does so by itself when it needs a token. Nothing happens while there is a good one: log out first to log in anew.
    Exit code 1: refused, 5: nobody answered.

    Examples: skerry login        skerry login --context skerry-m1 --device        skerry login --timeout 10m
    """
    from skerry.cli.login.asking import asking, may_ask, on_terminal
    from skerry.cli.login.entry import exec_credential
    from skerry.cli.login.parameters import ParameterError, parameters
    from skerry.cli.login.signin import cache_of, token

    if browser and device:
        raise Failure("--browser and --device exclude each other", USAGE)
    timeout_s = seconds(timeout)
    if not 0 < timeout_s <= MOST_S:
        raise Failure(f"--timeout {timeout}: use at most 1h", USAGE)
    try:
        known = parameters(issuer, client_id, scopes, flow, ca_data) if exec_ or issuer else None
    except ParameterError as error:
        raise Failure(str(error), USAGE) from error
    where = known or _of_context(kubeconfig, context)
    chosen = "Browser" if browser else "Device" if device else where.flow
    ask = asking(chosen, timeout_s) if not exec_ or may_ask(os.environ, on_terminal()) else None
    result = token(where, cache_of(where), ask, plugin=exec_)
    if exec_:
        out(exec_credential(result.id_token, result.expires))
    else:
        left = output.duration(result.expires - _now())
        say(
            f"logged in at {where.issuer} as {result.name} for {left}"
            + (", then without a word" if result.refresh_token else "")
        )


def _now() -> float:
    import time

    return time.time()


def _of_context(kubeconfig: Path | None, context: str) -> LoginParameters:
    from skerry.cli import kubeconfig as files

    return files.login([kubeconfig.expanduser()] if kubeconfig else files.files(), context)


def logout(
    kubeconfig: LoginKubeconfig = None,
    context: ContextName = "",
    all_: Annotated[bool, typer.Option("--all", help="All logins of yours on this machine.")] = False,
) -> None:
    """Forget a login, and have the provider end it. A token that was handed out is good until it ends: minutes, mostly.

    Examples: skerry logout        skerry logout --context skerry        skerry logout --all
    """
    from skerry.cli.login.cache import CacheError, directory, stored
    from skerry.cli.login.signin import cache_of, ended

    if all_ and (context or kubeconfig):
        raise Failure("--all and --context or --kubeconfig exclude each other", USAGE)
    try:
        caches = stored(directory()) if all_ else [cache_of(_of_context(kubeconfig, context))]
    except CacheError as error:
        raise Failure(str(error)) from error
    problems = [problem for cache in caches if (problem := ended(cache))]
    for problem in problems:
        say(problem)
    say(f"logged out{'' if len(caches) == 1 else f': {len(caches)} logins'}")


def whoami(
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="As a document.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Tell who you are on the host, by what, until when, and what you have on which clusters.

    Examples: skerry whoami        skerry whoami --context skerry -o json
    """
    from skerry.cli.api import path_of

    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)
    kind = SELF_ACCESS_REVIEW
    status = connect(kubeconfig, context).post(
        path_of(kind.plural), {"apiVersion": kind.api_version, "kind": kind.kind}
    )["status"]
    if style:
        output.document(_document(status), style)
        return
    source = _SOURCES.get(status["source"], status["source"]).format(provider=status.get("provider", ""))
    facts = {"user": status["user"], "groups": ", ".join(status["groups"]) or "none", "from": source}
    for name, value in {**facts, "until": status["expires"]}.items():
        out(f"{name:<8}{value}")
    rows = [_row(each) for each in status["access"]]
    if rows:
        out("")
        output.columns(["CLUSTER", "NAMESPACE", "ROLE", "FROM", "UNTIL"], rows)
    else:
        say(f"Nothing is granted to you yet: {program()} request create ROLE --cluster NAME --reason TEXT asks for it.")
    if status["incomplete"]:
        say(f"There is more: only the first {len(rows)} are shown.")


def _row(access: dict[str, Any]) -> list[str]:
    cluster = "<all>" if access["cluster"] == EVERYWHERE else access["cluster"]
    source = access["source"]
    role = access["role"] or f"group {access['group']}"
    return [
        cluster,
        access["namespace"] or "<all>",
        role,
        f"{source['kind']} {source['name']}",
        access.get("expires", "<none>"),
    ]


def _document(status: dict[str, Any]) -> dict[str, Any]:
    access = [
        {
            "cluster": each["cluster"],
            "namespace": each["namespace"],
            "role": each["role"],
            **({"group": each["group"]} if each.get("group") else {}),
            "from": each["source"],
            "until": each.get("expires"),
        }
        for each in status["access"]
    ]
    head = {name: status[name] for name in ("user", "groups", "source")}
    return {**head, "provider": status.get("provider"), "expires": status["expires"], "access": access}
