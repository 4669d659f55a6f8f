"""Options that several commands of `skerry app` have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from skerry.api.kinds import APP, APP_RELEASE, APP_REPOSITORY, Kind
from skerry.cli import state


def names(kind: Kind, incomplete: str) -> list[str]:
    """For the shell: names of objects in all workspaces, if the host answers at once."""
    from skerry.cli import kubeconfig as files
    from skerry.cli.api import Api
    from skerry.cli.apps import items
    from skerry.errors import SkerryError

    try:
        admin = state.directory(None) / "host" / "admin.kubeconfig"
        listed = items(Api(files.context([admin], ""), timeout_s=0.5), kind, "")
    except SkerryError:
        return []
    return [name for each in listed if (name := str(each["metadata"]["name"])).startswith(incomplete)]


def apps(incomplete: str) -> list[str]:
    """For the shell: names of apps."""
    return names(APP, incomplete)


def repositories(incomplete: str) -> list[str]:
    """For the shell: names of repositories."""
    return names(APP_REPOSITORY, incomplete)


def releases(incomplete: str) -> list[str]:
    """For the shell: names of releases."""
    return names(APP_RELEASE, incomplete)


WorkspaceOption = Annotated[
    str,
    typer.Option(
        "-w", "--workspace", metavar="WORKSPACE", help="The workspace. Default: default, the administrators'."
    ),
]
Global = Annotated[bool, typer.Option("--global", help="The pool that is everybody's: workspace skerry-apps.")]
AllWorkspaces = Annotated[bool, typer.Option("-A", "--all-workspaces", help="All workspaces that you may read.")]
AppArgument = Annotated[
    str,
    typer.Argument(
        metavar="APP",
        help="[workspace/]name, or repository/chart: in the workspace, then the pool.",
        autocompletion=apps,
    ),
]
VersionOption = Annotated[str, typer.Option("--version", metavar="V", help="The version. Default: the latest.")]
StatusStyle = Annotated[str, typer.Option("-o", "--output", metavar="wide|json|yaml", help="Output format.")]
Wait = Annotated[
    str, typer.Option("--wait", metavar="DURATION", help="How long to wait until it is healthy; 0s: not at all.")
]
Release = Annotated[str, typer.Argument(metavar="NAME", help="Name of the release.", autocompletion=releases)]


def wait_option(default: str, what: str) -> Any:
    """--wait."""
    return typer.Option(
        "--wait", metavar="DURATION", help=f"How long to wait until {what}; 0s: not at all. Default: {default}."
    )
