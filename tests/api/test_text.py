"""Text of others in one line that prints."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry.api.text import clean


@given(st.text(), st.integers(0, 50))
def test_clean_text_is_one_line_that_prints(text: str, longest: int) -> None:
    found = clean(text, longest)
    assert found.isprintable()
    assert len(found) == min(len(text), longest)
