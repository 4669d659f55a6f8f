"""up: start a host on this machine, wait until it is ready, and hand the terminal over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import typer

from skerry.cli import follow, launch, restoring, state
from skerry.cli.commands.host import StateDir
from skerry.cli.failure import FAILED, MISSING, USAGE, Failure, exit_code, one_line
from skerry.cli.layout import Layout, check_ports, endpoint
from skerry.cli.plan import Locked, UpOptions, lock, read_plan, read_status, write_pid
from skerry.cli.term import out, program, progress, say, seconds
from skerry.errors import SkerryError

if TYPE_CHECKING:
    from skerry.cli.plan import Plan

RECOVERY_S = 10.0
"""After a crash: how long the processes of before may take to vanish."""


def up(
    state_dir: StateDir = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the host; contexts in kubeconfigs start with it.")
    ] = "skerry",
    address: Annotated[
        list[str] | None,
        typer.Option(
            "--address", metavar="HOST", help="How others reach this machine; repeatable. Opens all interfaces."
        ),
    ] = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Front door.")] = "127.0.0.1:8443",
    bus: Annotated[str, typer.Option(metavar="HOST:PORT", help="Bus, where agents dial in.")] = "127.0.0.1:4222",
    detach: Annotated[bool, typer.Option("--detach", help="Return when ready; the host stays.")] = False,
    wait: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait until it is ready.")] = "60s",
    demo: Annotated[bool, typer.Option("--demo", help="With two demo members, and a short tour.")] = False,
    nats: Annotated[str, typer.Option(metavar="URL", help="An external nats-server; see nats-config.")] = "",
    nats_keys: Annotated[Path | None, typer.Option(metavar="DIR", help="Keys of the external nats-server.")] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Authority of people's client certificates: CN is the user, each O a group."),
    ] = None,
) -> None:
    """Start a host on this machine: bus, controller-manager and front door.

    Examples: skerry up --detach        skerry up --address host.example.org
    """
    if bool(nats) != bool(nats_keys):
        raise Failure("--nats and --nats-keys go together", USAGE)
    limit = seconds(wait)
    options = _options(name, address or [], listen, bus, nats, nats_keys)
    if client_ca is not None:
        options = msgspec.structs.replace(options, client_ca=_authority(client_ca))
    root = state.directory(state_dir)
    host = root / "host"
    if not detach:
        # A script's `skerry up &` starts with SIGINT ignored; what runs in the foreground ends by it all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    supervisor = _start(root, host, options, detach=detach, limit=limit)
    bound = None if detach else supervisor
    try:
        if demo:
            _tour(root, limit, bound=bound is not None)
        if bound is not None:
            say(f"running in the foreground: Ctrl-C stops it ({program()} up --detach leaves it in the background)")
            signal.pthread_sigmask(signal.SIG_BLOCK, follow.SIGNALS)  # what comes from here on waits for `follow`
    except BaseException:
        if bound is not None:
            _end(bound)
        raise
    if bound is not None:
        _follow(root, bound.pid, demo=demo)


def _tour(root: Path, limit: float, *, bound: bool) -> None:
    """The demo. In the foreground the host goes on without it if it cannot be had."""
    from skerry.cli import demo as tour

    try:
        tour.run(root, limit, bound=bound)
    except SkerryError as error:
        if not bound or exit_code(error) != MISSING:
            raise
        say(f"error: {one_line(error)}")


def _follow(root: Path, pid: int, *, demo: bool) -> NoReturn:
    """Become the small process that waits for the supervisor. Its signals are blocked: it hears them when it can."""
    python = [sys.executable, "-P", "-m"]
    cleanup = [*python, "skerry.cli", "down", "--state", str(root)] if demo else []
    os.execv(sys.executable, [*python, "skerry.cli.follow", str(pid), *cleanup])  # noqa: S606


def _options(name: str, addresses: list[str], listen: str, bus: str, nats: str, nats_keys: Path | None) -> UpOptions:
    from skerry.api.validation import is_label

    if not is_label(name):
        raise Failure(f"--name {name!r}: use a-z, 0-9 and -, at most 63 characters", USAGE)
    keys = str(nats_keys.expanduser().absolute()) if nats_keys else ""
    return UpOptions(name=name, addresses=addresses, listen=listen, bus=bus, nats=nats, nats_keys=keys)


def _authority(file: Path) -> str:
    """The path of a file of certificates, absolute."""
    import ssl

    path = file.expanduser().absolute()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        why = "it has no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise Failure(f"--client-ca {file} cannot be used: {why}", USAGE) from error
    return str(path)


def _start(root: Path, host: Path, options: UpOptions, *, detach: bool, limit: float) -> subprocess.Popen[bytes] | None:
    """Bring the host up; None if it was up already."""
    os.umask(0o077)
    state.make_private(root)
    state.make_private(host)
    try:
        lock_number = lock(host / "lock")
    except Locked:
        _already(host, options, limit)
        return None
    except OSError as error:
        raise Failure(
            f"the state directory {host} is not usable: {error.strerror}; choose another with --state"
        ) from error
    write_pid(lock_number)
    started = time.monotonic()
    with progress() as display:
        display.show("preparing the host")
        plan = _prepared(host, options)
        supervisor = launch.start(host, lock_number, detach=detach)
        os.close(lock_number)
        try:
            launch.wait_ready(host, supervisor, limit, display, "the host")
        except BaseException as error:
            if not detach or not isinstance(error, Failure) or error.code == FAILED:
                _end(supervisor)
            raise
    _summary(host, plan.api, plan.bus, options, f"is up after {time.monotonic() - started:.1f} s")
    return supervisor


def _prepared(host: Path, options: UpOptions) -> Plan:
    from skerry.cli import bootstrap

    first = state.read(host) is None
    restoring.check(host)
    try:
        _wait_for_the_dead(host, options)
        options = _with_ports(host, options)
        plan = bootstrap.prepare(host, options)
        if options.nats:
            from skerry.cli.external import check

            check(options)
    except BaseException:
        if first:
            bootstrap.remove_first_start(host)
            shutil.rmtree(host / "logs", ignore_errors=True)
            (host / "lock").unlink(missing_ok=True)
        raise
    return plan


def _wait_for_the_dead(host: Path, options: UpOptions) -> None:
    """After a crash, the processes of before get a moment to end and to leave their ports."""
    before = read_status(host)
    if before is None or before.phase in ("stopped", "failed"):
        return
    say("the host was not stopped properly before; starting it again")
    deadline = time.monotonic() + RECOVERY_S
    while time.monotonic() < deadline:
        try:
            check_ports(Layout.of(before.options), own_bus=not options.nats)
        except Failure:
            time.sleep(0.1)
        else:
            return


def _with_ports(host: Path, options: UpOptions) -> UpOptions:
    """Port 0 becomes the port of the last start if there was one, else a free one."""
    last = read_plan(host)
    chosen = {}
    for field in ("listen", "bus"):
        text = str(getattr(options, field))
        if text.endswith(":0"):
            before = str(getattr(last.options, field)) if last is not None else ""
            same_host = before.rpartition(":")[0] == text.rpartition(":")[0]
            chosen[field] = before if same_host else str(endpoint(text, f"--{field}"))
    return msgspec.structs.replace(options, **chosen)


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    supervisor.terminate()
    supervisor.wait()


def _already(host: Path, options: UpOptions, limit: float) -> None:
    with progress() as display:
        status = launch.wait_ready(host, None, limit, display, "the host")
    different = _differences(status.options, options)
    if different:
        raise Failure(
            f"the host is running already, with other options ({', '.join(different)}): "
            f"{program()} down, then {program()} up with the new ones"
        )
    _summary(host, status.api, status.bus, status.options, f"is running already, as process {status.pid}")


def _differences(running: UpOptions, options: UpOptions) -> list[str]:
    differences = []
    for field in msgspec.structs.fields(UpOptions):
        old, new = getattr(running, field.name), getattr(options, field.name)
        if old == new or (str(new).endswith(":0") and str(old).rpartition(":")[0] == str(new).rpartition(":")[0]):
            continue
        option = {"addresses": "--address"}.get(field.name, f"--{field.name.replace('_', '-')}")
        differences.append(f"{option} is {_shown(old)}, asked: {_shown(new)}")
    return differences


def _shown(value: Any) -> str:
    return (", ".join(value) if isinstance(value, list) else str(value)) or "not set"


def _summary(host: Path, api: str, bus: str, options: UpOptions, how: str) -> None:
    admin = host / "admin.kubeconfig"
    out(f"host {options.name} {how}")
    out(f"  api         {api}")
    out(f"  bus         {bus}")
    out(f"  state       {host.parent}")
    out(f"  kubeconfig  {admin}")
    out("next:")
    out(f"  {program()} token create NAME        a token with which a cluster joins")
    out(f"  kubectl --kubeconfig {admin} get clusters")
