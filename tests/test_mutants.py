"""What `make mutants` makes of the results: what is words, what is listed, what is to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import Mutant, Outcome

ROOT = Path(__file__).parents[1]
SOURCE = '''
def x_first__mutmut_orig(a: int) -> bool:
    """Doc."""
    return (
        a < 1
    )

def x_first__mutmut_1(a: int) -> bool:
    """Doc."""
    return (
        a <= 1
    )

class Window:
    async def xǁWindowǁ_next__mutmut_orig(self, a: int) -> None:
        self.at = a

    async def xǁWindowǁ_next__mutmut_2(self, a: int) -> None:
        self.at = None
'''
STANZA = """
# What is about nothing.
m.py Window._next
- self.at = a
+ self.at = None
= nobody reads it
"""
NEXT = Mutant("m.py", "Window._next", "self.at = a", "self.at = None")


def test_a_change_is_the_lines_that_differ() -> None:
    names = ["x_first__mutmut_1", "xǁWindowǁ_next__mutmut_2"]
    assert list(mutants.changes("m.py", SOURCE, names)) == [Mutant("m.py", "first", "a < 1", "a <= 1"), NEXT]


def test_what_mutmut_prints_is_read() -> None:
    text = "    a.b.x_first__mutmut_1: caught by type check\n  a.b.xǁWindowǁ_next__mutmut_2: survived\nother\n"
    assert mutants.verdicts(text) == {
        "x_first__mutmut_1": "caught by type check",
        "xǁWindowǁ_next__mutmut_2": "survived",
    }


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('raise Gone("it is gone")', 'raise Gone("XXit is goneXX")', True),
        ("raise Gone('it is gone', 4)", "raise Gone('IT IS GONE', 4)", True),
        ('raise Gone("it is gone")', "raise Gone(None)", False),
        ('if verb == "get":', 'if verb == "GET":', False),
        ('f("a b", "get")', 'f("a b", "GET")', False),
        ('f("a b", x < 1)', 'f("a b", x <= 1)', False),
        (r'f("a \" b")', r'f("A \" B")', True),
    ],
)
def test_words_for_people_are_literals_with_a_space(before: str, after: str, words: bool) -> None:
    assert mutants.only_words(before, after) is words


def test_a_listed_change_is_no_more_to_do() -> None:
    known = mutants.equivalents(STANZA)
    other = NEXT._replace(after="self.at = -a")
    assert mutants.to_do([NEXT, other], known) == [other]
    assert mutants.to_do([NEXT, other], mutants.equivalents("m.py Window._next\n= it is never called\n")) == []
    assert mutants.to_do([NEXT, other], mutants.equivalents("m.py Window\n= it is never called\n")) == [NEXT, other]


@pytest.mark.parametrize("stanza", ["m.py Window._next\n- a\n+ b", "m.py\n= why", "m.py a b\n= why"])
def test_a_stanza_says_what_and_why(stanza: str) -> None:
    with pytest.raises(ValueError, match="that says why"):
        mutants.equivalents(stanza)


def test_what_is_listed_and_noticed_by_now_is_outdated() -> None:
    known = mutants.equivalents(STANZA)
    assert mutants.outdated([Outcome("m.py", Counter(), [])], known) == known
    assert mutants.outdated([Outcome("m.py", Counter(), [NEXT])], known) == []
    assert mutants.outdated([Outcome("another.py", Counter(), [])], known) == []


def test_the_table_adds_up() -> None:
    statuses = Counter({"killed": 3, "survived": 3, "no tests": 1, "segfault": 2})
    words = NEXT._replace(before='"a b"', after='"A B"')
    unnoticed = [NEXT, words, NEXT._replace(after="1"), NEXT._replace(after="2")]
    head, row = mutants.table([Outcome("m.py", statuses, unnoticed)], mutants.equivalents(STANZA))
    figures = dict(zip(head.replace("to do", "to-do").split()[1:], row.split()[1:], strict=True))
    assert figures == {
        "mutants": "9",
        "killed": "3",
        "types": "0",
        "timeouts": "0",
        "survived": "3",
        "untested": "1",
        "unchecked": "2",
        "words": "1",
        "listed": "1",
        "to-do": "2",
    }


def test_changes_of_the_same_lines_are_printed_together() -> None:
    other = NEXT._replace(after="self.at = -a")
    assert list(mutants.stanzas([NEXT, other])) == [
        "m.py Window._next\n- self.at = a\n+ self.at = None\n+ self.at = -a"
    ]


def test_every_module_and_test_that_is_listed_is_there() -> None:
    for module, tests in mutants.rows(mutants.MODULES.read_text()).items():
        assert [path for path in (module, *tests) if not (ROOT / path).exists()] == []
        assert tests


def test_every_equivalent_is_of_a_module_that_is_listed() -> None:
    known = mutants.equivalents(mutants.EQUIVALENTS.read_text())
    assert {each.mutant.module for each in known} <= mutants.rows(mutants.MODULES.read_text()).keys()
