"""Commands that scripts and prompts call again and again, answered without the command tree (docs/adr/0036).

What such a command takes is the loading of modules. So each of COMMANDS is a plain function, which its command in the tree calls
too, and all that is loaded for it is that function and `skerry.cli.asking`. It reads and changes nothing: whatever is not plain here
(another option, a kubeconfig in YAML, an error of the host) is not taken, and the command runs as always and says what is wrong.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HOST = {"--kubeconfig": "kubeconfig", "--context": "context"}
READ = {**HOST, "-o": "style", "--output": "style", "-w": "workspace", "--workspace": "workspace"}
ALL = {"-A": "everywhere", "--all-workspaces": "everywhere"}
_INSTANCES = "skerry.cli.commands.app.instances"


class Command:
    """A function `(api, **values)`, and how its words are read."""

    def __init__(
        self, module: str, function: str, arguments: tuple[str, ...], options: dict[str, str], flags: dict[str, str]
    ) -> None:
        self.module, self.function = module, function
        self.arguments, self.options, self.flags = arguments, options, flags

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
            values[name] = value
        return None if next(places, "") else values

    def _option(self, word: str, rest: Iterator[str]) -> tuple[str, str]:
        if word in self.options:
            return self.options[word], next(rest, "")
        option, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "=", word[2:])
        return (self.options.get(option, "") if equals else ""), value


COMMANDS = {
    ("app", "status"): Command(_INSTANCES, "report", ("name",), READ, {}),
    ("app", "list"): Command(_INSTANCES, "every", (), READ, ALL),
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
    try:
        with Quick(credential(values.pop("kubeconfig", ""), values.pop("context", ""))) as api:
            getattr(import_module(command.module), command.function)(api, **values)
    except NotQuick:
        return False
    return True
