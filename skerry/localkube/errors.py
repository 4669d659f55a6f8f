"""What can go wrong with a local cluster, said so that the reader knows the next step.

Under SkerryError, not StatusError: none of these ever crosses the wire; the command line turns them into one line
and exit code 4 (prerequisite missing), 5 (timed out) or 1.
"""

from __future__ import annotations

from skerry.errors import SkerryError


class LocalKubeError(SkerryError):
    """Base of all: `message` says what happened and to what, `next_step` which command or setting comes next."""

    exit_code = 1

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(f"{message}; {next_step}" if next_step else message)
        self.message = message
        self.next_step = next_step


class BinaryMissing(LocalKubeError):
    """A binary is neither found nor can it be built here."""

    exit_code = 4


class BuildFailed(LocalKubeError):
    """The Go toolchain is there, and the build did not succeed; the message carries the compiler's last lines."""


class NotReadyInTime(LocalKubeError):
    """A process ran and did not become ready before the deadline, or ended early; the message carries its log's tail."""

    exit_code = 5
