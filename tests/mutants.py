"""`make mutants`: whether the tests notice when a module that decides something decides something else.

    python -m tests.mutants                     every module of tests/mutants.txt, one after the other
    python -m tests.mutants identity/requests   those whose path has that in it
    python -m tests.mutants --again requests    of these only what survived the last run: while one writes the tests

mutmut changes one expression at a time; a change that mypy refuses cannot be landed, and is not run. What no test notices
is printed, and is a test to write: of the rule, not of the expression. A change that makes no difference is listed with
the reason in tests/equivalents.txt. Words for people are not looked at: a change within a literal that has a space in it.

Each module is changed in a copy (build/mutants), by one process of low priority, with a limit of time and of memory.
Properties are tried with the same values each time, and without hypothesis' deadlines. A function that runs only while its
module is imported is not reached: it runs before mutmut changes it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutants"
MODULES = ROOT / "tests" / "mutants.txt"
EQUIVALENTS = ROOT / "tests" / "equivalents.txt"
LONGEST_S = 1800.0
"""For one module; what was not looked at by then counts as unchecked."""
MEMORY_BYTES = 4 << 30
"""Of address space for one process: a mutant may collect without end."""
COPIED = ("tests", "docs", "pyproject.toml")
"""What tests read besides the code."""
UNNOTICED = ("survived", "no tests")
COLUMNS = {"killed": "killed", "caught by type check": "types", "timeout": "timeouts", "survived": "survived",
           "no tests": "untested"}  # fmt: skip


class Mutant(NamedTuple):
    """One change: the lines of a function that it takes out and puts in, without indentation."""

    module: str
    function: str
    before: str
    after: str


class Equivalent(NamedTuple):
    """Changes that make no difference, and why: one, or with neither line all of a function."""

    mutant: Mutant
    why: str

    def covers(self, mutant: Mutant) -> bool:
        """Whether it is about that change."""
        own = self.mutant
        return own == mutant or (own[:2] == mutant[:2] and not own.before and not own.after)


class Outcome(NamedTuple):
    """One module: how many mutants had which status of mutmut's, and those that nobody noticed."""

    module: str
    statuses: Counter[str]
    unnoticed: list[Mutant]


def rows(text: str) -> dict[str, list[str]]:
    """tests/mutants.txt: module -> the tests that hold it."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {module: tests for module, *tests in lines}


def equivalents(text: str) -> list[Equivalent]:
    """tests/equivalents.txt: stanzas of a module and function, `- ` and `+ ` lines, and `= ` why. ValueError."""
    stanzas = (stanza.splitlines() for stanza in re.split(r"\n\s*\n", text.strip()))
    return [
        _equivalent(lines) for stanza in stanzas if (lines := [line for line in stanza if not line.startswith("#")])
    ]


def _equivalent(lines: list[str]) -> Equivalent:
    head = lines[0].split()
    before, after, why = (
        " ".join(line[1:].strip() for line in lines[1:] if line.startswith(mark)) for mark in ("-", "+", "=")
    )
    if len(head) != 2 or not why:
        raise ValueError(
            f"{EQUIVALENTS.name}: {lines[0]!r} needs a module, a function, and a line with = that says why"
        )
    return Equivalent(Mutant(head[0], head[1], before, after), why)


_LITERAL = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


def only_words(before: str, after: str) -> bool:
    """Whether nothing differs but what literals say, and those that differ are words for people."""
    old, new = _LITERAL.findall(before), _LITERAL.findall(after)
    if len(old) != len(new) or _LITERAL.sub("", before) != _LITERAL.sub("", after):
        return False
    return all(" " in one for one, other in zip(old, new, strict=True) if one != other)


def changes(module: str, source: str, names: Iterable[str]) -> Iterator[Mutant]:
    """The mutants `names`, as `source` has them: the module with all its mutants, as mutmut writes it."""
    lines = source.splitlines()
    bodies = {
        node.name: [line.strip() for line in lines[node.lineno : node.end_lineno]]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name in names:
        function, _, _ = name.rpartition("__mutmut_")
        delta = list(difflib.ndiff(bodies[f"{function}__mutmut_orig"], bodies[name]))
        before, after = (" ".join(line[2:] for line in delta if line.startswith(mark)) for mark in ("- ", "+ "))
        yield Mutant(module, _plain(function), before, after)


def _plain(mangled: str) -> str:
    """The name of a function as mutmut writes it: `x_name`, `xǁClassǁname`."""
    return mangled[2:].replace("ǁ", ".")


def verdicts(text: str) -> dict[str, str]:
    """What `mutmut results` prints: the function that is a mutant -> its status."""
    pairs = (line.strip().rsplit(": ", 1) for line in text.splitlines() if "__mutmut_" in line)
    return {name.rpartition(".")[2]: status for name, status in pairs}


def _configuration(module: str, tests: list[str]) -> str:
    checker = [sys.executable, "-m", "mypy", "--no-warn-unused-ignores", "--output", "json", module]
    options = ["-m", "not integration and not kube and not node and not soak", "--hypothesis-profile=ci"]
    lists = {
        "source_paths": ["skerry", "services"],
        "only_mutate": [module],
        "also_copy": list(COPIED),
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": options,
        "type_check_command": checker,
    }
    return "[mutmut]\n" + "".join(
        f"{name}=\n" + "".join(f"    {one}\n" for one in each) for name, each in lists.items()
    )


def _limits() -> None:
    os.nice(15)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _mutmut(folder: Path, *arguments: str) -> str:
    """What it prints. SystemExit if it fails; an end for want of time is none."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0, preexec_fn=_limits
    ) as process:  # fmt: skip
        try:
            text, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return ""
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise SystemExit(f"{folder}: mutmut {arguments[0]} failed:\n{text.replace(chr(13), chr(10))[-3000:]}")
    return text


