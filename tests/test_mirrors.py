"""Where a module is tested: in the place that mirrors its own, or in the one that `mirrors.txt` says.

`skerry/a/b.py` is tested in `tests/a/test_b.py`; of `services/x/y/z.py` it may be `tests/y/test_z.py` too. What is not is
a line of `mirrors.txt`: the module, and the test that would fail if it were wrong.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests import shape

ROOT = Path(__file__).parent.parent
SMALL = 60
"""Lines up to which a module is tested with those that use it."""


@cache
def modules() -> tuple[Path, ...]:
    """What needs tests of its own, from the root of the checkout."""
    every = (path for top in shape.ROOTS for path in sorted((ROOT / top).rglob("*.py")))
    return tuple(path.relative_to(ROOT) for path in every if len(path.read_text().splitlines()) > SMALL)


def mirror(module: Path) -> Path | None:
    """The test module in the mirrored place, if there is one."""
    rooms, name = module.parent.parts[1:], f"test_{module.stem.strip('_')}.py"
    places = [Path("tests", *rooms[index:], name) for index in range(max(1, len(rooms)))]
    alone = Path("tests", module.stem, name)
    return next((place for place in (*places, alone) if (ROOT / place).exists()), None)


@cache
def listed() -> dict[Path, Path]:
    """Module -> test, as `mirrors.txt` says."""
    lines = [
        line.split() for line in (ROOT / "tests" / "mirrors.txt").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    assert len({line[0] for line in lines}) == len(lines), "a module is in mirrors.txt twice"
    return {Path(module): Path(test) for module, test in lines}


@cache
def imports() -> dict[str, set[str]]:
    """Module -> modules of the checkout that it imports. One tree at a time: a thousand of them are millions of objects."""
    files = shape.files(ROOT, (*shape.ROOTS, "tests"))
    names = {shape.name_of(ROOT, path) for path in files}
    return {shape.name_of(ROOT, path): shape.imports(shape.parsed(ROOT, path), names) for path in files}


def reached(test: Path) -> set[str]:
    """Names of all modules that a test imports, and those import, its folder's fixtures included."""
    folder = ".".join(test.parent.parts)
    found: set[str] = set()
    left = [f"{folder}.{test.stem}", f"{folder}.conftest", "tests.conftest"]
    while left:
        name = left.pop()
        if name in imports() and name not in found:
            found.add(name)
            left += imports()[name]
    return found


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_is_tested_where_its_name_says_or_where_the_list_does(module: Path) -> None:
    found, other = mirror(module), listed().get(module)
    assert found or other, f"{module} has no test module: write it, or say in tests/mirrors.txt where it is tested"
    assert not (found and other), f"{module} is tested in {found}: its line in tests/mirrors.txt is stale"


@pytest.mark.parametrize("module", list(listed()), ids=str)
def test_a_line_of_the_list_says_what_is_so(module: Path) -> None:
    test = listed()[module]
    assert module in modules(), f"{module} is gone, or has at most {SMALL} lines: its line is stale"
    assert (ROOT / test).exists(), f"{test} is gone: where is {module} tested now?"
    name = ".".join(module.with_suffix("").parts)
    started = module.stem == "__main__" or module.is_relative_to("skerry/cli")  # as another process, as users do
    assert started or name in reached(test), f"{test} does not import {name}, nor does what it imports"


def test_the_list_of_pure_modules_has_no_stale_line() -> None:
    """`make unit` demands every branch of them, and a pattern that matches nothing demands nothing."""
    lines = [line for line in (ROOT / "tests" / "pure.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))
    assert [line for line in lines if not (ROOT / line).exists()] == []
