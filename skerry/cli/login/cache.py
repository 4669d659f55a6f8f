"""What is kept of a login: a file that nobody else may read, and a lock beside it, so that one process signs in for all.

`$XDG_CACHE_HOME/skerry/login/<digest>.json`, 0600. A file that is somebody else's, or no plain file, is refused: whoever
put it there would have us act as them, or write where they want. One that others could read, or that cannot be read as
what we write, counts as none and is written anew.

Imported before each request of kubectl: the standard library alone, and little of it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from typing import Any, NamedTuple

MAX_BYTES = 256 * 1024
SPARE_S = 30.0
"""A token that ends sooner is not handed out any more."""
LOCK_POLL_S = 0.1
MAX_TIME = 1e11
"""In Unix seconds: no clock of ours says more."""
_FORMAT = 1


class CacheError(Exception):
    """The cache cannot be used. The message is one sentence with the next step."""


class StoredLogin(NamedTuple):
    """What is kept. Times are Unix seconds."""

    id_token: str = ""
    expires: float = 0.0
    refresh_token: str = ""
    subject: str = ""
    """Who signed in, as the provider identifies them."""
    name: str = ""
    """And as people know them."""
    failed: float = 0.0
    """When a login failed last, if none succeeded since."""
    failure: str = ""
    """Why, for people."""
    failure_code: int = 0
    """The exit code that it means."""
    parameters: dict[str, str] = {}
    """Where to end it: issuer, clientID, ca."""

    def holds(self, now: float) -> bool:
        """True if its token can be handed out."""
        return bool(self.id_token) and self.expires - now >= SPARE_S


class LoginCache:
    """The file of one login."""

    def __init__(self, directory: str, digest: str) -> None:
        self.path = os.path.join(directory, f"{digest}.json")  # noqa: PTH118 - pathlib takes longer to import than the rest
        self._lock_path = os.path.join(directory, f"{digest}.lock")  # noqa: PTH118
        self._directory = directory

    def read(self) -> StoredLogin:
        """What is kept; nothing if there is no file, or one that says nothing. CacheError for one that is not ours."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return StoredLogin()
        except OSError as error:
            raise _refused(self.path, error) from error
        try:
            status = os.fstat(descriptor)
            _check_owner(self.path, status)
            if not stat.S_ISREG(status.st_mode):
                raise CacheError(f"{self.path} is no file: remove it, and log in again")
            if status.st_mode & 0o077 or status.st_nlink != 1 or status.st_size > MAX_BYTES:
                return StoredLogin()
            return _decoded(os.read(descriptor, MAX_BYTES))
        finally:
            os.close(descriptor)

    def write(self, login: StoredLogin) -> None:
        """Replace what is kept: whole or not at all. For who has the lock. CacheError."""
        self._prepare()
        data = json.dumps({"format": _FORMAT, **login._asdict()}).encode()
        temporary = f"{self.path}.new"
        try:
            _unlink(temporary)  # of a process that was killed
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                os.replace(temporary, self.path)  # noqa: PTH105
            except BaseException:
                _unlink(temporary)
                raise
        except OSError as error:
            raise _refused(self.path, error) from error

    def remove(self) -> None:
        """Forget it. For who has the lock. Idempotent. CacheError."""
        try:
            _unlink(self.path)
            _unlink(f"{self.path}.new")
        except OSError as error:
            raise _refused(self.path, error) from error

    def lock(self, wait_s: float) -> Lock | None:
        """The lock beside the file, once nobody else has it; None if somebody had it all the time. CacheError."""
        self._prepare()
        deadline = time.monotonic() + wait_s
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._lock_path, flags, 0o600)
        except OSError as error:
            raise _refused(self._lock_path, error) from error
        try:
            _check_owner(self._lock_path, os.fstat(descriptor))
            while not _locked(descriptor):
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return None
                time.sleep(LOCK_POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        return Lock(descriptor)

    def _prepare(self) -> None:
        """The directory, private."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103
            status = os.stat(self._directory)  # noqa: PTH116
        except OSError as error:
            raise _refused(self._directory, error) from error
        _check_owner(self._directory, status)
        if status.st_mode & 0o022:
            raise CacheError(
                f"others may write to {self._directory}: run chmod 700 {self._directory}, or set XDG_CACHE_HOME to a "
                "directory of your own"
            )


class Lock:
    """A lock that is held until the end of the block, or of the process, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *raised: object) -> None:
        os.close(self._descriptor)


def directory() -> str:
    """Where logins of this user are kept. CacheError if there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117 - relative ones do not count, says the XDG specification
        home = os.path.expanduser("~")  # noqa: PTH111
        if not os.path.isabs(home):  # noqa: PTH117
            raise CacheError(
                "there is no home directory to keep a login in: set XDG_CACHE_HOME to a directory of your own"
            )
        base = os.path.join(home, ".cache")  # noqa: PTH118
    return os.path.join(base, "skerry", "login")  # noqa: PTH118


def stored(where: str) -> list[LoginCache]:
    """All that are kept in a directory. CacheError."""
    try:
        names = sorted(os.listdir(where))  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _refused(where, error) from error
    return [LoginCache(where, name.removesuffix(".json")) for name in names if name.endswith(".json")]


def _unlink(path: str) -> None:
    """Delete a file, if there is one."""
    try:
        os.unlink(path)  # noqa: PTH108
    except (FileNotFoundError, NotADirectoryError):
        return


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_owner(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise CacheError(
            f"{path} belongs to another user (uid {status.st_uid}): remove it, or set XDG_CACHE_HOME to a directory of your own"
        )


def _refused(path: str, error: OSError) -> CacheError:
    if error.errno == errno.ELOOP:
        return CacheError(f"{path} is a symbolic link, which is not followed: remove it, and log in again")
    return CacheError(
        f"{path} cannot be used to keep a login ({error.strerror}): set XDG_CACHE_HOME to a directory of your own"
    )


def _decoded(data: bytes) -> StoredLogin:
    try:
        document: dict[str, Any] = json.loads(data)
        login = StoredLogin(**{name: document[name] for name in StoredLogin._fields})
        good = document["format"] == _FORMAT and _fits(login)
    except (ValueError, KeyError, TypeError, RecursionError):
        return StoredLogin()
    return login if good else StoredLogin()


def _fits(login: StoredLogin) -> bool:
    """True if each field is of its type, and times are times."""
    typed = all(type(value) is type(default) for value, default in zip(login, StoredLogin(), strict=True))
    times = typed and all(0 <= value < MAX_TIME for value in (login.expires, login.failed))
    return times and all(isinstance(text, str) for text in login.parameters.values())
