"""backup and restore: the whole control plane in one file, and back. Both run on the host's machine, with its keys.

A restore needs the host to be down: it starts the bus alone, makes the buckets anew and stops it again. What the bus had on
disk before is kept beside it, and put back if the restore fails; one that is cut off is marked (skerry/cli/restoring.py).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from skerry.cli import hostbus, restoring, state
from skerry.cli.commands.host import StateDir
from skerry.cli.failure import NOT_RUNNING, USAGE, Failure
from skerry.cli.layout import endpoint
from skerry.cli.plan import Locked, Plan, UpOptions, is_locked, lock, read_plan, write_pid
from skerry.cli.term import out, program, progress, say
from skerry.identity.files import write_private

if TYPE_CHECKING:
    from skerry.bus import Bus
    from skerry.identity.federation import Authority
    from skerry.storage.archive import Archive

REACHED_S = 20.0

T = TypeVar("T")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; replaced if it exists.")],
    state_dir: StateDir = None,
) -> None:
    """Write every resource and every (encrypted) secret of the running host to FILE.

    The keys are not in it: keep copies of keys/, pki/ and state.json of the state directory apart from it.
    Example: skerry backup skerry-$(date +%F).backup
    """
    from skerry.storage import archive, utc_now

    target = file.expanduser().absolute()
    if not target.parent.is_dir() or (target.exists() and not target.is_file()):
        raise Failure(f"{file} cannot be written: name a file in a directory that exists", USAGE)
    host = state.directory(state_dir) / "host"
    plan = read_plan(host)
    if plan is None or not is_locked(host / "lock"):
        raise Failure(f"the host is not running (state {host.parent}): {program()} up, then the backup", NOT_RUNNING)
    authority, uid = _authority(host, plan.options), _uid(host)
    with progress() as display:
        display.show("reading the store")
        taken = _with_bus(
            host, plan, authority, False, lambda bus: archive.take(bus, uid, authority.public.host, utc_now())
        )
    try:
        write_private(target, archive.encode(taken))
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from error
    revision = max(bucket.revision for bucket in taken.header.buckets)
    out(f"{file}: {len(taken.lines)} entries up to revision {revision}")
    say(f"the keys are not in it: keep {host}/keys, {host}/pki and {host}/state.json in another safe place")


def restore(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A backup of this host.")] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Instead: what was there before a restore that was cut off.")
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Put FILE in the place of all resources and secrets. The host must be down.

    What was made since the backup is gone, what was removed since is back: look at clusters, tokens and credentials.
    Clients that watched before get 410 and list again. Example: skerry down && skerry restore FILE && skerry up
    """
    from skerry.storage import archive

    host = state.directory(state_dir) / "host"
    if undo == (file is not None):
        raise Failure(f"give the backup: {program()} restore FILE, or --undo after one that was cut off", USAGE)
    if file is None:
        with _held(host):
            restoring.undo(host)
        out("the store is as it was before the restore")
    else:
        try:
            saved = archive.decode(file.expanduser().read_bytes())
        except OSError as error:
            raise Failure(f"{file} cannot be read: {error.strerror}") from error
        _check_same(host, saved)
        with _held(host):
            _restore(host, saved, file.expanduser().absolute())
        out(f"restored {len(saved.lines)} entries of {saved.header.taken}")
    out(f"next:\n  {program()} up")


@contextmanager
def _held(host: Path) -> Iterator[None]:
    """The lock of a host that is down. Failure if it runs."""
    os.umask(0o077)
    try:
        held = lock(host / "lock")
    except Locked:
        raise Failure(f"the host is running (state {host.parent}): {program()} down, then the restore") from None
    except OSError as error:
        raise Failure(f"there is no host in {host}: {error.strerror}") from error
    try:
        write_pid(held)
        yield
    finally:
        os.close(held)


def _restore(host: Path, saved: Archive, file: Path) -> None:
    from skerry.api.times import rfc3339
    from skerry.cli import bootstrap
    from skerry.storage import archive, utc_now

    plan = bootstrap.prepare(host, _options(host))
    external = bool(plan.options.nats)
    with progress() as display:

        async def work(bus: Bus) -> int:
            now = utc_now()
            restoring.begin(host, file, rfc3339(now), external=external)
            return await archive.restore(
                bus, saved, now, lambda done, of: display.show(f"restoring: {done} of {of} entries")
            )

        with restoring.kept_files(host, external=external), _only_the_bus(host, plan):
            display.show("restoring")
            _with_bus(host, plan, _authority(host, plan.options), True, work)


