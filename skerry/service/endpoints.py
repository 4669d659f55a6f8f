"""Typed endpoints: what a handler takes and answers is in its annotations, and is what `nats micro info` shows.

async def explain(context: Context[QuotaSettings, None], request: Explain) -> Explanation: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, get_type_hints

import msgspec

from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.messages import WriteRequest
from skerry.bus import Message
from skerry.errors import BadRequest

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Typed:
    """One endpoint: its subject, what it takes and what it answers."""

    subject: str
    request: Any
    answer: Any
    handler: Callable[..., Awaitable[Any]]
    admit: Callable[..., None] | None = None
    """Asked before anything of a request is read."""

    @cached_property
    def wild(self) -> tuple[int, ...]:
        """Which tokens of the subject are wildcards."""
        return tuple(place for place, token in enumerate(self.subject.split(".")) if token == "*")  # noqa: S105 - no password

    @classmethod
    def of(
        cls, service: str, name: str, handler: Callable[..., Awaitable[Any]], admit: Callable[..., None] | None = None
    ) -> Typed:
        """By the annotations of `handler`. TypeError, naming the endpoint, if a type is missing."""
        subject = name if "." in name else subjects.endpoint(service, name)
        hints = get_type_hints(handler)
        parameters = list(inspect.signature(handler).parameters)
        wildcards = subject.split(".").count("*")
        if len(parameters) != 2 + wildcards:
            raise TypeError(f"service {service}: {name} takes (context, request{', token' * wildcards})")
        if parameters[1] not in hints or "return" not in hints:
            what = "answer" if parameters[1] in hints else "request"
            raise TypeError(f"service {service}: the {what} of {name} has no type")
        if hints[parameters[1]] is WriteRequest:
            raise TypeError(f"service {service}: {name} takes a write, whose caller only rules and actions are sure of")
        return cls(subject=subject, request=hints[parameters[1]], answer=hints["return"], handler=handler, admit=admit)

    def bound(self, context: object) -> Callable[[Message], Awaitable[bytes]]:
        """The handler for the bus. BadRequest for what is not a request of its type."""
        what = getattr(self.request, "__name__", "request")

        async def answer(message: Message) -> bytes:
            try:
                request = decoded(message.data, self.request)
            except msgspec.DecodeError as error:
                raise BadRequest(f"this is not a {what}: {error}") from error
            return _encode(await self.handler(context, request, *self._tokens(message)))

        return answer

    def admits(self, context: object) -> Callable[[Message, int], None]:
        """Raises a StatusError for a request that is not to be read, of whose subject so many run and wait."""
        admit = self.admit or (lambda context, *tokens, pending: None)
        return lambda message, pending: admit(context, *self._tokens(message), pending=pending)

    def _tokens(self, message: Message) -> list[str]:
        """What a message's subject has for the wildcards."""
        parts = message.subject.split(".")
        return [parts[place] for place in self.wild]

    def metadata(self) -> dict[str, str]:
        """What it is for, and JSON schemas of request and answer."""
        return described((self.handler.__doc__ or "").partition("\n")[0], self.request, self.answer)


def described(text: str, request: Any, answer: Any) -> dict[str, str]:
    """A description and JSON schemas of two types, as metadata of a micro endpoint: texts."""
    return {"description": text, "request": _schema(request), "answer": _schema(answer)}


@cache
def _schema(kind: Any) -> str:
    """Six milliseconds for a kind, and half of all endpoints share theirs."""
    return _encode(msgspec.json.schema(_shown(kind), schema_hook=_anything)).decode()


def asked_for(subject: str) -> str:
    """Of `<service>.<plural>.<verb>` or `<service>.<plural>.<subresource>-<verb>`: what a client of the host's API did."""
    _, plural, last = subject.split(".")
    subresource, _, verb = last.rpartition("-")
    return f"{verb} of {plural}{subresource and f'/{subresource}'}, as a client of the host's API asked for it"


def _shown(kind: Any) -> Any:
    """`kind`, or a Struct like it whose fields of raw JSON have no default: a default that is raw cannot be shown."""
    fields = msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()
    if not any(isinstance(each.default, msgspec.Raw) for each in fields):
        return kind
    plain = [(each.encode_name, Any if each.type is msgspec.Raw else each.type) for each in fields]
    return msgspec.defstruct(kind.__name__, plain, kw_only=True)


def _anything(kind: type) -> dict[str, Any]:
    """Raw JSON inside a message has no schema of its own."""
    if kind is msgspec.Raw:
        return {}
    raise NotImplementedError(kind)
