"""The agent's state directory: one member's identity, kept across restarts.

    lock          held while an agent uses the directory (flock: gone with the process, so never stale)
    seed          the agent's own nkey, written before the join is asked, so that a lost answer can be asked for again
    agent.json    whom it joined, where the bus is, what it pinned; written last: without it nothing has been joined
    rekey         empty: its own people want it to have another key
    seed.next     the key that is to take the place of `seed`, while that is not done
    user.creds    user in the member's account        renewal.creds    user there too, may only ask for a new user JWT
    ceiling.json  what the member's administrator last said that the host may do at most; outlives a membership

Every file is 0600 and replaced atomically. A directory without an identity is worth nothing: it is left empty, but for a ceiling.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from skerry.api.v1alpha1 import Ceiling
from skerry.errors import BadRequest, SkerryError
from skerry.identity import creds, nkey
from skerry.identity.creds import Credentials
from skerry.identity.files import write_private
from skerry.identity.rekeying import WISH

FORMAT = 1
"""Version of the files. Older code refuses newer state, naming both."""

T = TypeVar("T")


class StateError(SkerryError):
    """The state directory cannot be used; the message says why and what to do."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """The membership of a joined agent, which it keeps besides its credentials."""

    format: int = FORMAT
    member: str
    host: str
    """Name of the host, for people."""
    host_uid: str
    servers: list[str]
    ca: str
    """PEM of the bus's authority."""
    assertion_root: str
    """Public nkey, pinned at join."""
    assertion_roots: list[str] = []
    """All that are believed since the host said so; empty: that one."""
    cluster_uid: str
    """kube-system UID at the time of joining: another cluster behind the same kubeconfig is noticed."""
    jti: str = ""
    """Of the token that it joined with: that token is not tried again."""
    pending: bool = False
    """It waits for approval: its credentials may ask for that, and nothing is there of it yet."""
    removed: str = ""
    """Why the host said that this membership is over; empty while it is not."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The trust roots that are believed."""
        return tuple(self.assertion_roots) or (self.assertion_root,)


