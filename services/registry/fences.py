"""What an owner may write over an entry with a number: a higher one, and an end only after the object is to be gone. Pure."""

from __future__ import annotations

from skerry.desired.entry import Entry
from skerry.errors import Conflict


def check_put(key: str, stored: Entry | None, fence: int | None) -> None:
    """Conflict: there is this number already, or a higher one, or none can be read, since an earlier root signed what is stored."""
    if fence is None:
        return
    if stored is None:
        raise Conflict(f"{key} was signed by an earlier root and is signed anew in a moment: ask again then")
    if stored.options.fence is not None and stored.options.fence >= fence:
        raise Conflict(f"{key} has number {stored.options.fence} already: {fence} is not newer")


def check_withdrawal(key: str, stored: Entry | None, *, fenced: bool) -> None:
    """Conflict: it is not an entry yet that has its object go."""
    if fenced and (stored is None or not stored.options.absent):
        raise Conflict(f"{key} has a number: put an entry with options.absent, and withdraw that when it is in place")
