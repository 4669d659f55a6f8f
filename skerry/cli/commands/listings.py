"""clusters, tokens, workspaces, …: a listing of each kind that declares one, as `kubectl get` would print it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import typer

from skerry.api.kinds import KINDS, Kind
from skerry.cli import listing, state
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect


def commands(kinds: Iterable[Kind]) -> dict[str, Kind]:
    """The kinds that have a listing, by its command."""
    return {kind.listing.command: kind for kind in kinds if kind.listing}


LISTED = commands(KINDS)


def names(context: typer.Context, incomplete: str) -> list[str]:
    """For the shell: names of objects of the kind whose command is called."""
    return names_of(LISTED[context.info_name or ""], incomplete)


def names_of(kind: Kind, incomplete: str) -> list[str]:
    """For the shell: names of objects, if the host answers at once."""
    from skerry.cli import kubeconfig as files
    from skerry.cli.api import Api, path_of
    from skerry.errors import SkerryError

    try:
        admin = state.directory(None) / "host" / "admin.kubeconfig"
        items = Api(files.context([admin], ""), timeout_s=0.5).get(path_of(kind.plural)).get("items", [])
    except SkerryError:
        return []
    known = [str(item["metadata"]["name"]) for item in items]
    return [name for name in known if name.startswith(incomplete)]


def objects(
    called: typer.Context,
    name: Annotated[str, typer.Argument(help="Only this one.", autocompletion=names)] = "",
    style: Style = "",
    selector: Annotated[
        str, typer.Option("-l", "--selector", metavar="LABELS", help="Only with these labels: env=prod.")
    ] = "",
    watch: Annotated[bool, typer.Option("-w", "--watch", help="After listing, follow changes.")] = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List the objects of the kind whose command was called, or show one; with `watch` go on until interrupted."""
    kind = LISTED[called.info_name or ""]
    listing.show(partial(connect, kubeconfig, context), kind, style, name=name, selector=selector, watch=watch)


def register(app: typer.Typer) -> None:
    """Give `app` the command of each kind, in the order of their declarations."""
    for command, kind in LISTED.items():
        if kind.listing:
            app.command(command, help=kind.listing.help)(objects)
