"""How a command fails: an exit code, one line for people, a Status for programs.

Exit codes are a contract: 0 done, 1 failed, 2 usage, 3 not running, 4 prerequisite missing, 5 timed out, 130 interrupted.
"""

from __future__ import annotations

from skerry.api.failing import SkerryError

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from skerry.api.meta import Status

FAILED, USAGE, NOT_RUNNING, MISSING, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 5, 130

_STATUS = {
    FAILED: ("InternalError", 500),
    USAGE: ("BadRequest", 400),
    NOT_RUNNING: ("ServiceUnavailable", 503),
    MISSING: ("ServiceUnavailable", 503),
    TIMED_OUT: ("Timeout", 504),
    INTERRUPTED: ("Timeout", 504),
}


class Failure(SkerryError):
    """Ends the command: `message` says what happened, to what, and what to do next; `tail` is the end of a log."""

    def __init__(self, message: str, code: int = FAILED, *, tail: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.tail = message, code, tail


def exit_code(error: BaseException) -> int:
    """The exit code that an error means."""
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    from skerry.errors import StatusError

    if isinstance(error, StatusError):
        return TIMED_OUT if error.code == 504 else FAILED
    code = getattr(error, "exit_code", FAILED)
    return code if isinstance(code, int) else FAILED


def status(error: BaseException) -> Status:
    """An error as meta/v1 Status, for `-o json`."""
    from skerry.api.meta import Status
    from skerry.errors import StatusError

    if isinstance(error, StatusError):
        return error.status()
    reason, code = _STATUS.get(exit_code(error), _STATUS[FAILED])
    return Status(message=one_line(error), reason=reason, code=code)


def one_line(error: BaseException) -> str:
    """An error in one line; never a traceback."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SkerryError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return f"{type(error).__name__}: {error} (this is a bug: run the command again with -v for the details)"
