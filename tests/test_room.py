"""Room on nodes: what is left, what fits, and who has most."""

from __future__ import annotations

from skerry.room import fits, free, roomiest


def test_what_is_left_is_never_less_than_nothing() -> None:
    assert free({"cpu": 4, "memory": 8}, {"cpu": 5, "gpu": 1}) == {"cpu": 0, "memory": 8}


def test_a_pod_fits_where_all_that_it_asks_for_is_left() -> None:
    assert fits({"cpu": 1, "memory": 2}, {"cpu": 1, "memory": 2})
    assert not fits({"cpu": 1, "memory": 2}, {"cpu": 9, "memory": 1})
    assert not fits({"gpu": 1}, {"cpu": 9})
    assert fits({}, {})


def test_the_roomiest_is_measured_by_what_it_has_least_of() -> None:
    nodes = {"b": {"cpu": 9, "memory": 1}, "c": {"cpu": 3, "memory": 6}, "a": {"cpu": 3, "memory": 6}}
    assert roomiest({"cpu": 1, "memory": 2}, nodes) == "a"
    assert roomiest({"cpu": 1}, {}) == ""
    assert roomiest({"cpu": 0}, {"x": {}}) == "x"
