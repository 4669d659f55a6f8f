"""What of an observed status is written, and when: tables, no bus."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.pace import FIGURES_S, TEXT_S, WRITE_S, Pace, same_words


def cluster(message: str = "", status: str = "True", reason: str = "R", **facts: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"metadata": {}, "status": {"conditions": [condition], **facts}}


def written(pace: Pace, before: dict[str, Any], after: dict[str, Any], now: float) -> None:
    assert pace.plan("m1", before, after, now).document == after
    pace.written("m1", before, after, now)


def test_what_is_as_it_is_stored_is_not_written() -> None:
    assert Pace().plan("m1", cluster(), cluster(), 0.0) == (None, None)
    assert Pace().plan("m1", {"metadata": {}, "status": {}}, {"metadata": {}, "status": {}}, 0.0) == (None, None)


def test_a_member_is_written_once_a_second() -> None:
    pace = Pace()
    written(pace, cluster(uid=1), cluster(uid=2), 100.0)
    assert pace.plan("m1", cluster(uid=2), cluster(status="False"), 100.25) == (None, WRITE_S - 0.25)
    written(pace, cluster(uid=2), cluster(status="False"), 101.0)
    assert pace.plan("m2", cluster(uid=1), cluster(uid=2), 101.0).document is not None


def test_what_others_wait_for_is_written_at_once_and_counts_as_a_write() -> None:
    pace = Pace()
    written(pace, cluster(uid=1), cluster(uid=2), 100.0)
    assert pace.plan("m1", cluster(uid=2), cluster(uid=3), 100.25, at_once=True) == (cluster(uid=3), None)
    written(pace, cluster(uid=2), cluster(uid=3), 101.25)
    assert pace.plan("m1", cluster(uid=3), cluster(uid=4), 101.5) == (None, WRITE_S - 0.25)


def test_a_text_whose_reason_stayed_waits() -> None:
    pace = Pace()
    written(pace, cluster("one"), cluster("two"), 100.0)
    assert pace.plan("m1", cluster("two"), cluster("three"), 110.0) == (None, TEXT_S - 10.0)
    written(pace, cluster("two"), cluster("three"), 130.0)


def test_a_text_comes_with_its_reason_at_once() -> None:
    pace = Pace()
    written(pace, cluster("one"), cluster("two"), 100.0)
    written(pace, cluster("two"), cluster("three", reason="Q"), 102.0)


def test_other_facts_do_not_wait_for_a_text_and_do_not_take_it_with_them() -> None:
    pace = Pace()
    written(pace, cluster("one"), cluster("two"), 100.0)
    document, again_s = pace.plan("m1", cluster("two"), cluster("three", uid=2), 110.0)
    assert (document, again_s) == (cluster("two", uid=2), TEXT_S - 10.0)


def test_facts_of_a_member_without_conditions_are_written() -> None:
    before, after = ({"metadata": {}, "status": {"uid": uid}} for uid in (1, 2))
    written(Pace(), before, after, 100.0)
    condition = {"type": "Ready", "status": "True", "reason": "R", "message": "m"}
    written(Pace(), {"metadata": {}, "status": {"conditions": [condition]}}, after, 100.0)


def test_a_text_that_says_the_same_is_never_written() -> None:
    pace = Pace()
    before, after = cluster("refused at 10:00:01 from port 40001"), cluster("refused at 10:00:31 from port 40377")
    assert pace.plan("m1", before, after, 0.0) == (None, None)
    assert pace.plan(
        "m1", before, cluster(after["status"]["conditions"][0]["message"], uid=1), 0.0
    ).document == cluster(before["status"]["conditions"][0]["message"], uid=1)


def test_who_was_removed_is_forgotten() -> None:
    pace = Pace()
    written(pace, cluster(uid=1), cluster(uid=2), 100.0)
    pace.forget("m1")
    written(pace, cluster(uid=1), cluster(uid=2), 100.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("etcd failed", "etcd failed", True),
        ("etcd failed", "ping failed", False),
        ("dial 10.0.0.1:6443: i/o timeout", "dial 10.0.0.1:40123: i/o timeout", True),
        ("request 5f2b0c3e-1111-2222-3333-444455556666", "request 0f2b0c3e-1111-2222-3333-44445555666a", True),
        ("at 2026-01-01T00:00:00Z", "at 2026-01-01T00:00:59.123Z", True),
        ("after 1.5s", "after 12ms", True),
        ("trace 4bf92f3577b34da6", "trace 00f067aa0ba902b7", True),
        ("audit request-id=0123456789 failed", "audit request-id=0123456780 failed", True),
        ("at 10:00:01", "at 9:15", True),
        ("dial 10.0.0.1:6443: refused", "dial 10.0.0.2:6443: refused", False),
        ("3 checks failed", "5 checks failed", False),
        ("now 5f2b0c3e-1111-2222-3333-444455556666", "now 0f2b0c3e-1111-2222-3333-44445555666a", False),
        ("deadbeef", "deadline", False),
    ],
)
def test_times_ports_and_ids_are_no_news(one: str, other: str, same: bool) -> None:
    assert same_words(one, other) is same


@given(st.text())
def test_every_text_says_what_it_says(text: str) -> None:
    assert same_words(text, text)


def test_figures_are_written_every_ten_seconds_and_hold_up_nothing_else() -> None:
    pace = Pace()
    written(pace, cluster(nodes=1, observed="a"), cluster(nodes=2, observed="b"), 100.0)
    stored, observed = cluster(nodes=2, observed="b"), cluster(nodes=3, observed="c")
    assert pace.plan("m1", stored, observed, 104.0) == (None, FIGURES_S - 4.0)
    down = cluster(status="False", nodes=3, observed="c")
    assert pace.plan("m1", stored, down, 104.0) == (cluster(status="False", nodes=2, observed="b"), FIGURES_S - 4.0)
    assert pace.plan("m1", stored, down, 110.0) == (down, None)


def test_of_a_text_and_figures_that_wait_the_first_to_come_is_told() -> None:
    pace = Pace()
    written(pace, cluster("one", nodes=1), cluster("two", nodes=2), 100.0)
    stored, observed = cluster("two", nodes=2), cluster("three", nodes=3)
    assert pace.plan("m1", stored, observed, 101.0) == (None, FIGURES_S - 1.0)
    assert pace.plan("m1", stored, observed, 111.0) == (cluster("two", nodes=3), TEXT_S - 11.0)
    pace.forget("m1")
    assert pace.plan("m1", stored, observed, 111.0) == (observed, None)
