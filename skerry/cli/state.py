"""The state directory: where it is, its format version, and moving an older one forward.

`--state`, else `SKERRY_STATE`, else `/var/lib/skerry` for root, else `$XDG_STATE_HOME/skerry`. Below it `host/`, `agents/<name>/`
and `demo/`, each with its own lock. `host/state.json` says which format `host/` has: newer code copies the directory
to `host.format-<N>` before it changes anything; older code refuses newer state, naming both versions.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from skerry import __version__
from skerry.cli.failure import FAILED, Failure
from skerry.identity.files import write_private

FORMAT = 1
"""Format of `host/` that this version writes."""


class Restoring(msgspec.Struct, frozen=True, kw_only=True):
    """A restore that has begun and not ended."""

    file: str
    """The backup."""
    began: str
    copied: bool
    """Whether there is a copy of what the store held before; if not, it held nothing."""
    external: bool = False
    """The store is on a bus of somebody else's: nothing is known of what it held before."""


class StateFile(msgspec.Struct, frozen=True, kw_only=True):
    """`state.json`."""

    format: int
    version: str
    """The Skerry version that wrote it last."""
    name: str = "skerry"
    uid: str = ""
    """Identity of this host, made at first start."""
    restoring: Restoring | None = None
    """While it is set the store is half of one and half of another (skerry/cli/restoring.py)."""


Migration = Callable[[Path, StateFile], StateFile]


def _from_0(host: Path, saved: StateFile) -> StateFile:
    """Format 0, of builds before 0.1.0, may lack the host's UID."""
    return msgspec.structs.replace(saved, format=1, uid=saved.uid or str(uuid.uuid4()))


MIGRATIONS: Mapping[int, Migration] = {0: _from_0}
"""From format N to N+1, by N. Each gets the host directory and its state file."""


def directory(chosen: Path | None) -> Path:
    """The state directory, absolute; it may not exist."""
    if chosen is not None:
        return chosen.expanduser().absolute()
    if named := os.environ.get("SKERRY_STATE"):
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0 and not os.environ.get("XDG_STATE_HOME"):
        return Path("/var/lib/skerry")
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "skerry"


def make_private(path: Path) -> None:
    """Make a directory that only its owner may enter. Raises Failure if that cannot be done."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Failure(
            f"the state directory {path} is not writable: {error.strerror}; choose another with --state DIR"
        ) from error


def read(host: Path) -> StateFile | None:
    """The state file of a host directory; None at a first start.

    Raises Failure if it is of a newer format, or unreadable.
    """
    path = host / "state.json"
    if not path.exists():
        return None
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=StateFile)
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"{path} cannot be read ({error}); restore it, or start anew with another --state") from error
    if saved.format > FORMAT:
        raise Failure(
            f"the state in {host} has format {saved.format}, written by skerry {saved.version}; "
            f"this is skerry {__version__}, which knows format {FORMAT}: install skerry {saved.version} or newer",
            FAILED,
        )
    return saved


def write(host: Path, state: StateFile) -> None:
    """Write the state file; on disk when this returns."""
    write_private(host / "state.json", msgspec.json.format(msgspec.json.encode(state)) + b"\n")


def migrate(
    host: Path, saved: StateFile, migrations: Mapping[int, Migration] = MIGRATIONS
) -> tuple[StateFile, Path | None]:
    """Bring `host/` to FORMAT, after a copy. Returns the new state file and where the copy is (None: nothing to do).

    The copy has the keys too and the same modes. If a step fails the copy is put back.
    """
    if saved.format == FORMAT:
        return saved, None
    copy = host.with_name(f"{host.name}.format-{saved.format}")
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(host, copy, symlinks=True)
    try:
        for number in range(saved.format, FORMAT):
            step = migrations.get(number)
            if step is None:
                raise Failure(
                    f"the state in {host} has format {number}, from skerry {saved.version}, "
                    f"and skerry {__version__} cannot read it any more: start skerry {saved.version} once more, "
                    f"or use another --state"
                )
            saved = step(host, saved)
        write(host, saved)
    except BaseException:
        aside = host.with_name(f"{host.name}.half-migrated")
        host.rename(aside)
        copy.rename(host)
        shutil.rmtree(aside)
        raise
    return saved, copy


def check_migrated(host: Path) -> None:
    """Failure if a migration was cut off while it put its copy back: that is the state, and this is no first start."""
    copies = sorted(host.parent.glob(f"{host.name}.format-*"))
    if copies:
        raise Failure(
            f"{host} holds nothing, and {copies[-1]} is the copy of a migration that was cut off: "
            f"put it back: rm -r {host} && mv {copies[-1]} {host}"
        )
