"""How much of what one member may have its entries take, and how fast owners change them."""

from __future__ import annotations

from skerry.api.desired import ENTRIES, ENTRIES_BYTES
from skerry.errors import TooManyRequests

RATE = 200
"""Changes that an owner may make on one member in a second."""


class Usage:
    """Of one member, up to a revision."""

    __slots__ = ("bytes", "revision", "seen", "sizes", "written")

    def __init__(self) -> None:
        self.revision = self.bytes = 0
        self.seen = float("-inf")
        """When the bucket was asked last, in seconds of the caller's clock."""
        self.sizes: dict[str, int] = {}
        self.written: dict[str, tuple[int, int]] = {}
        """Owner -> a second, and its changes in it."""

    def note(self, key: str, size: int) -> None:
        """An entry has this size now; 0 for one that is gone."""
        self.bytes += size - self.sizes.pop(key, 0)
        if size:
            self.sizes[key] = size

    def check(self, key: str, size: int, member: str) -> None:
        """TooManyRequests if an entry does not fit."""
        if key not in self.sizes and len(self.sizes) >= ENTRIES:
            raise TooManyRequests(f"{member} has {ENTRIES} entries, which is the limit: withdraw some first")
        if self.bytes - self.sizes.get(key, 0) + size > ENTRIES_BYTES:
            raise TooManyRequests(
                f"the entries of {member} have {ENTRIES_BYTES} bytes, which is the limit: withdraw some"
            )

    def count(self, owner: str, second: int, member: str) -> None:
        """TooManyRequests for an owner that changes without end."""
        before, changes = self.written.get(owner, (second, 0))
        changes = changes + 1 if before == second else 1
        self.written[owner] = second, changes
        if changes > RATE:
            raise TooManyRequests(
                f"{owner} changed {RATE} entries of {member} within a second: send the latest of each", retry_after_s=1
            )
