"""The name in a ClientHello: OpenSSL's own messages in any pieces, and what must not be taken for one."""

from __future__ import annotations

import ssl
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.httpwire.clienthello import LIMIT, ClientHello


def hello(name: str | None) -> bytes:
    """What OpenSSL sends first when it asks for `name`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def body(*extensions: tuple[int, bytes]) -> bytes:
    """The inside of a ClientHello with these extensions and nothing else of interest."""
    parts = b"".join(struct.pack(">HH", kind, len(data)) + data for kind, data in extensions)
    return b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00" + struct.pack(">H", len(parts)) + parts


def named(name: bytes) -> tuple[int, bytes]:
    """The extension that asks for `name`."""
    return 0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name


def records(inside: bytes, piece: int = 1 << 14, kind: int = 22, message: int = 1) -> bytes:
    """A handshake message in records of at most `piece` bytes."""
    whole = bytes((message,)) + len(inside).to_bytes(3, "big") + inside
    cut = [whole[at : at + piece] for at in range(0, len(whole), piece)]
    return b"".join(struct.pack(">BHH", kind, 0x0301, len(part)) + part for part in cut)


MINE = hello("M1.clusters.example")


def test_the_name_is_read_in_lower_case() -> None:
    assert ClientHello().feed(MINE) == "m1.clusters.example"


@pytest.mark.parametrize("name", [None, "127.0.0.1"])
def test_a_client_that_names_nobody(name: str | None) -> None:
    assert ClientHello().feed(hello(name)) == ""


def test_a_client_without_extensions_names_nobody() -> None:
    assert ClientHello().feed(records(body()[:-2])) == ""


@given(st.lists(st.integers(1, len(MINE) - 1), max_size=8))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(MINE)]
    reader = ClientHello()
    heard = [reader.feed(MINE[a:b]) for a, b in pairwise(edges)]
    assert heard == [None] * (len(heard) - 1) + ["m1.clusters.example"]


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 50])
def test_it_does_not_matter_how_the_message_is_cut_into_records(piece: int) -> None:
    assert ClientHello().feed(records(body(named(b"m1")), piece)) == "m1"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\x01\x03\x01\x00", bytes(16), records(body(), kind=21), records(b"", kind=22),
        struct.pack(">BHH", 22, 0x0301, 0) + MINE, records(body(), message=2), records(body(named(b""))),
        records(body(named(b"a"), named(b"b"))), records(body((0, b""))), records(body((0, b"\x00\x04\x01\x00\x01a"))),
        records(body((0, named(b"a")[1] + named(b"b")[1]))), records(body((0, b"\x00\x04\x00\x00\x02a"))),
        records(body(named(b"m1 "))), records(body(named(b"m1\n"))), records(body(named(b"m\x001"))),
        records(body(named("ü".encode()))), records(body(named(b"a" * 256))), records(body(named(b"m1")) + b"x"),
        records(body(named(b"m1"))[:-1]), records(body()[:40]), records(bytes(10)),
    ],
)  # fmt: skip
def test_what_is_no_clear_first_message_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ClientHello().feed(raw)


def outcome(*pieces: bytes) -> str | None:
    """What is heard of a message in these pieces; "refused" is no name that can be asked for here."""
    reader = ClientHello()
    for piece in pieces:
        try:
            name = reader.feed(piece)
        except ValueError:
            return "refused"
        if name is not None:
            return name
    return None


@given(st.lists(st.tuples(st.integers(0, len(MINE) - 1), st.integers(0, 255)), max_size=3), st.integers(1, len(MINE)))
def test_a_message_in_one_piece_is_read_as_one_in_two(changes: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(MINE)
    for at, byte in changes:
        raw[at] = byte
    assert outcome(bytes(raw)) == outcome(bytes(raw[:cut]), bytes(raw[cut:]))


@given(st.lists(st.tuples(st.sampled_from([0, 0, 16, 21]), st.binary(max_size=20)), max_size=4), st.integers(-3, 3))
def test_extensions_in_one_piece_are_read_as_those_in_two(extensions: list[tuple[int, bytes]], wrong: int) -> None:
    inside = bytearray(body(named(b"m1"), *extensions))
    inside[41:43] = struct.pack(">H", len(inside) - 43 + wrong)
    raw = records(bytes(inside))
    assert outcome(raw) == outcome(raw[:20], raw[20:])


def test_a_message_that_never_ends_is_bounded() -> None:
    reader = ClientHello()
    record = struct.pack(">BHH", 22, 0x0301, 1) + b"\x01"
    for _ in range(LIMIT // len(record)):
        assert reader.feed(record) is None
    with pytest.raises(ValueError, match="too long"):
        reader.feed(record)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_give_a_name_or_a_refusal(noise: bytes, at: int) -> None:
    good = records(body(named(b"m1"), (16, noise[:50])))
    try:
        heard = ClientHello().feed(good[:at] + noise + good[at + len(noise) :])
    except ValueError:
        return
    assert heard is None or heard == heard.lower()
