"""Heartbeats as every process takes them: so many, so large, in clean text; and when silence proves something. Pure.

The registry and each proxy hear the heartbeats of all members, and members are hostile until checked: one rule for both.
Times are monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from skerry.api.decode import decoder
from skerry.api.messages import Heartbeat
from skerry.api.text import clean
from skerry.api.v1alpha1 import Ceiling
from skerry.inventory.limits import bounded

PER_S = 10.0
"""Heartbeats of one member beyond this rate (with a burst of as many) are counted and ignored."""
FLOOD_BEATS = 500
"""So many ignored heartbeats within FLOOD_WINDOW_S are no accident: the member is quarantined."""
FLOOD_WINDOW_S = 60.0
KEYS = 20_000
"""Of whom a rate is remembered: twice the members of a large federation."""
AGAIN_S = 10.0
"""A flood that goes on is said so often, and nothing of it is read until then."""
LARGEST = 48 * 1024
"""Bytes of one heartbeat: what a cluster has may take 20 KB, names of resources are long."""
LONGEST_NAME = 128
"""Bytes of an agent's name."""
MOST_OFF_S = 1e10
"""Of a clock, and of a certificate's end: three hundred years."""
STILL_S = 5.0
"""A process whose loop stood still for so long (stopped, asleep, starved) does not know who was silent."""

_decode = decoder(Heartbeat)
_LENGTHS = {"epoch": 128, "version": 64, "kubernetes_version": 64, "cluster_uid": 128, "message": 500,
            "missing": 1000, "repaired": 1000, "replaces": LONGEST_NAME,
            "app_store": 16}  # fmt: skip
"""Characters of the texts that are kept."""


_NUMBERS = (("nodes", 1e6), ("rtt_ms", 1e6), ("server_certificate", MOST_OFF_S), ("client_certificate", MOST_OFF_S))
"""What is no more than this, or is left out."""


class UnreadableHeartbeat(ValueError):
    """A message is no heartbeat, or one that no correct agent sends."""


def read(data: bytes) -> Heartbeat:
    """A heartbeat that may be kept: its texts are cut and hold nothing that does not print. UnreadableHeartbeat."""
    if len(data) > LARGEST:
        raise UnreadableHeartbeat(f"{len(data)} bytes; the limit is {LARGEST}")
    try:
        beat = _decode(data)
    except msgspec.DecodeError as error:
        raise UnreadableHeartbeat(str(error)) from error
    if not beat.agent.isprintable() or not 0 < len(beat.agent.encode()) <= LONGEST_NAME:
        raise UnreadableHeartbeat(f"an agent's name is 1 to {LONGEST_NAME} bytes of printable text")
    changes: dict[str, object] = {
        field: None for field, largest in _NUMBERS if not _is_credible(getattr(beat, field), largest)
    }
    for field, longest in _LENGTHS.items():
        if (text := getattr(beat, field)) and (clean_text := clean(text, longest)) != text:
            changes[field] = clean_text
    if (limits := ceiling(beat.ceiling)) is not beat.ceiling:
        changes["ceiling"] = limits
    if beat.clock_s is not None and not abs(beat.clock_s) < MOST_OFF_S:
        changes["clock_s"] = None
    if beat.inventory is not None:
        changes["inventory"] = bounded(beat.inventory)
    return msgspec.structs.replace(beat, **changes) if changes else beat


def ceiling(told: Ceiling) -> Ceiling:
    """A member's own limits as they may be kept; itself where nothing is to be cut, as of most."""
    if not told.namespaces and len(told.desired) <= 16 and told.desired.isprintable():
        return told
    namespaces = [clean(name, 63) for name in told.namespaces[:100]]
    return msgspec.structs.replace(told, namespaces=namespaces, desired=clean(told.desired, 16))


def _is_credible(number: float | None, largest: float) -> bool:
    """True of a number that a person can believe, and of none: a hostile one is left out."""
    return number is None or 0 <= number < largest


@dataclass(slots=True)
class _Rate:
    """A token bucket, and what it held back."""

    allowance: float
    at: float
    ignored: int = 0
    """Since the start."""
    flooding: int = 0
    """Within the present window."""
    flooding_since: float = 0.0
    said: float = float("-inf")


class Admission:
    """Which heartbeats of a member may be looked at, or which requests of whoever may ask on the bus: `burst` at once and
    `per_s` in the long run. Each takes memory here; of more than `keys` who asked least recently is forgotten.
    """

    def __init__(self, per_s: float = PER_S, burst: float = PER_S, keys: int = KEYS) -> None:
        self._per_s, self._burst, self._keys = per_s, burst, keys
        self._rates: OrderedDict[str, _Rate] = OrderedDict()

    def admits(self, member: str, now: float, *, room: bool = True) -> bool:
        """True if one more may be looked at now. What is beyond the rate is only counted. Without `room` none may, and the burst
        is used up."""
        rate = self._rates.get(member)
        if rate is None:
            rate = self._rates[member] = _Rate(allowance=self._burst, at=now)
            if len(self._rates) > self._keys:
                self._rates.popitem(last=False)
        self._rates.move_to_end(member)
        rate.allowance = min(self._burst, rate.allowance + (now - rate.at) * self._per_s) if room else 0.0
        rate.at = now
        if rate.allowance >= 1:
            rate.allowance -= 1
            return True
        if now - rate.flooding_since > FLOOD_WINDOW_S:
            rate.flooding, rate.flooding_since = 0, now
        rate.ignored += 1
        rate.flooding += 1
        return False

    def spend(self, member: str, more: float) -> None:
        """What was admitted last counts as so many more: the rate has to make up for it."""
        rate = self._rates.get(member)
        if rate is not None:
            rate.allowance -= more

    def floods(self, member: str, now: float) -> bool:
        """True if FLOOD_BEATS were ignored within the window; True once, and again after AGAIN_S if it goes on."""
        rate = self._rates.get(member)
        if rate is None or rate.flooding < FLOOD_BEATS or now - rate.said < AGAIN_S:
            return False
        rate.flooding, rate.said = 0, now
        return True

    def ignored(self, member: str) -> int:
        """How many heartbeats of a member were beyond the rate."""
        rate = self._rates.get(member)
        return 0 if rate is None else rate.ignored

    @property
    def members(self) -> list[str]:
        """Who takes memory here."""
        return list(self._rates)

    def forget(self, member: str) -> None:
        """The member was removed."""
        self._rates.pop(member, None)


class Hearing:
    """Whether this process heard without a break: one connection to the bus, and a loop that runs.

    Asked after each pause of a loop that does nothing but pause; silence of members proves something only then.
    """

    def __init__(self) -> None:
        self._generation = 0

    def begins(self, generation: int, paused_s: float) -> bool:
        """True if it begins to hear, at the start or after a break. `generation`: which connection it has, 0 for none."""
        begins = generation != 0 and (generation != self._generation or paused_s > STILL_S)
        self._generation = generation
        return begins
