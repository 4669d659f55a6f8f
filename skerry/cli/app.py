"""The command tree. Option names, outputs and exit codes are a contract that scripts rely on.

A script calls `skerry` many times, and what costs there is the loading of modules: so of the commands only the one that is
called is loaded, all of them where somebody asks which there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any

import typer

from skerry.cli.failure import USAGE, Failure

BEFORE = {
    "up": "up",
    "down": "host",
    "status": "host",
    "preflight": "preflight",
    "doctor": "doctor",
    "logs": "host",
    "nats-config": "host",
    "backup": "archive",
    "restore": "archive",
    "bootstrap": "bootstrap",
}
"""The module in `skerry.cli.commands` of each command that --help tells before the listings of kinds."""
AFTER = {
    "grant": "granting",
    "revoke": "granting",
    "kubeconfig": "clients",
    "login": "login",
    "logout": "login",
    "whoami": "login",
    "events": "events",
    "requirements": "requirements",
    "version": "info",
    "completion": "info",
    "join": "joining",
    "token": "tokens",
    "nats-credential": "natscredentials",
    "credential": "clients",
    "request": "requesting",
    "cluster": "clients",
    "desired": "desired",
    "explain": "explain",
    "agent": "agent",
    "keys": "keys",
    "sink": "sink",
    "app": "app.tree",
    "audit": "audit.tree",
}
"""And after them."""


def invoke(words: list[str]) -> int:
    """Parse and run. Usage errors become Failures with exit code 2 and the command's usage line."""
    if "_SKERRY_COMPLETE" in os.environ:
        _prepare_completion()
    command = typer.main.get_group(tree(words[0] if words else ""))
    try:
        result = command.main(args=words, prog_name="skerry", standalone_mode=False)
    except Exception as error:
        raise _translated(error) from error
    return result if isinstance(result, int) else 0


def tree(word: str) -> typer.Typer:
    """`skerry` with the command of this name alone, or with all of them where there is none."""
    app = typer.Typer(
        name="skerry",
        help="Skerry federates Kubernetes clusters: one host, any number of isolated members, plain kubectl for all.",
        epilog="First: skerry up. Then: skerry token create NAME. -v and --log-level LEVEL work with every command.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if word in BEFORE | AFTER:
        _add(app, [word])
        return app
    from skerry.cli.commands import listings

    if word in listings.LISTED:
        listings.register(app)
        return app
    _add(app, BEFORE)
    listings.register(app)
    _add(app, AFTER)
    return app


def _add(app: typer.Typer, names: Iterable[str]) -> None:
    for name in names:
        command = _command(name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)


@cache
def _command(name: str) -> Any:
    """A function, or a group of commands: what the module calls as the command is called."""
    if name == "cluster":
        return _cluster()
    module = import_module(f"skerry.cli.commands.{(BEFORE | AFTER)[name]}")
    return getattr(module, name.replace("-", "_"))


def _cluster() -> typer.Typer:
    """`clients` knows what is asked of the host alone; the rest of the group comes from where it is done."""
    from skerry.cli.commands import approving, clients, clusteragents, direct, holding, joining, removing

    clients.cluster.command("join")(joining.join)
    clients.cluster.command("set")(direct.set_)
    clients.cluster.command("revoke-agent")(clusteragents.revoke_agent)
    decided, held = (
        (approving.approve, approving.deny),
        (holding.pause, holding.resume, holding.cordon, holding.uncordon),
    )
    for command in (removing.remove, clusteragents.agents, clusteragents.rekey, *decided, *held):
        clients.cluster.command(command.__name__)(command)
    return clients.cluster


def _prepare_completion() -> None:
    """typer does it by itself only with its own --install-completion option, which edits files of the user."""
    from typer._completion_classes import completion_init

    completion_init()


def _translated(error: Exception) -> BaseException:
    """typer's own errors, which come from its bundled or from the installed click, by what they carry."""
    kind = type(error).__name__
    if kind == "Abort":
        return KeyboardInterrupt()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "skerry"
    if kind == "NoArgsIsHelpError":
        return Failure(f"a command is missing: {path} --help lists them", USAGE)
    if hasattr(error, "format_message") and getattr(error, "exit_code", None) == USAGE:
        return Failure(f"{error.format_message()} See: {path} --help", USAGE)
    return error
