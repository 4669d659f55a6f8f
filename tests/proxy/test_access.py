"""Access lines: the shape of the process's other lines, and nothing secret in them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import uuid
from collections.abc import Iterator

import pytest

from services.proxy.access import AccessLog, shown
from services.proxy.record import RequestRecord, audit_id
from skerry.access.holdings import Basis
from skerry.runtime import HumanFormatter, JsonFormatter


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What a handler of the root logger writes to."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield out
    root.removeHandler(handler)
    root.setLevel(before)


BASIS = (Basis("AccessGrant", "g"), Basis("Workspace", "w"))


def line(
    stream: io.StringIO,
    formatter: logging.Formatter,
    user: str = "alice",
    basis: tuple[Basis, ...] = BASIS,
    reason: str = "",
) -> str:
    next(h for h in logging.getLogger().handlers if getattr(h, "stream", None) is stream).setFormatter(formatter)
    record = RequestRecord()
    record.user, record.code, record.stream = user, "200", "s1"
    record.basis, record.reason = basis, reason

    async def write() -> None:
        access = AccessLog()
        access.add(record, b"GET", b"/clusters/m1/exec?command=secret&tty=1", 0.0123)
        access.flush()

    asyncio.run(write())
    return stream.getvalue()


def test_json_lines_have_the_fields_of_all_others(stream: io.StringIO) -> None:
    fields = json.loads(line(stream, JsonFormatter()))
    assert fields.pop("time").endswith("Z")
    assert fields == {
        "level": "info",
        "logger": "skerry.proxy.access",
        "message": "request",
        "method": "GET",
        "path": "/clusters/m1/exec?command&tty",
        "user": "alice",
        "code": "200",
        "ms": 12.3,
        "stream": "s1",
        "grant": "AccessGrant/g+1",
    }


def test_human_lines_read_like_all_others(stream: io.StringIO) -> None:
    text = line(stream, HumanFormatter())
    assert text.endswith(
        " info     skerry.proxy.access: request method=GET path=/clusters/m1/exec?command&tty user=alice code=200 "
        "ms=12.3 stream=s1 grant=AccessGrant/g+1\n"
    )


def test_a_users_name_cannot_make_lines_or_fields(stream: io.StringIO) -> None:
    text = line(stream, HumanFormatter(), user="a\nb code=200")
    assert text.count("\n") == 1
    assert text.count(" code=") == 1


@pytest.mark.parametrize("formatter", [JsonFormatter(), HumanFormatter()])
def test_what_was_cut_says_why_in_one_field(stream: io.StringIO, formatter: logging.Formatter) -> None:
    text = line(stream, formatter, reason=f'gone\n"x" user=root skerry_{"a" * 43}{"b" * 400}')
    assert text.count("\n") == 1
    assert 'gone\\n\\"x\\" user=root' in text
    assert "skerry_aaa" not in text
    assert len(text) < 700


@pytest.mark.parametrize("secret", ["skerry_" + "a" * 43, "eyJhbGciOiJ.eyJzdWIi.c2ln"])
def test_a_token_in_a_path_is_not_logged(secret: str) -> None:
    assert secret not in shown(b"/clusters/" + secret.encode() + b"/x")


class Full(io.StringIO):
    """A stream on a disk that is full until it is `freed`."""

    freed = False

    def flush(self) -> None:
        if not self.freed:
            raise OSError(28, "No space left on device")


async def test_a_disk_that_was_full_for_a_moment_does_not_end_the_log(stream: io.StringIO) -> None:
    handler = next(h for h in logging.getLogger().handlers if getattr(h, "stream", None) is stream)
    assert isinstance(handler, logging.StreamHandler)
    full = Full()
    handler.setFormatter(JsonFormatter())
    handler.stream = full
    access = AccessLog()
    access.add(RequestRecord(), b"GET", b"/lost", 0.0)
    access.flush()
    full.freed = True
    access.add(RequestRecord(), b"GET", b"/seen", 0.0)
    access.flush()
    assert '"/seen"' in full.getvalue()


@pytest.mark.parametrize(
    ("basis", "word"),
    [
        ((), ""),
        ((Basis("Group", "skerry:view"),), "Group/skerry:view"),
        ((Basis("AccessGrant", "a b\nuser=root"),), "'AccessGrant/a\\x20b\\nuser=root'"),
        ((Basis("AccessGrant", "x" * 1000),), f"AccessGrant/{'x' * 288}"),
    ],
)
def test_what_allowed_a_request_is_one_word_of_bounded_length(
    stream: io.StringIO, basis: tuple[Basis, ...], word: str
) -> None:
    assert line(stream, HumanFormatter(), basis=basis).endswith(f" grant={word}\n")


def test_an_audit_id_is_a_random_uuid_in_its_usual_form() -> None:
    made = [audit_id() for _ in range(50)]
    for text in made:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)
    assert len(set(made)) == 50
