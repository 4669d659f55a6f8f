"""Entry of `skerry`: global options, one place where errors become exit codes, and quick paths for `skerry version` and for
kubectl, which runs `skerry login --exec` before its requests.
"""

from __future__ import annotations

import io
import os
import sys
from itertools import pairwise

from skerry import __version__

_LEVELS = ("debug", "info", "warning", "error")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if argv is not None:
        return _run(list(argv), alone=False)
    _standard_streams()
    return _run(sys.argv[1:], alone=True)


def _standard_streams() -> None:
    """A stream that the shell closed is /dev/null: its number would else go to the next file or socket that is opened,
    and what is printed with it. Text that the terminal cannot show is escaped.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(words: list[str], *, alone: bool) -> int:
    """Run the command line; `alone`: there is nothing in this process that goes on after it."""
    if words[:2] == ["login", "--exec"] and (credential := _at_hand(words)):
        try:
            sys.stdout.write(credential + "\n")
            return _done(alone)
        except OSError:
            _discard_unwritten()
            return 1
    from skerry.cli import quick
    from skerry.cli.failure import exit_code

    verbose = False
    try:
        if quick.done(words):
            return _done(alone)
        words, verbose = _global_options(words)
        code = _invoke(words)
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors become exit codes
        _discard_unwritten()
        if not isinstance(error, BrokenPipeError):
            _tell(error, words, verbose)
        return exit_code(error)


def _done(alone: bool) -> int:
    """The end of a command that is called often. An orderly end of the process takes as long as asking the host: what is to be
    freed the system frees as well.
    """
    sys.stdout.flush()
    if alone:
        os._exit(0)
    return 0


def _at_hand(words: list[str]) -> str:
    """What kubectl asks for before its requests, if it lies there: nothing else is loaded for it."""
    from skerry.cli.login.entry import at_hand

    return at_hand(words)


def _discard_unwritten() -> None:
    """What stdout does not take is not tried again at the end of the process, with a traceback and another code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _invoke(words: list[str]) -> int:
    if words in (["version"], ["--version"]) and "_SKERRY_COMPLETE" not in os.environ:
        sys.stdout.write(f"skerry {__version__}\n")
        return 0
    from skerry.cli.app import invoke

    return invoke(words)


def _global_options(words: list[str]) -> tuple[list[str], bool]:
    """Take `-v` and `--log-level LEVEL` from anywhere before `--`; they set SKERRY_LOG_LEVEL for us and our children."""
    from skerry.cli.failure import USAGE, Failure

    rest: list[str] = []
    verbose, level = False, ""
    queue = iter(words)
    for word in queue:
        if word == "--":
            rest += [word, *queue]
        elif word in ("-v", "--verbose"):
            verbose = True
        elif word == "--log-level":
            level = next(queue, "")
        elif word.startswith("--log-level="):
            level = word.partition("=")[2]
        else:
            rest.append(word)
            continue
        if (level or word.startswith("--log-level")) and level not in _LEVELS:
            raise Failure(f"--log-level {level!r}: use one of {', '.join(_LEVELS)}", USAGE)
    if verbose or level:
        os.environ["SKERRY_LOG_LEVEL"] = level or "debug"
    return rest, verbose


def _tell(error: BaseException, words: list[str], verbose: bool) -> None:
    from skerry.cli.failure import Failure, one_line, status

    if _wants_json(words):
        import msgspec

        sys.stderr.write(msgspec.json.encode(status(error)).decode() + "\n")
    else:
        prefix = "" if isinstance(error, KeyboardInterrupt) else "error: "
        sys.stderr.write(f"{prefix}{one_line(error)}\n")
        if isinstance(error, Failure) and error.tail:
            sys.stderr.write(error.tail.rstrip("\n") + "\n")
    if verbose:
        import traceback

        sys.stderr.write("".join(traceback.format_exception(error)))


def _wants_json(words: list[str]) -> bool:
    if any(word in ("-ojson", "-o=json", "--output=json") for word in words):
        return True
    return any(option in ("-o", "--output") and style == "json" for option, style in pairwise(words))


if __name__ == "__main__":
    sys.exit(main())
