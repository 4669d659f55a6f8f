"""down, status, logs and nats-config: the host that is on this machine. What starts it is in `up`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from skerry import __version__
from skerry.cli import launch, output, state
from skerry.cli.commands.clients import leftovers
from skerry.cli.failure import NOT_RUNNING, USAGE, Failure
from skerry.cli.fleet import Fleet, fleet, leaders
from skerry.cli.plan import RunStatus, is_locked, read_status
from skerry.cli.term import out, program, progress, say
from skerry.errors import SkerryError

StateDir = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State directory. Default: SKERRY_STATE.")
]


# down


def down(
    state_dir: StateDir = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete the state, and our entries in your kubeconfig.")
    ] = False,
) -> None:
    """Stop the host (and the demo, if it runs). The state is kept unless --purge."""
    root = state.directory(state_dir)
    host = root / "host"
    members = _members(host) if purge else []
    with progress() as display:
        _stop_demo(root)
        ran = launch.stop(host / "lock", launch.STOP_S, lambda: display.show(f"stopping: {_stopping(host)}"))
    say("the host has stopped" if ran else "the host was not running")
    if purge:
        _purge(root, host, members)


def _stop_demo(root: Path) -> None:
    if (root / "demo").exists():
        from skerry.cli import demo as tour

        tour.stop(root)


def _stopping(host: Path) -> str:
    status = read_status(host)
    names = [p.name for p in status.processes if p.reason == "stopping"] if status is not None else []
    return ", ".join(names) or "the host"


def _members(host: Path) -> list[str]:
    """Names of members, for the list of what is left on them; empty if the host does not answer."""
    if not is_locked(host / "lock"):
        return []
    from skerry.cli import kubeconfig
    from skerry.cli.api import Api, clusters, members

    try:
        return members(clusters(Api(kubeconfig.context([host / "admin.kubeconfig"], ""), timeout_s=3)))
    except SkerryError:
        return []


def _purge(root: Path, host: Path, members: list[str]) -> None:
    from skerry.cli import kubeconfig, merging

    ca = host / "pki" / "ca.crt"
    if ca.exists():
        for path in merging.remove_ours(ca.read_bytes(), kubeconfig.files()):
            say(f"removed our entries from {path}")
    demo_members = _demo_members(root)
    existed = host.exists()
    for path in (host, *root.glob("host.format-*")):
        _delete(path)
    for half in root.glob("host*.deleting"):
        shutil.rmtree(half)
    if existed:
        say(f"deleted {host}")
    _purge_demo(root)
    left = [name for name in members if name not in demo_members]
    if left:
        say(f"members that had joined: {', '.join(left)}. What may be left on each goes with these commands:")
        for line in leftovers():
            say(f"  {line}")
    for path in sorted((root / "agents").glob("*")):
        say(f"an agent of this machine is kept: {path} (stop it: {program()} agent stop {path.name})")
    for path in (root / "agents", root):
        if path.exists() and not any(path.iterdir()):
            path.rmdir()


def _delete(path: Path) -> None:
    """Out of the way in one step, then gone: half of a state directory would start as another host with these keys."""
    aside = path.with_name(f"{path.name}.deleting")
    if aside.exists():
        shutil.rmtree(aside)
    if path.exists():
        path.rename(aside)
        shutil.rmtree(aside)


def _demo_members(root: Path) -> list[str]:
    if not (root / "demo").exists():
        return []
    from skerry.cli import demo as tour

    return tour.MEMBERS


def _purge_demo(root: Path) -> None:
    if (root / "demo").exists():
        from skerry.cli import demo as tour

        tour.purge(root)


# status


def status(
    state_dir: StateDir = None,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json", help="json: for programs.")] = "",
) -> None:
    """Show whether the host runs, how its processes and its members are, and who leads.

    Exit code 3: not running.

    Example: skerry status -o json
    """
    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json", USAGE)
    root = state.directory(state_dir)
    host = root / "host"
    running = is_locked(host / "lock")
    running_status = read_status(host) if running else None
    answer = _answer(root, running_status)
    if style:
        output.document(answer, style)
    if running_status is None:
        raise Failure(f"the host is not running (state {root}): {program()} up", NOT_RUNNING)
    if not style:
        _print_status(answer, running_status)


def _answer(root: Path, status: RunStatus | None) -> dict[str, Any]:
    processes = status.processes if status is not None else []
    fields = ("name", "pid", "ready", "reason", "log")
    return {
        "version": status.version if status is not None else __version__,
        "state": str(root),
        "api": status.api if status is not None else "",
        "bus": status.bus if status is not None else "",
        "ready": status is not None and status.ready,
        "processes": [{field: getattr(process, field) for field in fields} for process in processes],
        "clusters": fleet([])._asdict(),
        "appStore": None,
        **(_inside(root / "host") if status is not None else {}),
        "leaders": leaders(root / "host", status) if status is not None else {},
    }


def _inside(host: Path) -> dict[str, Any]:
    """`clusters`: members by state; `appStore`: whether it can be used, and the Helm. Null where the host does not answer."""
    from skerry.cli import kubeconfig
    from skerry.cli.api import Api, path_of
    from skerry.cli.commands.app.store import seen

    inside: dict[str, Any] = {"clusters": dict.fromkeys(Fleet._fields), "appStore": None}
    try:
        api = Api(kubeconfig.context([host / "admin.kubeconfig"], ""), timeout_s=3)
        inside["clusters"] = fleet(api.get(path_of("clusters")).get("items", []))._asdict()
        store = seen(api.get(path_of("appstores", "host")), [])
        inside["appStore"] = {key: store[key] for key in ("enabled", "usable", "reason", "helm")}
    except (SkerryError, OSError):
        return inside
    return inside


def _print_status(answer: dict[str, Any], status: RunStatus) -> None:
    clusters = answer["clusters"]
    state_text = "ready" if status.ready else status.phase
    out(f"host {status.options.name} ({answer['version']}): {state_text}")
    out(f"  api    {answer['api']}\n  bus    {answer['bus']}\n  state  {answer['state']}")
    if clusters["total"] is not None:
        out(f"  members: {clusters['total']}, ready: {clusters['ready']}")
        if clusters["states"]:
            out("  of these: " + ", ".join(f"{state} {count}" for state, count in clusters["states"].items()))
        if desired := clusters["desired"]["entries"]:
            out(f"  not in place: {desired} on {clusters['desired']['members']} (skerry desired --problems)")
    if store := answer["appStore"]:
        from skerry.cli.commands.app.store import in_one_line

        out(f"  app store: {in_one_line(store)}")
    for service, holder in (answer["leaders"] or {}).items():
        out(f"  leader of {service}: {holder}")
    rows = [[p.name, str(p.pid or "-"), str(p.ready), str(p.restarts), p.reason] for p in status.processes]
    output.columns(["PROCESS", "PID", "READY", "RESTARTS", "REASON"], rows)


# logs


def logs(
    process: Annotated[
        str, typer.Argument(help="nats-server, controller-manager, tower, supervisor or agent-NAME.")
    ] = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("--tail", help="Lines of each log to begin with.")] = 50,
    state_dir: StateDir = None,
) -> None:
    """Show the logs of the host's processes and of detached agents."""
    from skerry.cli.logs import show

    root = state.directory(state_dir)
    files = {path.stem: path for path in sorted((root / "host" / "logs").glob("*.log"))}
    files |= {f"agent-{path.parent.name}": path for path in sorted((root / "agents").glob("*/agent.log"))}
    files |= {f"demo-{path.stem}": path for path in sorted((root / "demo" / "logs").glob("*.log"))}
    if process and process not in files:
        raise Failure(f"no log of {process!r} in {root}; there is: {', '.join(files) or 'none'}")
    if not files:
        raise Failure(f"no logs in {root}: {program()} up starts a host")
    chosen = {process: files[process]} if process else {n: p for n, p in files.items() if not n.startswith("demo-")}
    show(chosen, lines, follow=follow)


