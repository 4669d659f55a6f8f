"""Have an agent of this machine make another key: it finds a wish in its directory, and leaves other credentials there."""

from __future__ import annotations

import time
from pathlib import Path

from skerry.api.agentlist import short_name
from skerry.cli.failure import FAILED, TIMED_OUT, Failure
from skerry.cli.plan import is_locked
from skerry.cli.term import ProgressLine, program
from skerry.errors import BadRequest
from skerry.identity import creds
from skerry.identity.files import write_private
from skerry.identity.rekeying import WISH

POLL_S = 0.1


def rotate(directory: Path, name: str, limit_s: float, display: ProgressLine) -> tuple[str, str]:
    """The names of the key before and after. Failure: there is none, or 5 if it is not there in time."""
    before = _key(directory, name)
    write_private(directory / WISH, b"")
    if not is_locked(directory / "lock"):
        raise Failure(
            f"agent {name} does not run: it gets another key when it starts: {program()} agent --name {name} --detach",
            TIMED_OUT,
        )
    deadline = time.monotonic() + limit_s
    while (after := _key(directory, name)) == before:
        if time.monotonic() >= deadline:
            raise Failure(
                f"agent {name} has no other key after {limit_s:g} s: it goes on trying, its log says why it cannot "
                f"({directory / 'agent.log'}, or where its output goes)",
                TIMED_OUT,
            )
        display.show(f"waiting for agent {name}")
        time.sleep(POLL_S)
    return short_name(before), short_name(after)


def _key(directory: Path, name: str) -> str:
    """The public key of its credentials. Failure if it has none."""
    try:
        return creds.load(directory / "user.creds").public
    except (OSError, BadRequest) as error:
        why = error.strerror if isinstance(error, OSError) else error.message
        raise Failure(
            f"agent {name} has no credentials in {directory} ({why}): it has not joined from here", FAILED
        ) from error
