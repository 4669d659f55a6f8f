"""The owning service's answers to actions: what is asked below an object of its kind without being a part of it.

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
from skerry.api.meta import Document
from skerry.bus import Message
from skerry.errors import BadRequest
from skerry.storage.documents import encode_document

Act = Callable[[WriteRequest, Any], Awaitable[Document]]
"""From the request and its body, as the action declares it, to the answer."""


class Actions:
    """Endpoints of the actions of one kind, for `Bus.serve`. `acts` is by (subresource, verb), for each that is declared.

    ValueError, naming kind and action, if one has no handler or a handler no declaration.
    """

    def __init__(self, kind: Kind, acts: Mapping[tuple[str, str], Act]) -> None:
        declared = {(action.subresource, action.verb): action for action in kind.actions}
        for subresource, verb in declared.keys() ^ acts.keys():
            what = "is answered by nobody" if (subresource, verb) in declared else "is not declared"
            raise ValueError(f"kind {kind.kind}: {verb} of {subresource} {what}")
        self._kind = kind
        self._acts = [(action, acts[key]) for key, action in declared.items()]

    def endpoints(self, callers: Callers) -> Mapping[str, Callable[[Message], Awaitable[bytes]]]:
        """Subject -> handler; `callers` says whose an action is."""
        kind = self._kind
        served = {
            subjects.action(kind.owner, kind.plural, action.subresource, action.verb): (action, act)
            for action, act in self._acts
        }
        return {subject: _answering(callers, subject, *each) for subject, each in served.items()}


def _answering(callers: Callers, subject: str, action: Action, act: Act) -> Callable[[Message], Awaitable[bytes]]:
    async def answer(message: Message) -> bytes:
        request = callers.read(message, subject)
        return encode_document(await act(request, _body(action, request.body)))

    return answer


def _body(action: Action, body: msgspec.Raw) -> Any:
    if action.request is None:
        raise AssertionError("a declared action has a type for its request")
    try:
        return decoded(body, action.request)
    except msgspec.DecodeError as error:
        raise BadRequest(f"this is not a {action.request.__name__}: {error}") from error
