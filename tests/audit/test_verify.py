"""What verification of an audit log finds, and how it names it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from skerry.audit.batch import Batch, Chain, digest, signed_text
from skerry.audit.event import micro_time
from skerry.audit.marks import Mark
from skerry.audit.verify import AnchoredHead, StoredBatch
from skerry.identity import nkey
from skerry.identity.nkey import KeyType
from tests.audit.logs import NOW, Log, interleaved, record, state, verified, whole


def test_a_whole_log_is_ok_and_says_what_is_in_it() -> None:
    (report,) = verified(*whole(4).batches)
    assert (report.state, report.first, report.last, report.records, report.gaps) == ("ok", 1, 10, 10, 0)
    assert report.trusted


def test_a_writer_that_lives_is_ok_and_one_that_fell_silent_was_cut() -> None:
    log = whole(2)
    assert state(*log.batches[:-1], now=NOW + 60) == "ok"
    assert state(*log.batches[:-1], now=NOW + 1000) == "cut"
    assert state(*log.batches, now=NOW + 1000) == "ok"


def test_a_gap_is_counted_and_is_no_tampering() -> None:
    log = Log()
    log.start()
    log.mark(Mark(type="Gap", at=micro_time(NOW), records=17, since=micro_time(NOW), reason="full"))
    log.end()
    (report,) = verified(*log.batches)
    assert (report.state, report.gaps, report.trusted) == ("gap", 17, True)


def test_a_batch_that_was_stored_twice_is_one() -> None:
    batches = whole(2).batches
    assert state(*batches[:2], batches[1], *batches[2:]) == "ok"


def changed(batch: StoredBatch) -> StoredBatch:
    """One byte of a body is another."""
    return batch._replace(body=batch.body.replace(b"alice", b"alicf", 1))


def rehashed(batch: StoredBatch) -> StoredBatch:
    """The same, with a hash that fits, by who has no key."""
    body = changed(batch).body
    head = batch.head
    assert not isinstance(head, ValueError)
    users = ("alicf", "bob")
    return batch._replace(body=body, head=head._replace(hash=digest(head.previous, body), users=users))


def hiding(batch: StoredBatch) -> StoredBatch:
    """Its headers say that nothing in it is about alice."""
    assert not isinstance(batch.head, ValueError)
    return batch._replace(head=batch.head._replace(users=("bob",)))


TAMPERED: dict[str, tuple[Callable[[list[StoredBatch]], list[StoredBatch]], str]] = {
    "a byte changed": (
        lambda batches: [*batches[:2], changed(batches[2]), *batches[3:]],
        "broken at 4: the records are not those of its hash",
    ),
    "a batch removed": (lambda batches: [*batches[:2], *batches[3:]], "broken at 4: 2 records are missing"),
    "the head cut": (lambda batches: batches[1:], "broken at 1: its first 1 records are missing"),
    "batches swapped": (
        lambda batches: [*batches[:2], batches[3], batches[2], *batches[4:]],
        "broken at 4: 2 records are missing",
    ),
    "a batch rewritten": (
        lambda batches: [*batches[:2], rehashed(batches[2]), *batches[3:]],
        "broken at 6: it does not follow what is before it",
    ),
    "the last rewritten": (
        lambda batches: [*batches[:2], rehashed(batches[2])],
        "broken at 4: it was not signed by the writer",
    ),
    "headers that hide a user": (
        lambda batches: [*batches[:2], hiding(batches[2]), *batches[3:]],
        "broken at 4: its headers do not say what its records say",
    ),
    "no headers": (
        lambda batches: [batches[0], StoredBatch.of(2, "P1", {}, b"", NOW)],
        "broken at 2: the headers of a batch of P1 cannot be read: 'Skerry-Audit-First'",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_done_to_a_log_is_named(case: str) -> None:
    tamper, text = TAMPERED[case]
    (report,) = verified(*tamper(whole(4).batches))
    assert report.state == text
    assert not report.trusted


def test_a_forged_batch_behind_a_log_is_named() -> None:
    log, forger = whole(2), nkey.create(KeyType.USER)
    chain = Chain("P1", forger.sign)
    chain.head, chain.next = log.chain.head, log.chain.next
    batch = Batch()
    batch.add(*record("mallory", at=NOW + 9))
    forged = StoredBatch.of(99, "P1", chain.seal(batch).headers(), bytes(batch.body), NOW + 9)
    assert state(*log.batches, forged) == "broken at 7: there are records behind its end"
    chain.head, chain.next = log.chain.head, log.chain.next
    cut = log.batches[:-1]
    head = cut[-1].head
    assert not isinstance(head, ValueError)
    chain.head, chain.next = head.hash, head.last + 1
    forged = StoredBatch.of(99, "P1", chain.seal(batch).headers(), bytes(batch.body), NOW + 9)
    assert state(*cut, forged) == "broken at 6: it was not signed by the writer"


def test_a_writer_whose_key_the_host_did_not_certify_is_named() -> None:
    log = Log(certified=False)
    log.start()
    log.end()
    assert state(*log.batches) == "broken at 1: the proxy's record was not signed by this host's registry"


def test_the_key_of_another_writer_is_no_key_of_this_one() -> None:
    log, other = Log("P1"), Log("P2")
    log.certificate = other.certificate
    log.start()
    assert state(*log.batches) == "broken at 1: its key is that of P2"


def test_a_log_without_a_start_is_named() -> None:
    log = Log()
    log.write("alice")
    assert state(*log.batches) == "broken at 1: it does not begin with a start"


def test_what_went_by_age_is_not_missing() -> None:
    log = Log()
    log.start()
    log.write("alice")
    log.mark(Mark(type="Alive", at=micro_time(NOW + 2), certificate=log.certificate))
    log.write("bob")
    assert state(*log.batches[2:], first_sequence=3) == "ok"
    unsaid = Log()
    unsaid.start()
    unsaid.write("alice")
    assert state(*unsaid.batches[1:], first_sequence=2) == "ok by hashes alone"
    late = [each._replace(stored=NOW + 5000) for each in log.batches[2:]]
    first = whole(1, "P0").batches[0]
    reports = {each.writer: each.state for each in verified(first, *late, first_sequence=3)}
    assert reports["P1"] == "broken at 1: its first 2 records are missing"


def test_each_writer_is_verified_by_itself() -> None:
    good, bad = whole(2, "P1"), whole(2, "P2")
    bad.batches[1] = changed(bad.batches[1])
    assert {each.writer: each.trusted for each in verified(*interleaved(good, bad))} == {"P1": True, "P2": False}


def anchors(log: Log) -> list[AnchoredHead]:
    """The heads of a log, one for each batch."""
    heads = [each.head for each in log.batches]
    return [
        AnchoredHead(writer=head.writer, last=head.last, hash=head.hash)
        for head in heads
        if not isinstance(head, ValueError)
    ]


def test_an_anchor_tells_a_tail_that_was_cut_and_a_writer_that_was_removed() -> None:
    log, gone = whole(4), whole(1, "P9")
    *_, anchor = anchors(log)
    assert state(*log.batches, anchored=[anchor]) == "ok"
    assert state(*log.batches[:3], anchored=[anchor]) == "behind anchor: it had 10 records, and has 5"
    reports = verified(*log.batches, anchored=[anchors(gone)[-1]])
    assert {each.writer: each.state for each in reports} == {
        "P1": "ok",
        "P9": "behind anchor: it had 4 records, and is not there",
    }


def test_a_log_that_went_by_age_is_not_behind_its_anchor() -> None:
    log = whole(2)
    old = AnchoredHead(writer="P0", last=7, hash="0" * 64, stored=NOW - 100)
    late = [each._replace(sequence=each.sequence + 50) for each in log.batches]
    assert [each.writer for each in verified(*late, first_sequence=51, anchored=[old])] == ["P1"]
    assert len(verified(*late, first_sequence=1, anchored=[old])) == 2


def test_an_anchor_tells_a_log_that_was_written_anew_with_a_good_key() -> None:
    log = whole(4)
    anchor = anchors(log)[2]
    assert state(*log.batches, anchored=[anchor]) == "ok"
    assert state(*log.batches, anchored=[AnchoredHead(writer="P1", last=anchor.last, hash="0" * 64)]) == (
        f"behind anchor: record {anchor.last} is another than it was"
    )


def test_a_signature_is_of_one_place_in_one_log() -> None:
    assert len({signed_text(*each) for each in (("P1", 1, "a"), ("P1", 2, "a"), ("P2", 1, "a"), ("P1", 1, "b"))}) == 4
