"""A service's answers to actions: what is asked below an object of its kind without being a part of it.

The declaration says which there are, and the type of what is sent; here it is decoded, so that a handler meets what it
declared. Unknown fields are ignored, as in messages: a body is not stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from skerry import subjects
from skerry.admission.callers import Callers
from skerry.api.decode import decoded
from skerry.api.kinds import Action, Kind
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document, Struct
from skerry.bus import Message
from skerry.errors import BadRequest
from skerry.storage.documents import encode_document

Act = Callable[[WriteRequest, Any], Awaitable[Document]]
"""From the request and its body or parameters, as the action declares them, to the answer; one that names no apiVersion and
kind of its own gets those of the declared type."""


class Actions:
    """Endpoints of the actions of one kind that one service answers, for `Bus.serve`. `acts` is by (subresource, verb), for each
    that is declared to be answered by it.

    ValueError, naming kind and action, if one has no handler or a handler no declaration.
    """

    def __init__(self, service: str, kind: Kind, acts: Mapping[tuple[str, str], Act]) -> None:
        own = (action for action in kind.actions if kind.answers(action) == service and not action.streaming)
        declared = {(action.subresource, action.verb): action for action in own}
        for subresource, verb in sorted(declared.keys() ^ acts.keys()):
            known = kind.action(subresource, verb)
            if (subresource, verb) in declared:
                what = f"is declared, and {service} has no handler for it"
            elif known is None:
                what = "is not declared"
            elif known.streaming:
                what = "is streamed, which no handler can do yet"
            else:
                what = f"is answered by {kind.answers(known)}, not by {service}"
            raise ValueError(f"kind {kind.kind}: {verb} of {subresource} {what}")
        self._service, self._kind = service, kind
        self._acts = [(action, acts[key]) for key, action in declared.items()]

    def endpoints(self, callers: Callers) -> Mapping[str, Callable[[Message], Awaitable[bytes]]]:
        """Subject -> handler; `callers` says whose an action is."""
        served = {self._subject(action): (action, act) for action, act in self._acts}
        return {subject: _answering(callers, subject, self._kind, *each) for subject, each in served.items()}

    def answers(self) -> Mapping[str, type[Struct]]:
        """Subject -> what is answered there."""
        return {self._subject(action): action.answer for action, _ in self._acts if action.answer is not None}

    def _subject(self, action: Action) -> str:
        return subjects.action(self._service, self._kind.plural, action.subresource, action.verb)


def _answering(
    callers: Callers, subject: str, kind: Kind, action: Action, act: Act
) -> Callable[[Message], Awaitable[bytes]]:
    names = {"apiVersion": kind.api_version, "kind": action.answer.__name__ if action.answer else kind.kind}

    async def answer(message: Message) -> bytes:
        request = callers.read(message, subject)
        return encode_document(names | await act(request, _body(action, request.body)))

    return answer


def _body(action: Action, body: msgspec.Raw) -> Any:
    """What the action declares to be sent; None if that is nothing."""
    if action.request is None:
        return None
    try:
        return decoded(body, action.request)
    except msgspec.DecodeError as error:
        raise BadRequest(f"this is not a {action.request.__name__}: {error}") from error
