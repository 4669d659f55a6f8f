"""What a service names in its code is its own or was given to it: kinds that it reads, endpoints that it calls, buckets.

    python -m tests.boundaries       this checkout: each fault with its file and line (`make check`); it must be none

The bus and the informer refuse the same when it is tried; here it is refused before anything runs. Names and functions of
`skerry.subjects` are looked up in the module where they stand, so an alias hides nothing; an argument that is only known
when it runs may be anything. A subject or kind that a variable holds is left to the bus and the informer.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Collection, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.errors import StatusError
from skerry.identity import services
from skerry.identity.services import BUCKETS, SERVICES

ROOT = Path(__file__).parent.parent
READS = frozenset(
    ("get", "list", "snapshot", "index", "lookup", "watch", "add_event_handler", "tombstones", "forget", "follow")
)
"""Methods of `View` and `Context` whose first argument is the kind that is read."""
ANY = "any"
"""In place of an argument that is not known: a name that every function of `skerry.subjects` takes."""
_UNKNOWN = object()


class Bounds(NamedTuple):
    """What one service may name."""

    service: str
    kinds: Collection[Kind] | None
    """That it owns or needs; None for one that reads all."""
    calls: Collection[str]
    tells: Collection[str]
    hears: Collection[str]
    buckets: Collection[str]


def bounds(row: services.ServiceRights) -> Bounds:
    """By the service table, and by the service's own value, where there is one."""
    kinds = None
    if (ROOT / "services" / row.name / "service.py").exists():
        value = import_module(f"services.{row.name}.service").SERVICE
        kinds = {*value.rules, *value.needs}
    return Bounds(
        service=row.name,
        kinds=kinds,
        calls=services.asked_by(row),
        tells=row.tells,
        hears=row.hears,
        buckets=[each.name for each in BUCKETS if row.name in (*each.writers, *each.readers)],
    )


def faults(names: str, source: str, module: ModuleType, of: Bounds) -> Iterator[str]:
    """Of one module, whose file is called `names`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            fault = _fault(node.func.attr, _value(node.args[0], module), of)
            if fault:
                yield f"{names}:{node.lineno}: service {of.service} {fault}"


def _fault(method: str, value: object, of: Bounds) -> str:
    if isinstance(value, Kind) and of.kinds is not None:
        if method in READS and value not in of.kinds:
            return f"reads {value.kind}, which is neither its own nor in its `needs`: name it there"
        if method == "store" and value.owner != of.service:
            return f"writes {value.kind}, which {value.owner} owns: ask it to"
    if isinstance(value, str):
        if method == "bucket" and value not in of.buckets:
            owners = [", ".join(each.writers) for each in BUCKETS if each.name == value]
            return f"names the bucket {value} of {owners[0] if owners else 'nobody'}: its row in the table does not have it"
        known = {"request": of.calls, "publish": of.tells, "subscribe": of.hears}.get(method)
        if known is not None and not any(matches(value, each) for each in known):
            what = {"request": "calls", "publish": "tells", "subscribe": "hears"}[method]
            offered = method != "request" or any(
                matches(value, each) for row in SERVICES for each in services.answered_by(row)
            )
            why = "its row in the table does not have it" if offered else "nobody offers it"
            return f"{what} {value.replace(ANY, '*')}: {why}"
    return ""


def matches(subject: str, pattern: str) -> bool:
    """Whether they can be the same; ANY and `*` are any token, `>` any tokens."""
    ours, theirs = subject.split("."), pattern.split(".")
    if theirs[-1] == ">":
        theirs, ours = theirs[:-1], ours[: len(theirs) - 1]
    return len(ours) == len(theirs) and all(
        one == other or {one, other} & {ANY, "*"} for one, other in zip(ours, theirs, strict=True)
    )


def _value(node: ast.expr, module: ModuleType) -> object:
    """What an expression is, as far as the module itself says it."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return getattr(module, node.id, _UNKNOWN)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, module), node.attr, _UNKNOWN)
    if isinstance(node, ast.Call):
        return _subject(_value(node.func, module), [_value(each, module) for each in node.args])
    return _UNKNOWN


def _subject(function: Any, arguments: list[object]) -> object:
    """What a function of `skerry.subjects` gives, with ANY for what is not known."""
    if not inspect.isfunction(function) or function.__module__ != subjects.__name__:
        return _UNKNOWN
    given = [each if isinstance(each, str) else ANY for each in arguments]
    try:
        return function(*given, *[ANY] * (len(inspect.signature(function).parameters) - len(given)))
    except (StatusError, LookupError, ValueError):
        return _UNKNOWN  # it takes subjects apart, and makes none


def every() -> Iterator[str]:
    """Faults of all services of the table."""
    for row in SERVICES:
        yield from _of(row)


def _of(row: services.ServiceRights) -> Iterable[str]:
    of = bounds(row)
    for path in sorted((ROOT / "services" / row.name).rglob("*.py")):
        if path.stem != "__main__":
            name = path.relative_to(ROOT).with_suffix("")
            dotted = ".".join(name.parts[:-1] if name.name == "__init__" else name.parts)
            yield from faults(str(path.relative_to(ROOT)), path.read_text(), import_module(dotted), of)


if __name__ == "__main__":
    found = list(every())
    print("\n".join(found))
    sys.exit(bool(found))
