"""Which agents of a member are known: those heard from in the last three seconds that are not leaving.

An OPEN is addressed to one of them; the queue subject is for when none is known. With a single known agent every
`_EXPLORE`th repeatable request still goes by the queue, or a second replica would never be found.
"""

from __future__ import annotations

_EXPLORE = 64


class Agents:
    """The agents of one member, on connections of one class."""

    def __init__(self, heard_s: float) -> None:
        self._heard_s = heard_s
        self._heard: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._turn = 0

    def heard(self, agent: str, now: float) -> None:
        """A frame of `agent` came."""
        if agent not in self._leaving:
            self._heard[agent] = now

    def drop(self, agent: str) -> None:
        """`agent` did not answer: it is unknown until it is heard again."""
        self._heard.pop(agent, None)

    def leaving(self, agent: str) -> None:
        """`agent` takes no new streams; its id is never used again."""
        self._leaving.add(agent)
        self.drop(agent)

    def forget(self, agent: str) -> None:
        """Nothing is left between us and `agent`."""
        self._leaving.discard(agent)
        self.drop(agent)

    def pick(self, now: float, *, repeatable: bool, avoid: frozenset[str] = frozenset()) -> str | None:
        """The agent to address, each in turn; None for the queue subject."""
        known = [a for a, at in self._heard.items() if now - at <= self._heard_s and a not in avoid]
        self._turn += 1
        if not known or (len(known) == 1 and repeatable and self._turn % _EXPLORE == 0):
            return None
        return known[self._turn % len(known)]
