"""`make shape`: the structure of the code in numbers, so that a change can be held against what was before it.

    python -m tests.shape            this checkout
    python -m tests.shape ../other   another one
    python -m tests.shape --check    what is beyond the limits alone (`make check`): it must be nothing

Lines are those of the file; a function's are those of its body without its docstring. Cyclomatic complexity is McCabe's:
one, and one for each branch, loop, handler, condition, comprehension's `if` and match case. A circle is a set of modules
that import each other, under TYPE_CHECKING too. A name defined twice is a class or type alias in two modules or more. A binding
is a variable that is assigned, a parameter or a caught error; a participle says how its value came, and not what it is.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOTS = ("skerry", "services")
LONG = 400
"""Lines that a module may have."""
COMPLEX = 15
"""McCabe that a function may have."""

PARTICIPLES = frozenset({"asked", "found", "given", "kept", "made", "shown", "told", "wanted"})
"""Names of variables where a noun of the domain would say more."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp)


class Module(NamedTuple):
    """One file of the tree."""

    name: str
    lines: int
    comments: int
    tree: ast.Module


def modules(root: Path, tops: Iterable[str]) -> list[Module]:
    """Every module below the folders `tops` of `root`."""
    gc.disable()  # their trees are millions of objects, and none is garbage meanwhile
    try:
        return [parsed(root, path) for path in files(root, tops)]
    finally:
        gc.enable()


def files(root: Path, tops: Iterable[str]) -> list[Path]:
    """What they are read from."""
    return [path for top in tops for path in sorted((root / top).rglob("*.py"))]


def name_of(root: Path, path: Path) -> str:
    """What a module is imported as."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(root: Path, path: Path) -> Module:
    """Read one."""
    text = path.read_text()
    lines = text.splitlines()
    comments = sum(line.lstrip().startswith("#") for line in lines)
    return Module(name_of(root, path), len(lines), comments, ast.parse(text))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Functions and methods, nested ones too."""
    return (node for node in statements(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: Function) -> int:
    """Lines of the body without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def complexity(function: Function) -> int:
    """McCabe's number; a function inside another counts for itself alone."""
    return 1 + sum(_weight(node) for node in _own(function))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    left = [node]
    while left:
        for child in ast.iter_child_nodes(left.pop()):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield child
                left.append(child)


def _weight(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return len(node.ifs) + 1
    if isinstance(node, ast.Match):
        return len(node.cases)
    return isinstance(node, _BRANCHES)


def circles(found: list[Module]) -> list[list[str]]:
    """Sets of modules that import each other (Tarjan's strongly connected components)."""
    names = {module.name for module in found}
    edges = {module.name: imports(module, names) for module in found}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            component = sorted(stack[at:])
            del stack[at:]
            if len(component) > 1:
                result.append(component)

    for name in sorted(edges):
        if name not in index:
            visit(name)
    return result


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Statements of all depths: a tenth of what `ast.walk` gives, most of which are parts of expressions."""
    left = [tree]
    while left:
        for node in ast.iter_child_nodes(left.pop()):
            if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
                yield node
                left.append(node)


def imports(module: Module, names: set[str]) -> set[str]:
    """Those of `names` that a module imports, wherever it does so."""
    found: set[str] = set()
    for node in statements(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & names or {node.module}
    return (found & names) - {module.name}


def defined_twice(found: list[Module]) -> dict[str, list[str]]:
    """Names of classes and type aliases that several modules define."""
    where: dict[str, set[str]] = defaultdict(set)
    for module in found:
        for node in module.tree.body:
            name = _type_name(node)
            if name:
                where[name].add(module.name)
    return {name: sorted(places) for name, places in where.items() if len(places) > 1}


def _type_name(node: ast.stmt) -> str:
    if isinstance(node, ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        alias = isinstance(node.value, ast.Subscript) or (
            isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.BitOr)
        )
        return name if alias and name[:1].isupper() and not name.isupper() else ""
    return ""


def documented(found: list[Module]) -> tuple[int, int]:
    """(with a docstring, all) of public classes, functions and methods."""
    nodes = [
        node
        for module in found
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    return sum(ast.get_docstring(node) is not None for node in nodes), len(nodes)


def bindings(tree: ast.AST) -> Iterator[str]:
    """The name of each variable, parameter and caught error where it gets a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def participles(found: list[Module]) -> float:
    """How many of 1,000 bindings are named by one of PARTICIPLES alone."""
    names = [name.strip("_") for module in found for name in bindings(module.tree)]
    return 1000 * sum(name in PARTICIPLES for name in names) / max(len(names), 1)


def percentile(values: list[int], share: float) -> int:
    """The value below which `share` of all lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def report(root: Path) -> Iterator[str]:
    """Lines for people."""
    found, tests = modules(root, ROOTS), modules(root, ("tests",))
    sizes = [module.lines for module in found if module.lines > 1]
    source = sum(sizes)
    every = [function for module in found for function in functions(module.tree)]
    bodies, branches = [length(f) for f in every], [complexity(f) for f in every]
    yield f"modules     {len(sizes)}, {source} lines; median {median(sizes):.0f}, p90 {percentile(sizes, 0.9)}, max {max(sizes)}"
    yield f"functions   {len(every)}; lines median {median(bodies):.0f}, p95 {percentile(bodies, 0.95)}, max {max(bodies)}"
    yield f"McCabe      p95 {percentile(branches, 0.95)}, max {max(branches)}"
    yield f"circles     {len(circles(found))}"
    types = {name for module in found for node in module.tree.body if (name := _type_name(node))}
    twice = defined_twice(found)
    yield f"types       {len(types)}; defined twice or more: {len(twice)}"
    most = sorted(twice.items(), key=lambda entry: -len(entry[1]))[:8]
    yield "            " + ", ".join(f"{name} x{len(places)}" for name, places in most)
    with_docstring, public = documented(found)
    yield f"docstrings  {100 * with_docstring / public:.0f} % of {public} public names"
    yield f"participles {participles(found):.1f} of 1,000 bindings ({', '.join(sorted(PARTICIPLES))})"
    yield f"comments    {100 * sum(module.comments for module in found) / source:.1f} per 100 lines"
    yield f"tests       {sum(module.lines for module in tests) / source:.2f} lines per line of source"
    yield from faults(found)


def faults(found: list[Module]) -> Iterator[str]:
    """What is beyond the limits, a line each."""
    for ring in circles(found):
        yield f"circle      {' <-> '.join(ring)}"
    for module in found:
        if module.lines > LONG:
            yield f"long        {module.name}: {module.lines} lines, at most {LONG}"
        for function in functions(module.tree):
            if complexity(function) > COMPLEX:
                yield f"complex     {module.name}.{function.name}: McCabe {complexity(function)}, at most {COMPLEX}"


def main(arguments: list[str]) -> int:
    """Prints the report, or with --check the faults alone; 1 if there are any then."""
    check = arguments[:1] == ["--check"]
    root = Path(next(iter(arguments[check:]), "."))
    lines = list(faults(modules(root, ROOTS)) if check else report(root))
    if lines:
        print("\n".join(lines))
    return int(check and bool(lines))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