def run(module: str, tests: list[str], *, again: bool) -> Outcome:
    """Change `module` in its folder and see what `tests` notice; `again` only what they did not notice before."""
    folder = WORK / module.removesuffix(".py").replace("/", ".")
    names: list[str] = []
    if again and (folder / "mutants" / module).exists():
        results = _mutmut(folder, "results", "--all", "true")
        names = [line.split(": ")[0].strip() for line in results.splitlines() if line.endswith(UNNOTICED)]
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("skerry", "services", *COPIED):
            (folder / name).symlink_to(ROOT / name)
    (folder / "setup.cfg").write_text(_configuration(module, tests))
    if names or not again:
        _mutmut(folder, "run", "--max-children", "1", *names)
    found = verdicts(_mutmut(folder, "results", "--all", "true"))
    unnoticed = [name for name, status in found.items() if status in UNNOTICED]
    source = (folder / "mutants" / module).read_text()
    return Outcome(module, Counter(found.values()), list(changes(module, source, unnoticed)))


def table(outcomes: list[Outcome], known: list[Equivalent]) -> Iterator[str]:
    """A line for each module. The last three columns say what the unnoticed are: words, equivalents, and tests to write."""
    names = ("mutants", *COLUMNS.values(), "unchecked", "words", "listed", "to do")
    yield f"{'module':34}" + "".join(f"{name:>10}" for name in names)
    for module, statuses, unnoticed in outcomes:
        counts = [statuses[status] for status in COLUMNS]
        total, rest, left = statuses.total(), meant(unnoticed), to_do(unnoticed, known)
        figures = (total, *counts, total - sum(counts), len(unnoticed) - len(rest), len(rest) - len(left), len(left))
        yield f"{module:34}" + "".join(f"{figure:>10}" for figure in figures)


def meant(unnoticed: list[Mutant]) -> list[Mutant]:
    """Without words for people."""
    return [mutant for mutant in unnoticed if not only_words(mutant.before, mutant.after)]


def stanzas(mutants: list[Mutant]) -> Iterator[str]:
    """As tests/equivalents.txt has them, but that changes of the same lines are together."""
    for (module, function, before), same in itertools.groupby(mutants, key=lambda mutant: mutant[:3]):
        yield "\n".join((f"{module} {function}", f"- {before}", *(f"+ {mutant.after}" for mutant in same)))


def to_do(unnoticed: list[Mutant], known: list[Equivalent]) -> list[Mutant]:
    """What is neither words nor known to make no difference."""
    return [mutant for mutant in meant(unnoticed) if not any(each.covers(mutant) for each in known)]


def outdated(outcomes: list[Outcome], known: list[Equivalent]) -> list[Equivalent]:
    """Stanzas of these modules that nothing needs: noticed by now, or the line reads otherwise."""
    unnoticed = [mutant for outcome in outcomes for mutant in outcome.unnoticed]
    ran = {outcome.module for outcome in outcomes}
    return [each for each in known if each.mutant.module in ran and not any(map(each.covers, unnoticed))]


def main() -> int:
    """1 if something is to do."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("module", nargs="?", default="", help="part of a path in tests/mutants.txt")
    parser.add_argument("--again", action="store_true", help="only what survived the last run")
    options = parser.parse_args()
    chosen = {module: tests for module, tests in rows(MODULES.read_text()).items() if options.module in module}
    if not chosen:
        parser.error(f"no module of {MODULES.name} has {options.module!r} in its path")
    known = equivalents(EQUIVALENTS.read_text())
    outcomes = []
    for module, tests in chosen.items():
        print(f"{module} …", file=sys.stderr, flush=True)
        outcomes.append(run(module, tests, again=options.again))
        print("".join(f"{stanza}\n\n" for stanza in stanzas(to_do(outcomes[-1].unnoticed, known))), end="", flush=True)
    print("\n".join(table(outcomes, known)))
    for each in outdated(outcomes, known):
        print(f"{EQUIVALENTS.name}: {' '.join(each.mutant[:2])} is not needed any more: - {each.mutant.before}")
    return int(any(to_do(outcome.unnoticed, known) for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
