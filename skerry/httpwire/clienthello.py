"""The name that a client asks for in TLS, read from its first message (RFC 8446, 4.1.2; RFC 6066, 3).

OpenSSL's own callback is not used: when a TLS 1.2 session is resumed it tells the name of the session, not the one that
this connection came for, and Python reports a name that is not ASCII on stderr. What is malformed here, OpenSSL refuses
too; what only this module refuses (a name with blanks or control characters) never becomes a connection.
"""

from __future__ import annotations

import re
import struct

LIMIT = 8 * 1024
"""Bytes of a first message, with the heads of its records: real ones have less than 3 KiB."""
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME = 22, 1, 0
_PRINTABLE = re.compile(rb"[\x21-\x7e]{1,255}")
_RECORD, _EXTENSION, _SIZE = struct.Struct(">BHH"), struct.Struct(">HH"), struct.Struct(">H")
_HOST_NAME = struct.Struct(">HBH")
_ONE_RECORD, _WHOLE = struct.Struct(">BHHI"), _CLIENT_HELLO << 24
"""Nearly always the first bytes are one record with the whole message and nothing else."""


class ClientHello:
    """Takes the first bytes of a connection, in whatever pieces they come."""

    __slots__ = ("_message", "_rest", "_taken")

    def __init__(self) -> None:
        self._rest = b""  # of a record that is not complete
        self._message = b""  # the handshake message, without the heads of its records
        self._taken = 0

    def feed(self, data: bytes) -> str | None:
        """The name asked for, in lower case, "" for none; None while bytes are missing. ValueError: not a ClientHello."""
        if not self._taken and len(data) > _ONE_RECORD.size:
            kind, _, size, message = _ONE_RECORD.unpack_from(data)
            if kind == _HANDSHAKE and size == len(data) - _RECORD.size and message == _WHOLE + size - 4:
                return _name(data, _ONE_RECORD.size)
        self._taken += len(data)
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) - at >= _RECORD.size:
            kind, _, size = _RECORD.unpack_from(data, at)
            if kind != _HANDSHAKE or not size:
                raise ValueError("the connection does not begin with a TLS handshake")
            end = at + _RECORD.size + size
            if end > len(data):
                break
            self._message += data[at + _RECORD.size : end]
            at = end
            if (name := self._whole()) is not None:
                return name
        if self._taken > LIMIT:
            raise ValueError("the first message of the connection is too long")
        self._rest = data[at:]
        return None

    def _whole(self) -> str | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise ValueError("the first message of the connection is not a ClientHello")
        size = 4 + int.from_bytes(message[1:4], "big")
        if len(message) < 4 or len(message) < size:
            return None
        return _name(message[:size], 4)


def _name(data: bytes, at: int) -> str:
    """The name in a message whose body lies from `at` to the end of `data`."""
    try:
        at += 34  # version and random
        at += 1 + data[at]  # session
        at += 2 + _SIZE.unpack_from(data, at)[0]  # cipher suites
        at += 1 + data[at]  # compression
        if at == len(data):
            return ""
        if at + 2 + _SIZE.unpack_from(data, at)[0] != len(data):
            raise ValueError("the ClientHello's extensions have another length than they say")
        return _asked(data, at + 2)
    except (IndexError, struct.error) as error:
        raise ValueError("the ClientHello ends within a field") from error


def _asked(data: bytes, at: int) -> str:
    """The name among the extensions, which lie from `at` to the end of `data`."""
    name, end, read = "", len(data), _EXTENSION.unpack_from
    while at < end:
        kind, size = read(data, at)
        at += 4 + size
        if kind == _SERVER_NAME:
            if name:
                raise ValueError("the ClientHello names two servers")
            name = _host(data[at - size : at])
    if at > end:
        raise ValueError("an extension is longer than all of them")
    return name


def _host(extension: bytes) -> str:
    """The one entry of the list; there is no other type of name than host_name (0)."""
    name = extension[5:]
    if extension[:5] != _HOST_NAME.pack(len(name) + 3, 0, len(name)) or not _PRINTABLE.fullmatch(name):
        raise ValueError("the server name in the ClientHello is not one")
    return name.decode("ascii").lower()
