"""Answers that were begun and cut, in the log: one line for all of one reason.

A grant that goes, a member that is lost or a shutdown cuts thousands of streams at once; a line for each was a third of what
that costs. Whose they were, one by one, is in the access log: each has its line there, with the reason.
"""

from __future__ import annotations

import asyncio
import logging

from services.proxy.record import RequestRecord

log = logging.getLogger("skerry.proxy")

GATHER_S = 0.2
MOST_REASONS = 100
"""Reasons come from members too: what is beyond is one line."""
NAMED = 3
"""Users that a line names."""
OTHERS = "others"


class _Crowd:
    """What was cut for one reason."""

    __slots__ = ("count", "stream", "users")

    def __init__(self, stream: str) -> None:
        self.count = 0
        self.stream = stream
        """The first one's."""
        self.users: set[str] = set()


class Cuts:
    """Gathers them, and tells them at most GATHER_S later. Used on one event loop; `flush` at the end."""

    def __init__(self) -> None:
        self._crowds: dict[str, _Crowd] = {}

    def add(self, record: RequestRecord) -> None:
        """One request whose answer was cut."""
        if not self._crowds:
            asyncio.get_running_loop().call_later(GATHER_S, self.flush)
        reason = record.reason
        if reason not in self._crowds and len(self._crowds) >= MOST_REASONS:
            reason = OTHERS
        crowd = self._crowds.get(reason)
        if crowd is None:
            crowd = self._crowds[reason] = _Crowd(record.stream)
        crowd.count += 1
        crowd.users.add(record.user)

    def flush(self) -> None:
        """Tell what is waiting."""
        crowds, self._crowds = self._crowds, {}
        for reason, crowd in crowds.items():
            names = sorted(crowd.users)
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            log.warning(
                "responses were cut",
                extra={
                    "count": crowd.count,
                    "reason": reason,
                    "users": ", ".join(names[:NAMED]) + more,
                    "stream": crowd.stream,
                },
            )
