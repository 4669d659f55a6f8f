"""What is asked below an object without being a part of it, as data: a kind declares its actions. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skerry.api.kinds.access import Tie
from skerry.api.meta import Struct
from skerry.api.structural import structural

METHODS = {"get": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}
"""Of HTTP, by the verb of an action."""
ACTION_VERBS = tuple(METHODS)
LONGEST_S = 60.0
"""A signature is good for no longer."""
MOST_BYTES = 256 * 1024 * 1024
"""Of a streamed body: a few of them have room in the store at once."""
_TAKES_BODY = ("create", "update")
_PARAMETERS = ("string", "boolean", "integer")
"""Types that a value in a query can have."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """A request to `<plural>/<name>/<subresource>`, by the method of its verb. It is signed for its caller as writes are, so
    that whoever answers knows whose it is; also a get.
    """

    subresource: str
    verb: str
    request: type[Struct] | None = None
    """The body of a create or update; of a get the parameters of its query, if it has any."""
    answer: type[Struct] | None = None
    streaming: bool = False
    """Whether the body of a create or update, or the answer to a get, is bytes of any length and of no type."""
    max_bytes: int = 0
    """Of a body that is streamed."""
    service: str = ""
    """Who answers; by default the owner of the kind."""
    groups: tuple[str, ...] = ()
    """Who may besides host administrators; what the kind's `access` says does not count here."""
    ties: tuple[Tie, ...] = ()
    """Who may in the namespaces to which they are tied: of a namespaced kind, ties that are `placed`."""
    timeout_s: float = 10.0
    """How long a proxy waits for the answer, or for one part of it; before that as long for a body that is streamed."""
    description: str = ""

    @property
    def takes_body(self) -> bool:
        """True if a client sends something with it."""
        return self.verb in _TAKES_BODY

    @property
    def streams_request(self) -> bool:
        """True if what a client sends with it is bytes of any length."""
        return self.streaming and self.takes_body

    @property
    def streams_answer(self) -> bool:
        """True if its answer is bytes of any length."""
        return self.streaming and self.verb == "get"

    def problems(self) -> Iterator[str]:
        """The faults that keep it from being served."""
        if self.verb not in ACTION_VERBS:
            yield f"verb {self.verb} is none of {', '.join(ACTION_VERBS)}"
            return
        if not 0 < self.timeout_s <= LONGEST_S:
            yield f"{self.timeout_s:g} s are no time to wait for: more than 0, at most {LONGEST_S:g}"
        if self.streams_request != (0 < self.max_bytes <= MOST_BYTES):
            yield (
                f"{self.verb} streams its request, which so has max_bytes, at most {MOST_BYTES}"
                if self.streams_request
                else f"{self.verb} streams no request, and has max_bytes"
            )
        yield from self._problems_of(
            "answer", self.answer, needed=not self.streams_answer, streamed=self.streams_answer
        )
        if self.takes_body:
            yield from self._problems_of("request", self.request, needed=not self.streaming, streamed=self.streaming)
        elif self.verb == "delete":
            if self.request or self.streaming:
                yield "delete takes nothing"
        elif self.request is not None:
            yield from self._problems_of("request", self.request, needed=True)
            yield from self._parameter_problems(self.request)

    def _problems_of(
        self, name: str, shape: type[Struct] | None, *, needed: bool, streamed: bool = False
    ) -> Iterator[str]:
        if streamed and shape is not None:
            yield f"{self.verb} streams its {name}, which so has no type"
        if needed and not (isinstance(shape, type) and issubclass(shape, Struct)):
            yield f"{self.verb} has no type for its {name}"

    def _parameter_problems(self, shape: type[Struct]) -> Iterator[str]:
        if not (isinstance(shape, type) and issubclass(shape, Struct)):
            return
        properties = structural(shape)["properties"]
        for name in shape.__struct_encode_fields__:
            if properties[name].get("type") not in _PARAMETERS:
                yield f"{self.verb}: {name} cannot stand in a query, which has {', '.join(_PARAMETERS)}"
