"""A restore on disk: what the bus held before, the mark that says that a restore has begun, and the way back.

The order makes any cut harmless: a whole copy under its own name, then the mark (`restoring` in state.json, on disk before
this goes on), then the first change of the store; the mark goes when the store is whole again, the new one or the old one.
While it stands `skerry up` refuses, the copy is not replaced, and the restore is repeated or undone. A bus of somebody
else's has no copy: there a restore that was cut off can only be repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from skerry.cli import state
from skerry.cli.failure import Failure
from skerry.cli.state import Restoring, StateFile
from skerry.cli.term import program, say
from skerry.errors import SkerryError
from skerry.identity.files import sync

BEFORE = "nats.before-restore"
"""Where the bus's files of before are kept, beside `nats`."""
_COPYING, _ASIDE = "nats.copying", "nats.half-restored"


def check(host: Path) -> None:
    """Failure if a restore of this host did not come to its end: the store is half of one and half of another."""
    mark = _known(host).restoring if (host / "state.json").exists() else None
    if mark is None:
        return
    undo = "" if mark.external else f"; or go back to what was there before: {program()} restore --undo"
    raise Failure(
        f"a restore of {mark.file}, begun at {mark.began}, did not come to its end, and what the store holds is not whole. "
        f"Repeat it: {program()} restore {mark.file}{undo}"
    )


def begin(host: Path, file: Path, began: str, *, external: bool) -> None:
    """Mark the host; on disk when this returns. What a restore marked before that was cut off stays true."""
    known = _known(host)
    copied = (host / BEFORE).exists() if known.restoring is None else known.restoring.copied
    mark = Restoring(file=str(file), began=began, copied=copied and not external, external=external)
    state.write(host, msgspec.structs.replace(known, restoring=mark))


def end(host: Path) -> None:
    """The store is whole."""
    known = _known(host)
    if known.restoring is not None:
        state.write(host, msgspec.structs.replace(known, restoring=None))


@contextmanager
def kept_files(host: Path, *, external: bool) -> Iterator[None]:
    """A copy of the bus's files while the block runs and after it; put back if the block fails, the mark with it."""
    (host / "logs").mkdir(mode=0o700, exist_ok=True)
    try:
        if not external and _known(host).restoring is None:
            _copy(host)
        yield
    except BaseException as error:
        marked = _known(host).restoring is not None
        if not external:
            put_back(host)
        if isinstance(error, SkerryError | OSError):
            how = "the store is half restored: repeat it" if external and marked else "the store is as it was before"
            raise Failure(f"nothing was restored, {how}: {error}") from error
        raise
    end(host)
    if (host / BEFORE).exists():
        say(f"what the bus held before is kept in {host / BEFORE}")


def undo(host: Path) -> None:
    """Back to what the store held before the restore that was cut off. Failure if there was none, or no copy of it."""
    mark = _known(host).restoring
    if mark is None:
        raise Failure("no restore of this host was cut off: there is nothing to undo")
    if mark.external:
        raise Failure(
            f"what an external bus held before is not kept here: repeat the restore: {program()} restore {mark.file}"
        )
    put_back(host)


def put_back(host: Path) -> None:
    """Make the copy the bus's files again, and take the mark off. May be cut at any point, and repeated."""
    mark = _known(host).restoring
    files, copy, aside = host / "nats", host / BEFORE, host / _ASIDE
    if copy.exists() and (mark is None or mark.copied):
        if files.exists():
            shutil.rmtree(aside, ignore_errors=True)
            files.rename(aside)
        copy.rename(files)
        sync(host)
    elif mark is not None and not mark.copied:
        shutil.rmtree(files / "jetstream", ignore_errors=True)
    end(host)
    shutil.rmtree(aside, ignore_errors=True)


def _copy(host: Path) -> None:
    """What the bus holds, under BEFORE: whole, or not at all."""
    files, copy, aside = host / "nats", host / BEFORE, host / _COPYING
    for old in (copy, aside):
        if old.exists():
            shutil.rmtree(old)
    if (files / "jetstream").exists():
        shutil.copytree(files, aside)
        for path in (*aside.rglob("*"), aside):
            sync(path)
        aside.rename(copy)
        sync(host)


def _known(host: Path) -> StateFile:
    known = state.read(host)
    if known is None:
        raise Failure(f"{host}/state.json is missing: put it back, or start anew with another --state")
    return known
