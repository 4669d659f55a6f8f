"""Which agents of a member are known: those heard from in the last three seconds that are not leaving.

An OPEN is addressed to one of them; the queue subject is for when none is known. With a single known agent every
`_EXPLORE`th repeatable request still goes by the queue, or a second replica would never be found.

The queue may hold an agent that is stopped or behind a half-open connection: the bus keeps it for minutes. So after an
OPEN stayed without an answer the queue is in doubt for a while: nothing explores, and who was heard in the last minute,
and was not silent itself, is asked before the queue is, or else who is there by its heartbeats. So is who was not asked yet when a request is repeated: the queue may
give it to the agent that has just refused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_EXPLORE = 8
REMEMBER_S = 60.0
"""How long an agent is remembered that was heard, and how long the queue is in doubt after silence."""


class Agents:
    """The agents of one member, on connections of one class."""

    def __init__(self, heard_s: float) -> None:
        self._heard_s = heard_s
        self._heard: dict[str, float] = {}
        self._remembered: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        """When each did not answer an OPEN."""
        self._leaving: set[str] = set()
        self._doubt_until = float("-inf")
        self._turn = 0

    def heard(self, agent: str, now: float) -> None:
        """A frame of `agent` came."""
        if agent not in self._leaving:
            self._heard[agent] = self._remembered[agent] = now
            self._silent.pop(agent, None)

    def drop(self, agent: str) -> None:
        """`agent` is gone: it is unknown until it is heard again."""
        self._heard.pop(agent, None)
        self._remembered.pop(agent, None)

    def silent(self, agent: str, now: float) -> None:
        """`agent`, or whoever the queue gave it to (empty), did not answer an OPEN."""
        self._doubt_until = now + REMEMBER_S
        self._silent = {a: at for a, at in self._silent.items() if now - at <= REMEMBER_S} | {agent: now}
        self.drop(agent)

    def leaving(self, agent: str) -> None:
        """`agent` takes no new streams; its id is never used again."""
        self._leaving.add(agent)
        self.drop(agent)

    def forget(self, agent: str) -> None:
        """Nothing is left between us and `agent`; it may still be there."""
        self._leaving.discard(agent)
        self._heard.pop(agent, None)

    def pick(
        self, now: float, *, repeatable: bool, avoid: frozenset[str] = frozenset(),
        beating: Callable[[], Iterable[str]] = tuple,
    ) -> str | None:  # fmt: skip
        """The agent to address, each in turn; None for the queue subject. `beating` tells of agents that are there by their
        heartbeats.
        """
        known = [a for a, at in self._heard.items() if now - at <= self._heard_s and a not in avoid]
        self._turn += 1
        doubt = now < self._doubt_until
        if not known:
            return self._last_heard(now, avoid) or self._beating(now, avoid, beating()) if doubt or avoid else None
        if len(known) == 1 and repeatable and not doubt and self._turn % _EXPLORE == 0:
            return None
        return known[self._turn % len(known)]

    def _last_heard(self, now: float, avoid: frozenset[str]) -> str | None:
        self._remembered = {a: at for a, at in self._remembered.items() if now - at <= REMEMBER_S}
        return max((a for a in self._remembered if a not in avoid), key=self._remembered.__getitem__, default=None)

    def _beating(self, now: float, avoid: frozenset[str], beating: Iterable[str]) -> str | None:
        """The first that may answer: in doubt nothing explores, so that all but one may never have been heard here."""
        passed = avoid | self._leaving | {a for a, at in self._silent.items() if now - at <= REMEMBER_S}
        return next((agent for agent in beating if agent not in passed), None)
