"""Keys that come twice, in documents that mean harm."""

from __future__ import annotations

import pytest

from skerry.admission.reading import repeated


def test_paths_of_keys_that_come_twice() -> None:
    assert repeated(b'{"a":{"b":1,"b":2},"c":[{"d":1},{"d":1,"d":2}],"e":1}') == ["a.b", "c[1].d"]


@pytest.mark.timeout(20)
def test_a_body_full_of_one_key_costs_no_more_than_to_read_it() -> None:
    """It took minutes of a service's time: a count of each key among all."""
    assert repeated(b"{" + b",".join([b'"a":1'] * 220_000) + b"}") == ["a"]


def test_numbers_that_python_refuses_are_nobodys_bug() -> None:
    assert repeated(b'{"a":' + b"9" * 5000 + b',"b":1,"b":' + b"1.5e999999" + b"}") == ["b"]
