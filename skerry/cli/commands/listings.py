"""clusters, tokens, workspaces, grants: listings of the host's kinds, as `kubectl get` would print them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from skerry.cli import output, state
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect
from skerry.cli.term import program

Watch = Annotated[bool, typer.Option("-w", "--watch", help="After listing, follow changes.")]
Selector = Annotated[str, typer.Option("-l", "--selector", metavar="LABELS", help="Only with these labels: env=prod.")]


def names_of(plural: str) -> Callable[[str], list[str]]:
    """For the shell: names of objects, if the host answers at once."""

    def names(incomplete: str) -> list[str]:
        from skerry.cli import kubeconfig as files
        from skerry.cli.api import Api, path_of
        from skerry.errors import SkerryError

        try:
            admin = state.directory(None) / "host" / "admin.kubeconfig"
            items = Api(files.context([admin], ""), timeout_s=0.5).get(path_of(plural)).get("items", [])
        except SkerryError:
            return []
        found = [str(item["metadata"]["name"]) for item in items]
        return [name for name in found if name.startswith(incomplete)]

    return names


def show(
    kind: tuple[str, str],
    name: str,
    style: str,
    selector: str,
    where: tuple[Kubeconfig, str],
    *,
    watch: bool,
    empty: str,
) -> None:
    """List the objects of a kind (plural, singular), or show one by name; with `watch` go on until interrupted."""
    from skerry.cli.api import TABLE, path_of
    from skerry.cli.watching import Printer, follow, query

    output.check_format(style)
    api = connect(*where)
    plural, singular = kind
    if watch:
        field = f"metadata.name={name}" if name else ""
        follow(api, path_of(plural), selector, field, Printer(singular, style), empty)
        return
    path = path_of(plural, name) if name else query(path_of(plural), labelSelector=selector)
    answer = api.get(path, accept=TABLE if style in ("", "wide") else "application/json")
    if style in ("", "wide"):
        output.table(answer, wide=style == "wide", empty=empty)
    elif style == "name":
        output.names([answer] if name else answer.get("items", []), singular)
    else:
        output.document(answer, style)


def clusters(
    name: Annotated[str, typer.Argument(help="One cluster.", autocompletion=names_of("clusters"))] = "",
    style: Style = "",
    selector: Selector = "",
    watch: Watch = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List clusters: the same table as kubectl get clusters.

    Example: skerry clusters -o wide
    """
    empty = f"No clusters. Join one: {program()} token create NAME"
    show(("clusters", "cluster"), name, style, selector, (kubeconfig, context), watch=watch, empty=empty)


def tokens(
    name: Annotated[str, typer.Argument(help="One token.", autocompletion=names_of("jointokens"))] = "",
    style: Style = "",
    selector: Selector = "",
    watch: Watch = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List join tokens, without their secrets.

    Example: skerry tokens -w
    """
    empty = f"No join tokens. Make one: {program()} token create NAME"
    show(("jointokens", "jointoken"), name, style, selector, (kubeconfig, context), watch=watch, empty=empty)


def workspaces(
    name: Annotated[str, typer.Argument(help="One workspace.", autocompletion=names_of("workspaces"))] = "",
    style: Style = "",
    selector: Selector = "",
    watch: Watch = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List workspaces. They are made with kubectl apply.

    Example: skerry workspaces -o yaml
    """
    empty = "No workspaces. Make one: kubectl apply -f workspace.yaml"
    show(("workspaces", "workspace"), name, style, selector, (kubeconfig, context), watch=watch, empty=empty)


def grants(
    name: Annotated[str, typer.Argument(help="One grant.", autocompletion=names_of("accessgrants"))] = "",
    style: Style = "",
    selector: Selector = "",
    watch: Watch = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List access grants: who may do what on which clusters.

    Example: skerry grants -o wide
    """
    empty = "No access grants. Make one: kubectl apply -f grant.yaml"
    show(("accessgrants", "accessgrant"), name, style, selector, (kubeconfig, context), watch=watch, empty=empty)
