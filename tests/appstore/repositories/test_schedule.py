"""When a repository is looked at."""

from __future__ import annotations

import pytest

from services.appstore.repositories.schedule import due_s, pause_s
from skerry.api.meta import Document
from skerry.api.times import rfc3339

NOW = 1_800_000_000.0
AT = rfc3339(NOW)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def document(sync: Document, *, generation: int = 1, observed: int = 1) -> Document:
    ready = {"type": "Ready", "status": "True", "observedGeneration": observed}
    return {"metadata": {"generation": generation}, "status": {"sync": sync, "conditions": [ready]}}


@pytest.mark.parametrize(
    "at_once",
    [
        {"metadata": {"generation": 1}},
        {"metadata": {}, "status": {"conditions": "of another version", "sync": {"finished": "yesterday"}}},
        {"metadata": {"generation": 1}, "status": {"conditions": ["?"], "sync": {"finished": AT}}},
        document({"finished": AT, "next": rfc3339(NOW + 60)}, generation=2),
        document({"finished": AT, "requested": rfc3339(NOW + 1), "next": rfc3339(NOW + 60)}),
        document({"finished": AT, "next": rfc3339(NOW - 60)}),
    ],
    ids=["new", "unreadable", "unobserved", "changed", "asked", "over"],
)
def test_at_once(at_once: Document) -> None:
    assert due_s(at_once, NOW) == 0


def test_later_and_by_hand_only() -> None:
    assert due_s(document({"finished": AT, "requested": AT, "next": rfc3339(NOW + 60)}), NOW) == 60
    assert due_s(document({"finished": AT}), NOW) is None


def test_a_period_is_a_tenth_more_or_less() -> None:
    assert pause_s(3600, 0, "", NOW, min) == pytest.approx(3240)
    assert pause_s(3600, 0, "", NOW, max) == pytest.approx(3960)
    assert pause_s(0, 0, "", NOW, min) is None
    assert pause_s(0, 3, "", NOW, min) is None


@pytest.mark.parametrize(
    ("failures", "asked", "seconds"),
    [
        (1, "", 60),
        (5, "", 300),
        (10, "", 600),
        (1000, "", 600),
        (1, "120", 120),
        (1, "5", 60),
        (1, "99999999999", 86400),
        (1, "9" * 400, 86400),
        (1, "Fri, 15 Jan 2027 08:10:00 GMT", 600),
        (1, "Fri, 15 Jan 2016 08:10:00 GMT", 60),
        (1, "soon", 60),
        (1, "-5", 60),
        (1, "¹", 60),
        (1, "Fri, 99 Jan 2027 99:99:99 GMT", 60),
    ],
)
def test_after_failures_it_waits_longer_and_as_long_as_the_server_asks_for(
    failures: int, asked: str, seconds: float
) -> None:
    assert pause_s(3600, failures, asked, NOW, middle) == pytest.approx(seconds)
