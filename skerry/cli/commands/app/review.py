"""app review: versions go through two people's hands before everybody gets them."""

from __future__ import annotations

from typing import Annotated

import typer

from skerry.api.kinds import APP_REVIEW, APP_VERSION
from skerry.cli import listing, output
from skerry.cli.commands.app.options import AllWorkspaces, AppArgument, Global, VersionOption, WorkspaceOption
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect
from skerry.cli.term import out, say

EMPTY = "Nothing waits for a review."
NONE = "Nothing was reviewed."
MessageOption = Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="Why: it stands in the record.")]
Whole = Annotated[bool, typer.Option("--all", help="All versions of the app.")]
review = typer.Typer(no_args_is_help=True, help="Reviews of versions: submit, pass, release; reject, suspend, recover.")


def _take(
    action: str, app: str, version: str, message: str, whole: bool, namespace: str, kubeconfig: Kubeconfig, context: str
) -> None:
    """Take a step. stdout: the name of its record."""
    from skerry.cli.apps import find_app, find_version, new
    from skerry.cli.paths import path_in

    api = connect(kubeconfig, context)
    entry = find_app(api, app, namespace)
    place, name = entry["metadata"]["namespace"], entry["metadata"]["name"]
    about = {"app": name} if whole else {"version": find_version(api, entry, version)["metadata"]["name"]}
    more = {"message": message} if message else {}
    body = new(APP_REVIEW, place, generate=f"{action.lower()}-", action=action, **about, **more)
    record = api.post(path_in(APP_REVIEW, place), body)
    out(str(record["metadata"]["name"]))
    status = record.get("status") or {}
    names = ", ".join(status.get("versions") or (about.get("version", ""),))
    say(f"{names}: {status.get('from')} became {status.get('to')}")


def _command(action: str, help_: str) -> None:
    word = action.lower()

    def step(
        app: AppArgument,
        version: VersionOption = "",
        message: MessageOption = "",
        workspace: WorkspaceOption = "",
        everybodys: Global = False,
        kubeconfig: Kubeconfig = None,
        context: ContextName = "",
    ) -> None:
        from skerry.cli.apps import workspace_of

        _take(action, app, version, message, False, workspace_of(workspace, everybodys), kubeconfig, context)

    def whole_step(
        app: AppArgument,
        version: VersionOption = "",
        message: MessageOption = "",
        whole: Whole = False,
        workspace: WorkspaceOption = "",
        everybodys: Global = False,
        kubeconfig: Kubeconfig = None,
        context: ContextName = "",
    ) -> None:
        from skerry.cli.apps import workspace_of

        _take(action, app, version, message, whole, workspace_of(workspace, everybodys), kubeconfig, context)

    example = f"\n\nExample: skerry app review {word} shop --version 1.4.0 -w shop"
    review.command(word, help=help_ + example)(whole_step if action in ("Suspend", "Recover") else step)


_command("Submit", "Ask for a review of a version. Its package is pinned from then on.")
_command("Cancel", "Take a version back from review: a draft again.")
_command("Pass", "Let a version through that somebody else submitted.")
_command("Reject", "Send a version back; -m says why.")
_command("Release", "Give a version that was passed to everybody: it is in the pool from then on.")
_command("Suspend", "Have a version installed by nobody any more; what runs goes on.")
_command("Recover", "Let a version that was suspended be installed again.")


@review.command("list")
def list_(
    app: Annotated[str, typer.Argument(metavar="APP", help="Only of this app.")] = "",
    pending: Annotated[
        bool, typer.Option("--pending", help="Versions that wait to be passed, instead of steps.")
    ] = False,
    style: Style = "",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    everywhere: AllWorkspaces = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List steps of reviews, or what waits for one.

    Example: skerry app review list --pending -A
    """
    from skerry.cli.apps import find_app, workspace_of

    output.check_format(style)
    place = workspace_of(workspace, everybodys)
    namespace = place if (workspace or everybodys) and not everywhere else ""
    api = connect(kubeconfig, context)
    selected = ["status.phase=Submitted"] if pending else []
    if app:
        entry = find_app(api, app, place)
        namespace = entry["metadata"]["namespace"]
        selected += [f"spec.app={entry['metadata']['name']}"]
    kind, empty = (APP_VERSION, EMPTY) if pending or app else (APP_REVIEW, NONE)
    listing.show_in(api, kind, namespace, style, empty, fieldSelector=",".join(selected))
