"""How an agent is called, and which one somebody means."""

from __future__ import annotations

import pytest

from skerry.api.agentlist import named, short_name

ONE, TWO = "UAAB" + "C" * 52, "UAABD" + "E" * 51


def test_an_agents_name_is_what_its_key_begins_with() -> None:
    assert short_name(ONE) == "UAABCCCCCC"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (ONE, [ONE]),
        ("UAABC", [ONE]),
        ("uaabd", [TWO]),
        ("UAAB", [ONE, TWO]),
        ("UAA", []),
        ("", []),
        ("UAABX", []),
        (ONE + "C", []),
        ("*", []),
    ],
)
def test_any_beginning_of_four_characters_means_the_keys_that_have_it(text: str, meant: list[str]) -> None:
    assert named(text, [ONE, TWO]) == meant
