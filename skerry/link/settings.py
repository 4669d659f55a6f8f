"""Limits and times of the tunnel's shells. The defaults are those of the specification; tests shorten the times."""

from __future__ import annotations

import msgspec


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes."""

    ack_s: float = 1.0
    """No ACK for so long: the agent is dropped from the table."""
    ack_delay_s: float = 0.05
    """An agent ACKs when no RESP was ready in this time."""
    heard_s: float = 3.0
    """An agent is known for so long after its last frame."""
    tick_s: float = 0.25
    """Resolution of PING, SYNC and stall checks."""
    budget: int = 96 << 20
    """Granted and not yet written, over all streams of this process."""
    streams: int = 4096
    """Live streams per connection."""
    stall_s: float = 600.0
    """Nothing taken for so long on a response that is not long-running: LIMIT. A pause that people make is shorter."""
    pressed_stall_s: float = 60.0
    """The same while half of the budget is used: then others pay for it too."""
    flood: int = 500
    """Stray frames of one member before it is cut."""
    flood_s: float = 60.0
    """A cut member stays cut for so long."""
    idle_s: float = 60.0
    """A member without streams is unsubscribed after so long."""
