"""Reading stored objects whose status another version of this program may have written. Pure.

While replicas are replaced one after the other, an older one meets what a newer one observed. What somebody wanted must be readable
as it is; of what was observed, that which cannot be read counts as absent, and the rest is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from skerry.api.decode import decoded, decoder
from skerry.api.meta import Document, Struct

T = TypeVar("T", bound=Struct)


def stored(kind: type[T]) -> Callable[[bytes], T]:
    """A decoder of stored objects of a kind, as `readable` takes them. msgspec.DecodeError."""
    whole = decoder(kind)

    def decode(body: bytes) -> T:
        try:
            return whole(body)
        except msgspec.ValidationError:
            return readable(decoded(body, dict[str, Any]), kind)

    return decode


def readable(document: Document, kind: type[T]) -> T:
    """An object of a kind, without the fields of its status, and without the items of lists there, that do not fit the kind.
    msgspec.ValidationError if the rest does not.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        status = document.get("status")
        rest = {name: value for name, value in document.items() if name != "status"}
        fields = status.items() if isinstance(status, dict) else ()
        known = {name: _known(kind, rest, name, value) for name, value in fields}
        return msgspec.convert({**rest, "status": {n: v for n, v in known.items() if v is not None}}, kind)


def _known(kind: type[Struct], rest: Document, name: str, value: Any) -> Any:
    """As much of a field of the status as can be read; None if nothing can."""
    if _fits(kind, rest, name, value):
        return value
    if not isinstance(value, list):
        return None
    return [item for item in value if _fits(kind, rest, name, [item])]


def _fits(kind: type[Struct], rest: Document, name: str, value: Any) -> bool:
    try:
        msgspec.convert({**rest, "status": {name: value}}, kind)
    except msgspec.ValidationError:
        return False
    return True
