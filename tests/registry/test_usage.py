"""What one member may have its entries take: each limit with the value on either side of it."""

from __future__ import annotations

import pytest

from services.registry.usage import RATE, Usage
from skerry.api.desired import ENTRIES, ENTRIES_BYTES
from skerry.errors import TooManyRequests


def full(size: int = 1) -> Usage:
    """A member with as many entries as there may be."""
    usage = Usage()
    for number in range(ENTRIES):
        usage.note(f"k{number}", size)
    return usage


def test_a_member_has_so_many_entries_and_no_more() -> None:
    usage = full()
    usage.check("k0", 2, "m1")
    with pytest.raises(TooManyRequests, match=f"m1 has {ENTRIES} entries, which is the limit"):
        usage.check("new", 1, "m1")
    usage.note("k0", 0)
    usage.check("new", 1, "m1")


def test_an_entry_that_is_changed_counts_once() -> None:
    usage = Usage()
    for size in (10, 30, 20):
        usage.note("k", size)
        assert (usage.bytes, usage.sizes) == (size, {"k": size})
    usage.note("k", 0)
    usage.note("never there", 0)
    assert (usage.bytes, usage.sizes) == (0, {})


def test_entries_have_so_many_bytes_together_and_no_more() -> None:
    usage = Usage()
    usage.note("a", ENTRIES_BYTES - 10)
    usage.check("b", 10, "m1")
    usage.check("a", ENTRIES_BYTES, "m1")
    for key, size in (("b", 11), ("a", ENTRIES_BYTES + 1)):
        with pytest.raises(TooManyRequests, match=f"the entries of m1 have {ENTRIES_BYTES} bytes"):
            usage.check(key, size, "m1")


def test_an_owner_makes_so_many_changes_in_a_second_and_no_more() -> None:
    usage = Usage()
    for _ in range(RATE):
        usage.count("quota", 7, "m1")
    with pytest.raises(TooManyRequests, match=f"quota changed {RATE} entries of m1 within a second") as caught:
        usage.count("quota", 7, "m1")
    assert caught.value.details.retry_after_seconds == 1
    usage.count("tenancy", 7, "m1")
    usage.count("quota", 8, "m1")
