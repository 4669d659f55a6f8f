"""How often one credential may ask for something that costs: token buckets, one per key. Pure.

A join, a renewal: each reads the store and signs. Who may ask once may ask as fast as a connection goes, and all ask the
same process: what is beyond a key's rate is refused before anything is read.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

KEYS = 20_000
"""Keys that are remembered; beyond them the one that asked least recently is forgotten."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimits:
    """At most `burst` at once and `per_s` in the long run, for each key."""

    def __init__(self, per_s: float, burst: float, keys: int = KEYS) -> None:
        self._per_s, self._burst, self._keys = per_s, burst, keys
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def admits(self, key: str, now: float) -> bool:
        """True if `key` may ask once more at `now`, seconds of a monotonic clock. A refusal costs no token."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > self._keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
