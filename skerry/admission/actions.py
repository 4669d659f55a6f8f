"""A service's answers to actions: what is asked below an object of its kind without being a part of it.

The declaration says which there are, and the type of what is sent; here it is decoded, so that a handler meets what it
declared. Unknown fields are ignored, as in messages: a body is not stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from skerry import subjects
from skerry.admission.callers import Callers, origin_of_request
from skerry.admission.streams import Download, Upload, Uploads
from skerry.api.decode import decoded
from skerry.api.kinds import Action, Kind
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.streaming import PartHead
from skerry.bus import Message
from skerry.errors import BadRequest
from skerry.storage.documents import encode_document
from skerry.storage.origin import on_behalf_of

Act = Callable[[WriteRequest, Any], Awaitable[Document | Download]]
"""From the request and its body or parameters, as the action declares them, to the answer; one that names no apiVersion and
kind of its own gets those of the declared type. The body is an Upload where it is streamed, the answer a Download."""


class Actions:
    """Endpoints of the actions of one kind that one service answers, for `Bus.serve`. `acts` is by (subresource, verb), for each
    that is declared to be answered by it.

    ValueError, naming kind and action, if one has no handler or a handler no declaration.
    """

    def __init__(
        self, service: str, kind: Kind, acts: Mapping[tuple[str, str], Act], uploads: Uploads | None = None
    ) -> None:
        own = (action for action in kind.actions if kind.answers(action) == service)
        declared = {(action.subresource, action.verb): action for action in own}
        for subresource, verb in sorted(declared.keys() ^ acts.keys()):
            known = kind.action(subresource, verb)
            if (subresource, verb) in declared:
                what = f"is declared, and {service} has no handler for it"
            elif known is None:
                what = "is not declared"
            else:
                what = f"is answered by {kind.answers(known)}, not by {service}"
            raise ValueError(f"kind {kind.kind}: {verb} of {subresource} {what}")
        self._service, self._kind, self._uploads = service, kind, uploads
        self._acts = [(action, acts[key]) for key, action in declared.items()]

    def endpoints(self, callers: Callers) -> Mapping[str, Callable[[Message], Awaitable[bytes]]]:
        """Subject -> handler; `callers` says whose an action is."""
        served = {self._subject(action): (action, act) for action, act in self._acts}
        return {subject: self._answering(callers, subject, *each) for subject, each in served.items()}

    def answers(self) -> Mapping[str, type[msgspec.Struct]]:
        """Subject -> what is answered there; of bytes that are streamed what comes before them."""
        return {self._subject(action): action.answer or PartHead for action, _ in self._acts}

    def _subject(self, action: Action) -> str:
        return subjects.action(self._service, self._kind.plural, action.subresource, action.verb)

    def _answering(
        self, callers: Callers, subject: str, action: Action, act: Act
    ) -> Callable[[Message], Awaitable[bytes]]:
        kind = self._kind
        names = {"apiVersion": kind.api_version, "kind": action.answer.__name__ if action.answer else kind.kind}

        async def answer(message: Message) -> bytes:
            request = callers.read(message, subject)
            body = self._upload(request) if action.streams_request else _body(action, request.body)
            with on_behalf_of(origin_of_request(request, message)):
                result = await act(request, body)
            if action.streams_answer:
                return await cast(Download, result).part(request.cursor)
            return encode_document(names | cast(Document, result))

        return answer

    def _upload(self, request: WriteRequest) -> Upload:
        if request.upload is None or self._uploads is None:
            raise BadRequest("the body of this action is streamed, and the request names none")
        return Upload(request.upload, self._uploads)


def _body(action: Action, body: msgspec.Raw) -> Any:
    """What the action declares to be sent; None if that is nothing."""
    if action.request is None:
        return None
    try:
        return decoded(body, action.request)
    except msgspec.DecodeError as error:
        raise BadRequest(f"this is not a {action.request.__name__}: {error}") from error
