"""version and completion: they talk to nobody."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from skerry import __version__
from skerry.cli import output
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out

_SHELLS = ("bash", "zsh", "fish")


def version(
    style: Annotated[str, typer.Option("-o", "--output", metavar="json", help="json: as a document.")] = "",
) -> None:
    """Print the version.

    Example: skerry version -o json
    """
    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json", USAGE)
    if not style:
        out(f"skerry {__version__}")
        return
    output.document(
        {"version": __version__, "python": platform.python_version(), "platform": platform.platform()}, style
    )


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")]) -> None:
    """Print the completion script of a shell.

    Example: source <(skerry completion bash)
    """
    if shell not in _SHELLS:
        raise Failure(f"completion {shell}: use one of {', '.join(_SHELLS)}", USAGE)
    from typer._completion_shared import get_completion_script

    out(get_completion_script(prog_name="skerry", complete_var="_SKERRY_COMPLETE", shell=shell))
