"""Decoding JSON that comes from somebody else: whatever is wrong with the bytes, it is msgspec.DecodeError.

msgspec alone raises UnicodeDecodeError where a string is no UTF-8 (RFC 8259, 8.1), and RecursionError for what is nested
too deep: who waits for DecodeError then ends in a 500, or does not answer at all.
"""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def decoded(data: bytes | bytearray | str | msgspec.Raw) -> Any: ...
@overload
def decoded(data: bytes | bytearray | str | msgspec.Raw, kind: type[T]) -> T: ...
@overload
def decoded(data: bytes | bytearray | str | msgspec.Raw, kind: UnionType) -> Any: ...
def decoded(data: bytes | bytearray | str | msgspec.Raw, kind: Any = Any) -> Any:
    """The value in `data`, as `msgspec.json.decode` gives it. msgspec.DecodeError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise _undecodable(data, error) from error


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """`decoded` for one type that comes often."""
    inner = msgspec.json.Decoder(kind).decode

    def decode(data: bytes) -> T:
        try:
            return inner(data)
        except (UnicodeDecodeError, RecursionError) as error:
            raise _undecodable(data, error) from error

    return decode


def _undecodable(
    data: bytes | bytearray | str | msgspec.Raw, error: UnicodeDecodeError | RecursionError
) -> msgspec.DecodeError:
    if isinstance(error, RecursionError):
        return msgspec.DecodeError("JSON is nested too deep")
    try:
        (data.encode() if isinstance(data, str) else bytes(data)).decode()
    except UnicodeError as whole:
        place = getattr(whole, "start", 0)
        return msgspec.DecodeError(f"JSON is not UTF-8 (byte {place})")
    return msgspec.DecodeError("JSON is not UTF-8")