class _Format(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 0


class _Ceiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ceiling.json. What it does not know it must not drop in silence: it may be a limit."""

    format: int = FORMAT
    read_only: bool
    no_exec: bool
    namespaces: list[str]
    desired: Literal["All", "Access", "None"]


class AgentStore:
    """One state directory. Not made before there is something to keep."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def user(self) -> Path:
        """Credentials in the member's account."""
        return self.directory / "user.creds"

    @property
    def renewal(self) -> Path:
        """Credentials for asking a new user JWT."""
        return self.directory / "renewal.creds"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory. Raises StateError if another agent holds it or it cannot be written."""
        descriptor = self._open_lock()
        try:
            self._take(descriptor)
            try:
                yield
            finally:
                self._leave_nothing_half_made()
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise StateError(
                f"another agent (pid {self._holder()}) uses {self.directory}: stop it with: skerry agent stop NAME"
            ) from e
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def _open_lock(self) -> int:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StateError(
                f"state directory {self.directory} cannot be written: {e.strerror}: choose another with --state DIR"
            ) from e

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "lock").read_text().strip() or "unknown"
        return "unknown"

    def _leave_nothing_half_made(self) -> None:
        if (self.directory / "agent.json").exists() or (self.directory / "seed").exists():
            return
        (self.directory / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def membership(self) -> Membership | None:
        """The membership, or None. Raises StateError for a newer format or a damaged file."""
        remedy = f"remove {self.directory} and join again with a new token"
        return _read(self.directory / "agent.json", Membership, remedy)

    def ceiling(self) -> Ceiling | None:
        """The ceiling that was said last, or None. StateError if it cannot be read: an agent must not guess that it is open."""
        remedy = (
            "what this agent may let through is not known: say the whole ceiling anew (--read-only, --no-exec, "
            "--namespaces, --ceiling-desired), or --ceiling-off"
        )
        stored = _read(self.directory / "ceiling.json", _Ceiling, remedy)
        if stored is None:
            return None
        return Ceiling(
            read_only=stored.read_only, no_exec=stored.no_exec, namespaces=stored.namespaces, desired=stored.desired
        )

    def keep_ceiling(self, ceiling: Ceiling) -> None:
        """Keep what holds, for starts that say nothing of it. Also that nothing is forbidden: it was said once."""
        stored = msgspec.convert(msgspec.structs.asdict(ceiling), _Ceiling)
        path, data = self.directory / "ceiling.json", msgspec.json.format(msgspec.json.encode(stored))
        if not path.exists() or path.read_bytes() != data:
            write_private(path, data)

    @property
    def has_key(self) -> bool:
        """Whether there is a key, of a membership or of a join that was not answered."""
        return (self.directory / "seed").exists()

    def key(self) -> nkey.KeyPair:
        """The agent's own key; made and stored at the first call."""
        path = self.directory / "seed"
        try:
            return nkey.from_seed(path.read_bytes().strip())
        except FileNotFoundError:
            pass
        except BadRequest as e:
            raise StateError(f"{path} is damaged: remove {self.directory} and join again with a new token") from e
        pair = nkey.create(nkey.KeyType.USER)
        write_private(path, pair.seed + b"\n")
        return pair

    @property
    def wants_rekey(self) -> bool:
        """Whether its own people want another key, or one was not finished. What cannot be looked at is not wanted."""
        return any((self.directory / name).exists() for name in (WISH, "seed.next"))

    def next_key(self) -> nkey.KeyPair:
        """The key that is to take the place of the agent's own; made and stored if there is none."""
        path = self.directory / "seed.next"
        try:
            pair = nkey.from_seed(path.read_bytes().strip())
        except (FileNotFoundError, BadRequest):
            pair = nkey.create(nkey.KeyType.USER)
            write_private(path, pair.seed + b"\n")
        (self.directory / WISH).unlink(missing_ok=True)
        return pair

    def rekeyed(self, user: Credentials, renewal: Credentials) -> None:
        """Keep the credentials of the next key: those for renewal first, because who finds the others there needs no more."""
        renewal.save(self.renewal)
        user.save(self.user)
        self.finish_rekey()

    def finish_rekey(self) -> None:
        """Have the next key be the agent's own where its credentials are there: also what somebody who died left so. OSError."""
        path = self.directory / "seed.next"
        try:
            new = nkey.from_seed(path.read_bytes().strip())
            stored = creds.load(self.user).public
        except (OSError, BadRequest):
            return
        if stored == new.public:
            write_private(self.directory / "seed", new.seed + b"\n")
            path.unlink(missing_ok=True)

    def joined(self, membership: Membership, user: Credentials, renewal: Credentials) -> None:
        """Keep a membership: credentials first, agent.json last."""
        user.save(self.user)
        renewal.save(self.renewal)
        write_private(self.directory / "agent.json", msgspec.json.format(msgspec.json.encode(membership)))

    def believe(self, roots: tuple[str, ...]) -> None:
        """Keep other trust roots with the membership. StateError, OSError."""
        membership = self.membership()
        if membership is None:
            raise StateError(f"{self.directory} holds no membership any more")
        after = msgspec.structs.replace(membership, assertion_root=roots[0], assertion_roots=list(roots))
        write_private(self.directory / "agent.json", msgspec.json.format(msgspec.json.encode(after)))

    def removed(self, membership: Membership, why: str) -> None:
        """Remember that the host ended the membership: a restart says so at once, a new token may replace it."""
        over = msgspec.structs.replace(membership, removed=why)
        write_private(self.directory / "agent.json", msgspec.json.format(msgspec.json.encode(over)))

    def forget(self) -> None:
        """Drop key, credentials and membership, not the ceiling: before a join with a new token, or after a refused one."""
        for name in ("agent.json", "user.creds", "renewal.creds", WISH, "seed.next", "seed"):
            (self.directory / name).unlink(missing_ok=True)


def _read(path: Path, kind: type[T], remedy: str) -> T | None:
    """A file of ours, None if there is none. StateError: it cannot be read, is of another format, or damaged."""
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Format).format
        if version != FORMAT:
            raise StateError(
                f"{path} has format {version}; this version of skerry reads format {FORMAT}: "
                + ("use a newer skerry" if version > FORMAT else "it was never written by a release")
            )
        return msgspec.json.decode(data, type=kind)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise StateError(f"{path} cannot be read: {e.strerror}") from e
    except msgspec.DecodeError as e:
        raise StateError(f"{path} is damaged ({e}): {remedy}") from e
