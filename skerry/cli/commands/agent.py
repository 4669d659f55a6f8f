"""agent: connect a cluster to a host, from a machine that reaches the cluster."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skerry.cli import agents, state
from skerry.cli.checking import check_style
from skerry.cli.commands.host import StateDir
from skerry.cli.failure import FAILED, MISSING, USAGE, Failure
from skerry.cli.term import out, program, progress, say, seconds
from skerry.errors import StatusError

STOP_S = 45.0
TOKEN_LIMIT = 64 << 10
IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

agent = typer.Typer(invoke_without_command=True)


class DesiredCeiling(StrEnum):
    """What a host may keep in place on a member."""

    ALL = "All"
    ACCESS = "Access"
    NONE = "None"


CeilingReadOnly = Annotated[bool, typer.Option("--read-only", help="Ceiling: only get, list and watch.")]
CeilingNoExec = Annotated[bool, typer.Option("--no-exec", help="Ceiling: no exec, attach, port-forward and proxy.")]
CeilingNamespaces = Annotated[str, typer.Option(metavar="A,B", help="Ceiling: only these namespaces.")]
CeilingDesired = Annotated[
    DesiredCeiling | None,
    typer.Option(help="Ceiling: what the host may keep in place. Default: All; with --read-only, Access."),
]


@agent.callback()
def run(
    context: typer.Context,
    token_file: Annotated[
        str,
        typer.Option("--token-file", metavar="F|-", help="File with the join token; - is stdin. Or SKERRY_TOKEN_FILE."),
    ] = "",
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the cluster: the token's, or one that fits its pattern.")
    ] = "",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Kubeconfig of the cluster. Default: KUBECONFIG, ~/.kube/config."),
    ] = None,
    context_name: Annotated[str, typer.Option("--context", metavar="NAME", help="Context in it.")] = "",
    state_dir: StateDir = None,
    read_only: CeilingReadOnly = False,
    no_exec: CeilingNoExec = False,
    namespaces: CeilingNamespaces = "",
    ceiling_desired: CeilingDesired = None,
    ceiling_off: Annotated[
        bool,
        typer.Option(
            "--ceiling-off", help="No limits from here on. Those of an earlier start hold until others are given."
        ),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Make the cluster this host's although it is marked as another one's."),
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when ready; the agent stays.")] = False,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="With --detach: how long to wait until it is ready.")
    ] = "60s",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only make the checks of a join, and print them; join nothing.")
    ] = False,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json", help="Of --dry-run: as a document.")] = "",
    print_unit: Annotated[bool, typer.Option("--print-unit", help="Print a systemd unit and do nothing.")] = False,
) -> None:
    """Connect a cluster to a host, with outbound connections only: join with a token, or go on as joined before.

    Examples: skerry agent --token-file m1.token        skerry agent --name m1 --detach
    skerry agent --token-file m1.token --dry-run

    With a token for a pattern: skerry agent --token-file edge.token --name edge-7
    """
    if context.invoked_subcommand is not None:
        return
    check_style(style, dry_run=dry_run)
    if ceiling_off:
        _check_no_limit(read_only, no_exec, namespaces, ceiling_desired)
    limit = seconds(wait)
    source = token_file or os.environ.get("SKERRY_TOKEN_FILE", "")
    token = _token(source)
    root = state.directory(state_dir)
    local = agents.LocalAgent(
        directory=root / "agents" / (name := _name(root, name, token, dry_run=dry_run)),
        name=name,
        kubeconfig=_kubeconfig(kubeconfig),
        context=context_name,
        read_only=read_only,
        no_exec=no_exec,
        namespaces=",".join(part.strip() for part in namespaces.split(",") if part.strip()),
        desired=ceiling_desired or "",
        ceiling_off=ceiling_off,
        dry_run=dry_run,
        output=style,
        take_over=take_over,
    )
    file = "" if source in ("", "-") else str(Path(source).expanduser().absolute())
    if print_unit:
        out(_unit(local, root, file).rstrip())
        return
    if not local.joined and not token:
        raise Failure(f"cluster {local.name} has not joined from here: give a token with --token-file", USAGE)
    if dry_run or not detach:
        raise typer.Exit(agents.foreground(local, token, file))
    with progress() as display:
        pid = agents.detached(local, token, file, limit, display)
    say(f"agent {local.name} is ready (process {pid}, log {local.directory / 'agent.log'})")


def _check_no_limit(*limits: object) -> None:
    if any(limits):
        raise Failure("--ceiling-off takes every limit away: leave out --read-only, --no-exec and the others", USAGE)


def _token(source: str) -> str:
    if not source:
        return ""
    try:
        text = (sys.stdin.read(TOKEN_LIMIT) if source == "-" else Path(source).expanduser().read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Failure(f"the token file {source} cannot be read: {why}") from error
    if not text:
        raise Failure(f"the token file {source} is empty: make a token with: {program()} token create NAME")
    return text


def _name(root: Path, name: str, token: str, *, dry_run: bool = False) -> str:
    """The cluster's name: the token's, which --name must equal, or what --name says if that fits the token's pattern; without a
    token the only agent of this machine.

    On a dry run a token that is not good is the checks' to tell: then it is the name given, or one that nobody has.
    """
    from skerry.api.validation import is_label

    if name and not is_label(name):
        raise Failure(f"--name {name!r}: use a-z, 0-9 and -, at most 63 characters", USAGE)
    if name and (root / "agents" / name / "agent.json").exists():
        return name
    if token:
        try:
            return _named(name, token)
        except (Failure, StatusError):
            if dry_run:
                return name or agents.NAMELESS
            raise
    known = [path.parent.name for path in sorted((root / "agents").glob("*/agent.json"))]
    if name or len(known) == 1:
        return name or known[0]
    if known:
        raise Failure(f"several clusters have joined from here ({', '.join(known)}): choose one with --name", USAGE)
    raise Failure(
        f"no cluster has joined from here: give a token with --token-file ({program()} token create NAME)", USAGE
    )


def _named(name: str, token: str) -> str:
    """The name that a token gives, or lets --name give. Whether it has ended is the host's to say."""
    from skerry.api.validation import is_label
    from skerry.identity import jointoken

    decoded = jointoken.decode(token, now=0)
    if decoded.pattern:
        problem = jointoken.named_problem(decoded, name)
        if problem:
            raise Failure(problem, FAILED if name else USAGE)
        return name
    named = decoded.name
    if name and name != named:
        raise Failure(f"the token is for cluster {named!r}, not {name!r}: leave --name out, or make another token")
    if not is_label(named):
        raise Failure("the token names no valid cluster: make another one")
    return named


