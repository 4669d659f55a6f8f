"""What the status of a sink says."""

from __future__ import annotations

import pytest

from services.events.model import Answer
from services.events.verdicts import (
    ACTIVE,
    GONE_PAUSED,
    NO_SECRET,
    NOT_TRIED,
    PAUSED,
    READY,
    SENDING,
    answered,
    gone,
    idle,
    reason_of,
    since,
    verdict,
    with_verdicts,
)
from skerry.api.conditions import condition_of, new_condition
from skerry.api.meta import Document

NOW = 1_800_000_000.0


def sink(generation: int = 1, **status: object) -> Document:
    return {
        "metadata": {"name": "pager", "generation": generation, "creationTimestamp": "2027-01-15T07:00:00Z"},
        "spec": {},
        "status": status,
    }


def test_a_failure_or_two_change_nothing() -> None:
    assert verdict(Answer(500, "500"), 2) is None
    refused = verdict(Answer(500, "500: no disk"), 3)
    assert refused is not None
    assert (refused.status, refused.reason, refused.message) == ("False", "Refused", "500: no disk")
    taken = verdict(Answer(204), 0)
    assert taken is not None
    assert taken.status == "True"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(0, "", "TLS"), "TLSError"),
        (Answer(0, "", "Name"), "NameNotResolved"),
        (Answer(0, "", "Address"), "AddressRefused"),
        (Answer(0, "", "Timeout"), "Timeout"),
        (Answer(0, "", "Protocol"), "NotHTTP"),
        (Answer(0, "", "whatever"), "Unreachable"),
        (Answer(308), "Redirect"),
        (Answer(429), "Refused"),
    ],
)
def test_a_failure_is_one_word(answer: Answer, reason: str) -> None:
    assert reason_of(answer) == reason


def test_what_is_said_of_a_receiver_holds_until_its_spec_changes() -> None:
    document = sink()
    assert idle(SENDING, document) == NOT_TRIED
    for before in (PAUSED, GONE_PAUSED, NO_SECRET):
        paused = with_verdicts(document, {}, {READY: before}, NOW)
        assert paused is not None
        assert idle(SENDING, paused) == NOT_TRIED
    said = with_verdicts(document, {}, {READY: verdict(Answer(200), 0) or NOT_TRIED}, NOW)
    assert said is not None
    assert idle(SENDING, said) is None
    changed = {**said, "metadata": {**said["metadata"], "generation": 2}}
    assert idle(SENDING, changed) == NOT_TRIED
    assert idle(PAUSED, said) == PAUSED


def test_what_is_there_already_is_not_written_again() -> None:
    first = with_verdicts(sink(), {"pending": 3}, {ACTIVE: SENDING}, NOW)
    assert first is not None
    assert first["status"]["pending"] == 3
    assert with_verdicts(first, {"pending": 3}, {ACTIVE: SENDING}, NOW + 60) is None
    other = with_verdicts(first, {"pending": 3}, {ACTIVE: PAUSED}, NOW + 60)
    assert other is not None
    assert condition_of(other, ACTIVE).reason == "Paused"


def test_events_live_from_when_the_sink_could_last_begin_to_take_them() -> None:
    assert since(sink()) == NOW - 3600
    assert since(sink(conditions=[new_condition(ACTIVE, SENDING, NOW)])) == NOW
    assert since(sink(conditions=[new_condition(ACTIVE, PAUSED, NOW)])) == NOW - 3600
    assert since(sink(conditions=[{"type": ACTIVE, "status": "True", "lastTransitionTime": "?"}])) == NOW - 3600


def test_an_answer_is_told_with_its_event() -> None:
    assert answered(Answer(410, "410"), "e1", NOW) == {
        "time": "2027-01-15T08:00:00Z",
        "status": 410,
        "message": "410",
        "event": "e1",
    }
    assert gone(Answer(410))
    assert not gone(Answer(404))
