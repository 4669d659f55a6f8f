"""What is kept of bodies on their way past."""

from __future__ import annotations

from skerry.audit import shown
from skerry.audit.tap import Tap

JSON = [(b"content-type", b"application/json")]


def test_bodies_are_put_together_and_told_as_json() -> None:
    tap = Tap(JSON, response=True)
    tap.received_part(b'{"metadata":{"na')
    tap.received_part(b'me":"web"}}')
    tap.answered(JSON)
    tap.sent_part(b'{"kind":"Pod"}')
    assert tap.request().json == b'{"metadata":{"name":"web"}}'
    assert tap.response().json == b'{"kind":"Pod"}'
    assert tap.name() == "web"


def test_what_is_too_large_is_not_kept() -> None:
    tap = Tap(JSON, response=True)
    for _ in range(3):
        tap.received_part(b"x" * shown.REQUEST_BYTES)
        tap.sent_part(b"x" * shown.RESPONSE_BYTES)
    assert (tap.request().omitted, tap.response().omitted) == ("too large", "too large")
    assert tap.name() == ""


def test_an_encoded_answer_is_not_read_and_an_answer_may_be_unwanted() -> None:
    tap = Tap(JSON, response=True)
    tap.answered([*JSON, (b"content-encoding", b"gzip")])
    tap.sent_part(b"\x1f\x8b")
    assert tap.response() == shown.Body(b"", "encoded")
    unwanted = Tap(JSON, response=False)
    unwanted.answered(JSON)
    unwanted.sent_part(b"{}")
    assert unwanted.response() == shown.Body(b"")


def test_a_name_is_that_of_an_object_or_none() -> None:
    for body in (b"", b"[]", b"{}", b'{"metadata":{}}', b'{"metadata":7}', b"\xff"):
        tap = Tap(JSON, response=False)
        tap.received_part(body)
        assert tap.name() == ""
