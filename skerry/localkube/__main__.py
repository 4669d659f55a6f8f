"""`python -m skerry.localkube build [NAME…]` and `… clean`: what the Makefile calls; not part of the `skerry` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from skerry.localkube import binaries
from skerry.localkube.errors import LocalKubeError


def main(argv: Sequence[str]) -> int:
    """Build what is missing, or delete the cache. Returns the exit code: 0 done, 1 build failed, 4 something missing."""
    parser = argparse.ArgumentParser(prog="python -m skerry.localkube", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="find or build binaries, and print where they are")
    build.add_argument("names", nargs="*", default=list(binaries.CLUSTER), metavar="NAME")
    commands.add_parser("clean", help="delete the binaries that were built")
    arguments = parser.parse_args(argv)
    if arguments.command == "clean":
        return _clean()
    return _build(arguments.names)


def _build(names: Sequence[str]) -> int:
    try:
        paths = binaries.obtain(names, progress=_say)
    except LocalKubeError as error:
        _say(str(error))
        return error.exit_code
    for name, path in paths.items():
        _say(f"{name}: {path}")
    return 0


def _clean() -> int:
    deleted = binaries.clean_cache()
    _say(f"deleted {deleted}" if deleted else f"nothing to delete in {binaries.cache_dir()}")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  the output of a command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
