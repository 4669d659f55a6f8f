"""Entry of `skerry`: global options, one place where errors become exit codes, and a quick path for `skerry version`."""

from __future__ import annotations

import os
import sys

from skerry import __version__

_LEVELS = ("debug", "info", "warning", "error")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["version"], ["--version"]) and "_SKERRY_COMPLETE" not in os.environ:
        sys.stdout.write(f"skerry {__version__}\n")
        return 0
    return _run(words)


def _run(words: list[str]) -> int:
    from skerry.cli.failure import exit_code

    verbose = False
    try:
        words, verbose = _global_options(words)
        from skerry.cli.app import invoke

        return invoke(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors become exit codes
        _tell(error, words, verbose)
        return exit_code(error)


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
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(w in ("-ojson", "-o=json") or (w, following) == ("-o", "json") for w, following in pairs)


if __name__ == "__main__":
    sys.exit(main())
