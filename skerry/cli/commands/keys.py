"""keys: which keys this host has, and how each is replaced under load. On the host's machine alone: the keys are files there."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from skerry.cli import output, state
from skerry.cli.commands.host import StateDir
from skerry.cli.failure import MISSING, NOT_RUNNING, USAGE, Failure
from skerry.cli.plan import RunStatus, is_locked, read_status
from skerry.cli.term import out, program, progress, say, seconds

if TYPE_CHECKING:
    from skerry.cli.keys.host import HostKeys
    from skerry.cli.keys.rotation import KeyStanding
    from skerry.identity.nkey import KeyPair

T = TypeVar("T")
HELP = "The host's own keys: signing, host, sys, trust-root, secrets. On the host's machine only."

keys = typer.Typer(no_args_is_help=True, help=HELP)

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="As skerry keys list names it.")]


@keys.command("list")
def list_(
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="A document.")] = "",
    state_dir: StateDir = None,
) -> None:
    """List the keys: since when, whether a rotation is open, and how much of what each signs or seals is by the newest.

    Example: skerry keys list -o json
    """
    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)

    async def look(host: HostKeys) -> list[KeyStanding]:
        return [await each.look() for each in host.keys]

    found = _with_keys(state_dir, look)
    if style:
        output.document([_document(each) for each in found], style)
        return
    rows = [[each.key, _at(each.made), each.state, f"{each.moved}/{each.total}"] for each in found]
    output.columns(["KEY", "MADE", "STATE", "MOVED"], rows)
    for each in found:
        _tell(each)


@keys.command("rotate")
def rotate(
    key: KeyName,
    root: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The operator's root seed, for signing. Default: keys/root/operator.nk."),
    ] = None,
    wait: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait until all has moved.")] = "10m",
    state_dir: StateDir = None,
) -> None:
    """Make a new KEY beside the old one and move everything to it. Killed or timed out, run it again: it goes on.

    Examples: skerry keys rotate secrets        skerry keys rotate signing --root /media/safe/operator.nk
    """
    from skerry.cli.keys import rotation

    limit_s = seconds(wait)
    with progress() as display:

        async def work(host: HostKeys) -> KeyStanding:
            chosen = host.key(key)
            with rotation.alone(host.directory):
                return await rotation.rotate(chosen, lambda: _root(host, root), limit_s, display.show, host.tell)

        found = _with_keys(state_dir, work)
    out(f"key {key}: {found.moved} of {found.total} moved")
    _tell(found)
    say(f"next: {program()} keys finish {key} drops the old one")


@keys.command("finish")
def finish(
    key: KeyName,
    drop_away: Annotated[bool, typer.Option("--drop-away", help="Also if somebody is lost by that.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Drop the old KEY: from then on nothing is believed by it or opened with it.

    Example: skerry keys finish secrets
    """
    from skerry.cli.keys import rotation

    with progress() as display:

        async def work(host: HostKeys) -> None:
            chosen = host.key(key)
            with rotation.alone(host.directory):
                await rotation.finish(chosen, display.show, drop_away=drop_away, tell=host.tell)

        _with_keys(state_dir, work)
    out(f"key {key}: the old one is dropped")


def _with_keys(state_dir: Path | None, work: Callable[[HostKeys], Awaitable[T]]) -> T:
    """The result of `work` on the keys of the host that runs here. Failure if none does."""
    root = state.directory(state_dir)
    host = root / "host"
    status = read_status(host) if is_locked(host / "lock") else None
    if status is None:
        raise Failure(
            f"no host runs here (state {root}): {program()} keys works on the host's machine only", NOT_RUNNING
        )
    os.umask(0o077)
    return asyncio.run(_worked(host, status, work))


async def _worked(host: Path, status: RunStatus, work: Callable[[HostKeys], Awaitable[T]]) -> T:
    from skerry.cli.keys.host import opened

    async with opened(host, status) as found:
        return await work(found)


def _root(host: HostKeys, named: Path | None) -> KeyPair:
    """The operator's root seed. Failure: it is not there, or another's."""
    from skerry.errors import BadRequest
    from skerry.identity import nkey

    path = named.expanduser().absolute() if named else host.directory / "root" / "operator.nk"
    try:
        root = nkey.from_seed(path.read_bytes().strip())
    except FileNotFoundError:
        raise Failure(
            f"the operator's root seed is needed and {path} is not there: name the file of its safe copy with --root FILE",
            MISSING,
        ) from None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", MISSING) from error
    except BadRequest as error:
        raise Failure(f"{path} holds no seed: name the operator's root seed with --root FILE") from error
    if root.public != host.authority.public.operator:
        raise Failure(f"{path} is not the root seed of this host's operator ({host.authority.public.operator})")
    return root


def _document(each: KeyStanding) -> dict[str, object]:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(each.made))
    return {"key": each.key, "made": created, "state": each.state, "moved": each.moved, "total": each.total}


def _tell(each: KeyStanding) -> None:
    if each.missing:
        say(f"key {each.key}: not moved yet: {each.lacking}")
    if each.note:
        say(f"key {each.key}: {each.note}")


def _at(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
