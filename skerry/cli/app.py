"""The command tree. Option names, outputs and exit codes are a contract that scripts rely on."""

from __future__ import annotations

import os

import typer

from skerry.cli.commands import agent, archive, clients, desired, direct, holding, host, info, listings, up
from skerry.cli.failure import USAGE, Failure

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
app.command("up")(up.up)
app.command("down")(host.down)
app.command("status")(host.status)
app.command("logs")(host.logs)
app.command("nats-config")(host.nats_config)
app.command("backup")(archive.backup)
app.command("restore")(archive.restore)
app.add_typer(clients.token, name="token")
app.add_typer(clients.credential, name="credential")
clients.cluster.command("join")(direct.join)
clients.cluster.command("set")(direct.set_)
for held in (holding.pause, holding.resume, holding.cordon, holding.uncordon):
    clients.cluster.command(held.__name__)(held)
app.add_typer(clients.cluster, name="cluster")
listings.register(app)
app.add_typer(desired.desired, name="desired")
app.command("kubeconfig")(clients.kubeconfig)
app.add_typer(agent.agent, name="agent")
app.command("version")(info.version)
app.command("completion")(info.completion)


def invoke(words: list[str]) -> int:
    """Parse and run. Usage errors become Failures with exit code 2 and the command's usage line."""
    if "_SKERRY_COMPLETE" in os.environ:
        _prepare_completion()
    command = typer.main.get_command(app)
    try:
        result = command.main(args=words, prog_name="skerry", standalone_mode=False)
    except Exception as error:
        raise _translated(error) from error
    return result if isinstance(result, int) else 0


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
