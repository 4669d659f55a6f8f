"""Heads of batches: what headers say, and that they can hold it."""

from __future__ import annotations

import pytest

from skerry.audit.batch import ANY, HASH, NAMED, NOTHING, USERS, Batch, BatchHead, Chain, Garbled, digest
from skerry.bus.headers import decode_headers, encode_headers
from tests.audit.logs import Log, record, whole


def test_a_head_travels_as_headers_whatever_people_are_called() -> None:
    chain, batch = Chain("P1", lambda data: b"s" * 64), Batch()
    for user in ("alice", 'Jörg "x"\r\n', "日本 \x00"):
        batch.add(*record(user, cluster="m,1"))
    head = chain.seal(batch)
    travelled = decode_headers(encode_headers(head.headers()))
    assert BatchHead.of("P1", travelled) == head
    assert (head.first, head.records, head.last, head.previous) == (1, 3, 3, NOTHING)
    assert chain.next == 4
    assert head.hash == chain.head == digest(NOTHING, batch.body)


def test_of_too_many_users_headers_say_that_it_is_any() -> None:
    batch = Batch()
    for number in range(NAMED + 1):
        batch.add(*record(f"u{number}"))
    head = Chain("P1", lambda data: b"").seal(batch)
    assert (head.users, head.clusters) == ((ANY,), ("m1",))


@pytest.mark.parametrize(("name", "value"), [(HASH, None), (USERS, "x"), (USERS, "{}"), ("Skerry-Audit-First", "one")])
def test_headers_that_are_none_are_garbled(name: str, value: str | None) -> None:
    headers = dict(whole(1).batches[1].headers)
    headers.pop(name)
    if value is not None:
        headers[name] = value
    with pytest.raises(Garbled, match="P1"):
        BatchHead.of("P1", headers)


def test_a_batch_is_put_behind_another() -> None:
    first, second = Batch(), Batch()
    first.extend(second)
    assert first.records == 0
    second.add(*record("bob", at=5.0))
    second.add(*record("alice", at=3.0))
    first.extend(second)
    first.extend(Batch())
    assert (first.records, first.users, first.since < first.until) == (2, {"alice", "bob"}, True)
    assert bytes(first.body) == bytes(second.body)


def test_a_log_of_the_tests_is_numbered_as_writers_number() -> None:
    log = Log()
    log.start()
    log.write("a", "b", "c")
    log.write("d")
    heads = [each.head for each in log.batches]
    assert [(head.first, head.last) for head in heads if isinstance(head, BatchHead)] == [(1, 1), (2, 4), (5, 5)]