def _options(host: Path) -> UpOptions:
    """As the host was started last; on a machine where it never was, ports that are free."""
    last = read_plan(host)
    if last is not None:
        return last.options
    name = (state.read(host) or state.StateFile(format=state.FORMAT, version="")).name
    listen, bus = (str(endpoint("127.0.0.1:0", option)) for option in ("--listen", "--bus"))
    return UpOptions(name=name, listen=listen, bus=bus)


def _check_same(host: Path, saved: Archive) -> None:
    """Failure unless the state directory is of the host that the backup is of: its secrets need its keys."""
    last = read_plan(host)
    keys = Path(last.options.nats_keys) if last is not None and last.options.nats_keys else host / "keys"
    known = state.read(host)
    if known is None or not (keys / "authority.json").exists() or not (keys / "secrets.key").exists():
        raise Failure(
            f"{host} has no keys of a host: put the host's keys/, pki/ and state.json back there first, the backup has none"
        )
    account = _authority(host, last.options if last is not None else UpOptions()).public.host
    if (known.uid, account) != (saved.header.host, saved.header.account):
        raise Failure(
            f"this backup is of the host {saved.header.host}, {host} of the host {known.uid}: its secrets cannot be read "
            "with other keys; name the right state directory with --state DIR"
        )
    _check_readable(saved, keys / "secrets.key")


def _check_readable(saved: Archive, key: Path) -> None:
    """Failure if the backup is older than the key: what is sealed in it would be lost, and members with it."""
    from skerry.storage.sealed import SEALED, Keyring, Unreadable

    keyring, unreadable = Keyring(key), 0
    keyrings = {"secrets": keyring, **{bucket: Keyring(key, service) for service, bucket in SEALED.items()}}
    for line in saved.lines:
        if line.bucket in keyrings:
            try:
                keyrings[line.bucket].opened(line.key, line.content)
            except Unreadable:
                unreadable += 1
    if not unreadable:
        return
    if not keyring.rotating:
        raise Failure(
            f"{unreadable} secrets of this backup were sealed with a key that was replaced since: put its copy of that time "
            f"beside the new one as {keyring.previous}, restore, then: {program()} keys rotate secrets"
        )
    say(f"{unreadable} secrets of this backup are opened by no key")


def _authority(host: Path, options: UpOptions) -> Authority:
    from skerry.cli import bootstrap
    from skerry.identity.federation import Authority

    return Authority.load(bootstrap.keys_of(host, options))


def _uid(host: Path) -> str:
    known = state.read(host)
    if known is None:
        raise Failure(f"{host}/state.json is missing: put it back, or start anew with another --state")
    return known.uid


def _with_bus(host: Path, plan: Plan, authority: Authority, restoring: bool, work: Callable[[Bus], Awaitable[T]]) -> T:
    """The result of `work` on a connection of its own. Failure if the bus cannot be reached."""
    from skerry.bus import Bus

    settings = hostbus.settings(host, plan.options, "skerry restore" if restoring else "skerry backup")

    async def connected() -> T:
        async with Bus(settings, lambda: authority.archivist_credentials(restoring=restoring)) as bus:
            try:
                async with asyncio.timeout(REACHED_S):
                    await bus.ready()
            except TimeoutError:
                raise Failure(f"the bus at {', '.join(settings.servers)} cannot be reached: {bus.reason}") from None
            return await work(bus)

    return asyncio.run(connected())


@contextmanager
def _only_the_bus(host: Path, plan: Plan) -> Iterator[None]:
    """Our own nats-server, alone; nothing where the bus is somebody else's."""
    process = next((each for each in plan.processes if each.name == "nats-server"), None)
    if process is None:
        yield
        return
    with (host / "logs" / "nats-server.log").open("ab") as log:
        environment = {**os.environ, "SKERRY_PARENT_PID": str(os.getpid())}
        server = subprocess.Popen(
            process.argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    try:
        yield
    finally:
        server.terminate()
        server.wait(30)
