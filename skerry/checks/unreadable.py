"""What an API server does not let us look at: then an answer is not known, which is never a pass."""

from __future__ import annotations

from skerry.errors import SkerryError, StatusError


class Unreadable(SkerryError):
    """What may not be read, and so is not known; the message names the right."""


def unreadable(error: StatusError) -> Unreadable:
    """By what the API server says."""
    return Unreadable(
        f"the API server does not tell ({error.message}): give the credential that right, or ask with one that has it"
    )
