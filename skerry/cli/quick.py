"""Commands that scripts and prompts call again and again, answered without the command tree (docs/adr/0036).

What such a command takes is the loading of modules. So each of COMMANDS is a plain function, which its command in the tree calls
too, and all that is loaded for it is that function and `skerry.cli.asking`. Whatever is not plain here (another option, a kubeconfig
in YAML, an error of the host) is not taken, and the command runs as always and says what is wrong; what has changed something is
not done again, only waited for.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from skerry.cli.api import Api

HOST = {"--kubeconfig": "kubeconfig", "--context": "context"}
READ = {**HOST, "-o": "style", "--output": "style", "-w": "workspace", "--workspace": "workspace"}
ALL = {"-A": "everywhere", "--all-workspaces": "everywhere"}
VALUES = {"-f": "files", "--values": "files", "--set": "set_", "--set-string": "set_string"}
_APP = "skerry.cli.commands.app"


class Command:
    """A function `(api, **values)`, and how its words are read."""

    def __init__(
        self,
        function: str,
        arguments: tuple[str, ...],
        options: dict[str, str],
        flags: dict[str, str],
        *,
        lists: dict[str, str] | None = None,
        follow: str = "",
    ) -> None:
        """Functions are named as `module:function`. `lists`: options that may be there more than once. `follow`: a function that is
        called afterwards, with the same values, if the first one changes something; it changes nothing.
        """
        self.function, self.follow = function, follow
        self.arguments, self.options, self.flags, self.lists = arguments, options, flags, lists or {}

    def values(self, words: list[str]) -> dict[str, Any] | None:
        """What the words say, by the names of parameters; None unless each of them is understood."""
        values: dict[str, Any] = {}
        places, rest = iter(self.arguments), iter(words)
        for word in rest:
            if not word.startswith("-"):
                name, value = next(places, ""), word
            elif word in self.flags:
                values[self.flags[word]] = True
                continue
            else:
                name, value = self._option(word, rest)
            if not name or not value or value.startswith("-"):
                return None
            if name in self.lists.values():
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return None if next(places, "") else values

    def _option(self, word: str, rest: Iterator[str]) -> tuple[str, str]:
        known = self.options | self.lists
        if word in known:
            return known[word], next(rest, "")
        option, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "=", word[2:])
        return (known.get(option, "") if equals else ""), value


COMMANDS = {
    ("app", "status"): Command(f"{_APP}.instances:report", ("name",), READ, {}),
    ("app", "list"): Command(f"{_APP}.instances:every", (), READ, ALL),
    ("app", "install"): Command(
        f"{_APP}.installing:install",
        ("name", "app"),
        {
            **READ,
            "--version": "version",
            "-n": "namespace",
            "--namespace": "namespace",
            "--timeout": "timeout",
            "--on-failure": "on_failure",
            "--wait": "wait",
        },
        {"--create-namespace": "create_namespace"},
        lists={"--cluster": "cluster", **VALUES},
        follow=f"{_APP}.installing:follow",
    ),
}
"""By their words. `tests/cli/test_quick.py` holds each against the command of the same words in the tree."""


def done(words: list[str]) -> bool:
    """True if the words were such a command and that is done, False if it is to be run as always. Failure, as of any command."""
    command = COMMANDS.get((words[0], words[1])) if len(words) > 1 and "_SKERRY_COMPLETE" not in os.environ else None
    values = command.values(words[2:]) if command else None
    if command is None or values is None:
        return False
    gc.disable()  # modules and one answer: nothing of it is garbage
    try:
        from skerry.cli.asking import NotQuick, Quick, credential
    finally:
        gc.enable()
    who, changed = (values.pop("kubeconfig", ""), values.pop("context", "")), False
    try:
        with Quick(credential(*who)) as api:
            _called(command.function)(api, **values)
            changed = bool(command.follow)
            if changed:
                _called(command.follow)(api, **values)
    except NotQuick:
        if changed:
            _called(command.follow)(_as_always(*who), **values)
        return changed
    return True


def _called(name: str) -> Callable[..., None]:
    module, _, function = name.partition(":")
    called: Callable[..., None] = getattr(import_module(module), function)
    return called


def _as_always(kubeconfig: str, context: str) -> Api:
    """The client of all other commands."""
    from pathlib import Path

    from skerry.cli.commands.clients import connect

    return connect(Path(kubeconfig) if kubeconfig else None, context)
