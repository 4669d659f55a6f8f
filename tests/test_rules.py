"""The rules of the data plane (docs/data-plane.md), of the fleet (docs/fleet.md), of joining (docs/joining.md) and of the App Store
(docs/app-store.md), what stolen things are worth (docs/security.md), and the tests that hold them: none without, and none that
does not exist.

A page is the table: a rule is a bullet `- **ID** text` with its tests in backquotes below it, as paths from `tests/`.
Functions are found in the syntax tree, so that nothing has to be imported.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from services.proxy.settings import ProxyLimits

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "data-plane.md"
_SECURITY = PAGE.with_name("security.md")
PAGES = {
    PAGE: {"HTTP", "ID", "LINK", "FRAME", "FLOW", "LIMIT"},
    PAGE.with_name("fleet.md"): {"PRESENCE", "DESIRED"},
    PAGE.with_name("joining.md"): {"JOIN"},
    PAGE.with_name("app-store.md"): {"STORE"},
}
"""With the groups of their rules."""
_RULE = re.compile(r"^- \*\*([A-Z]+)-([0-9]+)\*\* (.*?)(?=^- \*\*|^## |\Z)", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"^  `([\w/]+\.py)::(\w+)`$", re.MULTILINE)


class Rule(NamedTuple):
    """One rule of the page."""

    group: str
    number: int
    text: str
    tests: tuple[tuple[str, str], ...]


def rules(page: Path) -> list[Rule]:
    """All rules of a page, in order."""
    return [
        Rule(found[1], int(found[2]), _TEST.sub("", found[3]).strip(), tuple(_TEST.findall(found[3])))
        for found in _RULE.finditer(page.read_text())
    ]


def functions(path: Path) -> frozenset[str]:
    """Names of the tests in a file, in classes too."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


RULES = [rule for page in PAGES for rule in rules(page)]


@pytest.mark.parametrize("rule", RULES, ids=[f"{rule.group}-{rule.number}" for rule in RULES])
def test_a_rule_names_tests_that_exist(rule: Rule) -> None:
    assert rule.text
    assert rule.tests
    missing = [f"{path}::{name}" for path, name in rule.tests if not _exists(path, name)]
    assert missing == []


def _exists(path: str, name: str) -> bool:
    file = TESTS / path
    return file.exists() and name.startswith("test_") and name in functions(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_ids_are_numbered_without_gaps_and_none_is_lost(page: Path) -> None:
    groups: dict[str, list[int]] = {}
    for rule in rules(page):
        groups.setdefault(rule.group, []).append(rule.number)
    assert set(groups) == PAGES[page]
    for name, numbers in groups.items():
        assert numbers == list(range(1, len(numbers) + 1)), name
    assert len(rules(page)) == page.read_text().count("\n- **")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_line_in_backquotes_below_a_rule_is_a_test(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if line.startswith("  `")]
    assert [line for line in lines if not _TEST.match(line) and "::" in line] == []


THEFTS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in _SECURITY.read_text().partition("## What a thief has")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| stolen ", "|--"))
]


@pytest.mark.parametrize("row", THEFTS, ids=range(len(THEFTS)))
def test_what_a_stolen_thing_is_worth_stands_beside_its_tests(row: list[str]) -> None:
    """What is stolen, what the thief can do, how it is noticed, what ends it, and tests: `path::name`, `::name` of the same file, or
    a holder of a table of attacks."""
    assert len(row) == 5, row
    assert all(row), row
    path, tests = "", re.findall(r"`([^`]+)`", row[4])
    assert tests
    for each in tests:
        if "::" in each:
            file, _, name = each.partition("::")
            path = path if file in ("", "…") else file
            assert _exists(path, name), each
        elif each.endswith(".txt"):
            path = each
            assert (TESTS / path).exists(), each
        else:
            assert any(line.startswith((f"{each} ", f"{each}:")) for line in (TESTS / path).read_text().splitlines()), (
                each
            )


def test_every_limit_is_documented_with_its_own_name() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert named == {field.name for field in msgspec.structs.fields(ProxyLimits)}