def _kubeconfig(chosen: Path | None) -> str:
    from skerry.cli import kubeconfig

    if chosen is not None:
        path = chosen.expanduser().absolute()
        if not path.exists():
            raise Failure(f"the kubeconfig {path} does not exist", MISSING)
        return str(path)
    existing = [path for path in kubeconfig.files() if path.exists()]
    if existing:
        return str(existing[0].absolute())
    if "KUBERNETES_SERVICE_HOST" in os.environ and IN_CLUSTER_TOKEN.exists():
        return ""
    where = ", ".join(map(str, kubeconfig.files()))
    raise Failure(f"there is no kubeconfig for the cluster at {where}: give one with --kubeconfig FILE", MISSING)


def _unit(agent: agents.LocalAgent, root: Path, token_file: str) -> str:
    options = ["--name", agent.name, "--state", str(root)]
    pairs = {"--token-file": token_file, "--kubeconfig": agent.kubeconfig, "--context": agent.context}
    options += [part for option, value in pairs.items() if value for part in (option, value)]
    options += ["--read-only"] * agent.read_only + ["--no-exec"] * agent.no_exec
    options += ["--namespaces", agent.namespaces] if agent.namespaces else []
    options += ["--ceiling-desired", agent.desired] if agent.desired else []
    options += ["--ceiling-off"] * agent.ceiling_off
    command = " ".join(_unit_word(word) for word in [_executable(), "agent", *options])
    return (
        f"[Unit]\nDescription=Skerry agent of cluster {agent.name}\nWants=network-online.target\n"
        "After=network-online.target\n\n"
        f"[Service]\nType=notify\nExecStart={command}\nRestart=on-failure\nRestartSec=5\nTimeoutStartSec=infinity\n"
        "TimeoutStopSec=45\nNoNewPrivileges=yes\nPrivateTmp=yes\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def _executable() -> str:
    """systemd needs an absolute path."""
    beside = Path(sys.executable).with_name("skerry")
    return str(beside) if beside.exists() else str(Path(sys.argv[0]).absolute())


def _unit_word(word: str) -> str:
    """Quoted as systemd.service(5) wants it: `%` and `$` are special in ExecStart."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(c in word for c in " \t\"'\\;") else escaped


@agent.command("stop")
def stop(
    name: Annotated[str, typer.Argument(help="Name of the cluster.")],
    state_dir: StateDir = None,
) -> None:
    """Stop a detached agent; it keeps its identity. Start it again with: skerry agent --name NAME --detach"""
    directory = _directory(name, state.directory(state_dir))
    try:
        with progress() as display:
            ran = agents.stop(agents.LocalAgent(directory=directory, name=name), STOP_S, display)
    except StatusError as error:
        raise Failure(error.message) from error
    say(f"agent {name} has stopped" if ran else f"agent {name} was not running")


@agent.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(help="Name of the cluster.")],
    wait: Annotated[str, typer.Option("--wait", metavar="DURATION", help="How long to wait for it.")] = "60s",
    state_dir: StateDir = None,
) -> None:
    """Have an agent of this machine make another key, as skerry cluster rekey does for all of a cluster: what it stored before is
    worth nothing once its running requests have ended, 8 hours later at most.

    Exit 5: it has not done so yet. It does when it runs and reaches its host.

    Example: skerry agent rotate m1
    """
    from skerry.cli import rotating

    limit_s = seconds(wait)
    directory = _directory(name, state.directory(state_dir))
    with progress() as display:
        before, after = rotating.rotate(directory, name, limit_s, display)
    say(f"agent {name} has another key: {after} in the place of {before}")


def _directory(name: str, root: Path) -> Path:
    """Of an agent of this machine. Failure if there is none."""
    directory = root / "agents" / name
    if "/" in name or not directory.is_dir():
        raise Failure(f"there is no agent {name!r} in {root / 'agents'}", FAILED)
    return directory
