"""Skerry's processes and their system: memory, open files, and the parent with which a child ends."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import sys
from collections.abc import MutableMapping
from contextlib import suppress

log = logging.getLogger("skerry.runtime")

PARENT_POLL_S = 1.0
_PR_SET_PDEATHSIG = 1

_MALLOC = {-1: 16 << 20, -2: 2 << 20, -3: 2 << 20}
"""M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of glibc's mallopt(3), in bytes."""

_MAX_FILES = 65536


def keep_freed_memory() -> None:
    """Let malloc keep what large messages freed, instead of giving it to the kernel and taking it back page by page.

    glibc trims its heap and maps large blocks anew at 128 KiB, which is the size of the tunnel's messages: 5 % of the
    CPU of a large LIST. Elsewhere (macOS, musl) there is nothing to set.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC.items():
            mallopt(parameter, value)


def give_back_freed_memory() -> None:
    """Give the kernel what is freed, once, after much was read that is not kept: what `keep_freed_memory` keeps would else stay."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: every watch is a connection, and 1,024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def die_with_parent(environ: MutableMapping[str, str], number: int = signal.SIGKILL) -> None:
    """If SKERRY_PARENT_PID is set: end with that process (Linux: at once; elsewhere `run` watches it).

    Raises SystemExit if the parent is gone already.
    """
    parent = _parent(environ)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def _parent(environ: MutableMapping[str, str]) -> int | None:
    text = environ.get("SKERRY_PARENT_PID", "")
    return int(text) if text.isdecimal() else None


async def watch_parent(environ: MutableMapping[str, str], stop: asyncio.Event) -> None:
    """Set `stop` when the parent is gone, where the system does not end us itself; nothing to watch: return at once."""
    parent = _parent(environ)
    if parent is None or sys.platform == "linux":
        return
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of another process's end
        await asyncio.sleep(PARENT_POLL_S)
    log.warning("the parent is gone")
    stop.set()
