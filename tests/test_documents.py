"""Pages follow the tree: what they name is there, and what is there is explained."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")]
HISTORY = {"CHANGELOG.md"}
"""What it names was there."""
_NAMED = re.compile(r"`((?:skerry|services|tests|docs|bench)/[\w./-]*)")
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def packages() -> Iterator[str]:
    for top in ("skerry", "services"):
        for path in sorted((ROOT / top).iterdir()):
            if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists():
                yield f"{top}/{path.stem}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    if page.name in HISTORY:
        return
    text = page.read_text()
    named = {ROOT / name.rstrip(".") for name in _NAMED.findall(text)}
    linked = {page.parent / link for link in _LINK.findall(text)}
    missing = {path for path in named | linked if not (path.exists() or path.with_suffix(".py").exists())}
    assert not missing, f"{page.name} names what is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    if page.name in HISTORY:
        return
    named = _TEST.findall(page.read_text())
    assert [each for each in named if f"def {each[1]}(" not in (ROOT / "tests" / each[0]).read_text()] == []


@pytest.mark.parametrize("package", list(packages()))
def test_each_package_is_explained_in_the_page_on_architecture(package: str) -> None:
    top, name = package.split("/")
    text = (ROOT / "docs" / "architecture.md").read_text()
    line = re.compile(rf"^{name} +\w" if top == "skerry" else rf"^\| .* \| `{package}` \| \w", re.MULTILINE)
    assert line.search(text), f"docs/architecture.md has no line about {package}"


def test_the_layers_of_the_kernel_are_those_that_are_checked_in_their_order_and_each_package_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    block = text.partition("Layers, each importing only what stands below it")[2].split("```")[1]
    explained = [{line.split()[0] for line in layer.splitlines()} for layer in block.strip().split("\n\n")]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    checked = next(each["layers"] for each in contracts if each.get("containers") == ["skerry"])
    assert explained == [set(layer.split(" | ")) for layer in checked]
    assert len(block.split("\n\n")) == len(checked)
    assert sum(map(len, explained)) == sum(bool(line) for line in block.splitlines())
