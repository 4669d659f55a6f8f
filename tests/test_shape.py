"""The measure of the code's structure measures what it says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import shape


def function(text: str) -> shape.Function:
    return next(shape.functions(ast.parse(text)))


def tree(root: Path, **files: str) -> list[shape.Module]:
    for name, text in files.items():
        (root / "skerry").mkdir(exist_ok=True)
        (root / "skerry" / f"{name}.py").write_text(text)
    return shape.modules(root, ("skerry",))


def test_the_length_of_a_function_is_its_body_without_its_docstring() -> None:
    assert shape.length(function('def f():\n    """Says.\n\n    More.\n    """\n    a = 1\n\n    return a\n')) == 3
    assert shape.length(function('def f():\n    """Says."""\n')) == 0


def test_complexity_counts_every_decision() -> None:
    assert shape.complexity(function("def f():\n    return 1\n")) == 1
    assert shape.complexity(function("def f(a, b):\n    if a and b or a:\n        return 1\n    return 2\n")) == 4
    assert shape.complexity(function("def f(a):\n    return [b for b in a if b if not a]\n")) == 4
    assert shape.complexity(function("def f(a):\n    match a:\n        case 1: pass\n        case _: pass\n")) == 3


def test_a_function_inside_another_counts_for_itself() -> None:
    assert shape.complexity(function("def f(a):\n    def g(b):\n        if b: pass\n    return g\n")) == 1


def test_modules_that_import_each_other_are_a_circle(tmp_path: Path) -> None:
    found = tree(
        tmp_path, a="from skerry import b\n", b="import skerry.c\n", c="from skerry.a import x\n", d="import skerry.a"
    )
    assert shape.circles(found) == [["skerry.a", "skerry.b", "skerry.c"]]


def test_a_type_that_two_modules_define_is_found(tmp_path: Path) -> None:
    found = tree(
        tmp_path, a="class Same: ...\nDoc = dict[str, int]\n", b="class Same: ...\nDoc = dict[str, str]\nX = 1\n"
    )
    assert shape.defined_twice(found) == {"Same": ["skerry.a", "skerry.b"], "Doc": ["skerry.a", "skerry.b"]}


def test_public_names_without_a_docstring_are_counted(tmp_path: Path) -> None:
    found = tree(tmp_path, a='class A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\n')
    assert shape.documented(found) == (1, 2)


def test_bindings_that_say_how_a_value_came_are_counted(tmp_path: Path) -> None:
    code = "def f(asked, *, cluster):\n    found, _told = asked\n    try: pass\n    except OSError as error: found.made = 1\n"
    assert sorted(shape.bindings(ast.parse(code))) == ["_told", "asked", "cluster", "error", "found"]
    assert shape.participles(tree(tmp_path, a=code)) == 600


def test_what_is_beyond_a_limit_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    branches = "".join(f"    if a == {n}: pass\n" for n in range(shape.COMPLEX))
    tree(
        tmp_path,
        a="import skerry.b\n",
        b="import skerry.a\n",
        c="a = 1\n" * (shape.LONG + 1),
        d=f"def f(a):\n{branches}",
    )
    (tmp_path / "services").mkdir()
    assert shape.main(["--check", str(tmp_path)]) == 1
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["circle", "skerry.a"],
        ["long", "skerry.c:"],
        ["complex", "skerry.d.f:"],
    ]


def test_the_code_is_within_the_limits() -> None:
    assert list(shape.faults(shape.modules(Path(__file__).parent.parent, shape.ROOTS))) == []
