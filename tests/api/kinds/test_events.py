"""The kind EventSink: what its table shows, and what is told of it."""

from __future__ import annotations

import pytest

from skerry.api.conditions import Verdict, new_condition
from skerry.api.kinds import CLUSTER_ADMIN, EVENT_SINK, HOST_VIEW
from skerry.api.meta import Document


def sink(status: str, reason: str) -> Document:
    conditions = [new_condition("Ready", Verdict(status, reason, "why"), 0)]
    return {"metadata": {"name": "s"}, "spec": {"url": "https://a/secret"}, "status": {"conditions": conditions}}


def told(old: Document, new: Document) -> list[tuple[str, bool]]:
    assert EVENT_SINK.events is not None
    return [(each.reason, each.warning) for each in EVENT_SINK.events(old, new)]


def test_its_beginning_its_end_and_its_turns_are_told() -> None:
    good, bad = sink("True", "Delivering"), sink("False", "TLSError")
    assert told({}, {"metadata": {}}) == [("Created", False)]
    assert told(good, bad) == [("TLSError", True)]
    assert told(bad, good) == [("Delivering", False)]
    assert told(good, good) == []
    assert told(good, {}) == [("Removed", False)]
    assert told(bad, sink("Unknown", "NotTried")) == []


@pytest.mark.parametrize(
    ("last", "cell"),
    [(None, ""), ({"time": "t", "status": 204}, "204"), ({"time": "t", "status": 0}, "no answer"), ({}, "")],
)
def test_the_last_answer_is_a_code_or_that_there_was_none(last: Document | None, cell: str) -> None:
    column = next(each for each in EVENT_SINK.columns if each.name == "Last")
    assert column.cell is not None
    assert column.cell(last) == cell


def test_only_administrators_see_a_sink_because_its_url_may_hold_a_secret() -> None:
    for verb in ("get", "list", "watch", "create"):
        assert EVENT_SINK.allows(verb, [CLUSTER_ADMIN])
        assert not EVENT_SINK.allows(verb, [HOST_VIEW, "skerry:view", "skerry:monitor", "system:authenticated"])