# nats-config


def nats_config(
    nats_keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keys of the server; made if there are none.")
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option("--address", metavar="HOST", help="Names for its certificate; repeatable.")
    ] = None,
    bus: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it listens.")] = "0.0.0.0:4222",
    secret: Annotated[
        Path | None, typer.Option(metavar="DIR", help="In a pod of the host: where Secret skerry-nats is mounted.")
    ] = None,
    store: Annotated[Path, typer.Option(metavar="DIR", help="With --secret: where the server keeps its state.")] = Path(
        "/data"
    ),
    server_name: Annotated[str, typer.Option(metavar="NAME", help="With --secret: of the server.")] = "skerry",
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer", metavar="HOST", help="With --secret: a server of the cluster, each of them; repeatable."
        ),
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there, for its owner alone.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Print the configuration that a nats-server of your own needs.

    Example: skerry nats-config --nats-keys keys --address bus.example.org > nats.conf
    """
    if secret is not None:
        from skerry.cli.incluster.nats import configuration as of_secret

        _put_out(of_secret(secret, store, server_name, tuple(peer or ())), output_file)
        return
    from skerry.cli.external import configuration

    directory = nats_keys.expanduser().absolute() if nats_keys else state.directory(state_dir) / "host" / "keys"
    _put_out(configuration(directory, address or [], bus, make=nats_keys is not None), output_file)


def _put_out(text: str, file: Path | None) -> None:
    if file is None:
        out(text.rstrip())
        return
    from skerry.identity.files import write_private

    write_private(file, text.encode(), durable=False)
