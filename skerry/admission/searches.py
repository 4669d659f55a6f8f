"""A service's answers to `search=` in lists of its kinds: it ranks, the front door shows what the caller may see of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from skerry import subjects
from skerry.admission.callers import Callers
from skerry.api.decode import decoded
from skerry.api.kinds import Kind
from skerry.api.messages import WriteRequest
from skerry.api.searching import MOST, SearchAnswer, SearchRequest
from skerry.bus import Message
from skerry.errors import BadRequest

Rank = Callable[[WriteRequest, SearchRequest], Awaitable[Iterable[str]]]
"""From whose question it is, and the question, to the keys (`namespace/name`, or the name alone) of what matches, the best first."""


class Searches:
    """The endpoint of one kind, for `Bus.serve`. ValueError, naming kind and service, if the kind cannot be searched."""

    def __init__(self, service: str, kind: Kind, rank: Rank) -> None:
        if not kind.searchable or kind.owner != service:
            raise ValueError(f"kind {kind.kind}: {service} answers searches of it, which it does not declare or own")
        self._subject, self._rank = subjects.search(service, kind.plural), rank

    def endpoints(self, callers: Callers) -> Mapping[str, Callable[[Message], Awaitable[bytes]]]:
        """Subject -> handler; `callers` says whose a question is."""

        async def answer(message: Message) -> bytes:
            request = callers.read(message, self._subject)
            try:
                question = decoded(request.body, SearchRequest)
            except msgspec.DecodeError as error:
                raise BadRequest(f"this is not a SearchRequest: {error}") from error
            keys = list(await self._rank(request, question))
            return msgspec.json.encode(SearchAnswer(keys=keys[: max(0, min(question.limit, MOST))]))

        return {self._subject: answer}

    def answers(self) -> Mapping[str, type[msgspec.Struct]]:
        """Subject -> what is answered there."""
        return {self._subject: SearchAnswer}
