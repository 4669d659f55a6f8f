"""app diff, list, status, history, rollback, retry, own and uninstall: what is done with a release that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from skerry.api.kinds import APP_INSTANCE, APP_RELEASE
from skerry.api.meta import Document
from skerry.api.names import DEFAULT
from skerry.cli import output
from skerry.cli.commands.app import instances, values
from skerry.cli.commands.app.given import given, upgraded
from skerry.cli.commands.app.installing import WAIT
from skerry.cli.commands.app.options import (
    AllWorkspaces,
    Release,
    StatusStyle,
    VersionOption,
    Wait,
    WorkspaceOption,
)
from skerry.cli.commands.clients import ContextName, Kubeconfig, connect
from skerry.cli.commands.clients import Style as ListStyle
from skerry.cli.failure import FAILED, TIMED_OUT, USAGE, Failure
from skerry.cli.term import out, say, seconds

if TYPE_CHECKING:
    from skerry.cli.api import Api

DIFFERS = 10
"""Exit code of diff --exit-code."""
LOOK_S = 1.0
"""Between two looks of --watch, unless a change is told before."""
ClusterFilter = Annotated[str, typer.Option("--cluster", metavar="C", help="On this cluster alone.")]


def diff(
    name: Release,
    version: VersionOption = "",
    files: values.ValuesFiles = None,
    set_: values.Sets = None,
    set_string: values.StringSets = None,
    set_file: values.FileSets = None,
    set_secret: values.SecretSets = None,
    values_for: values.ClusterFiles = None,
    reset_values: Annotated[bool, typer.Option("--reset-values", help="Begin with no values.")] = False,
    cluster: ClusterFilter = "",
    all_: Annotated[bool, typer.Option("--all", help="Every cluster, not the first one alone.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help=f"Exit {DIFFERS} if something differs.")] = False,
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show what an upgrade would change, in values and in objects; data of Secrets is masked.

    Example: skerry app diff web --version 1.3.0
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    place = workspace_of(workspace, False)
    if cluster and all_:
        raise Failure("--cluster and --all exclude each other", USAGE)
    overrides = given(files, set_, set_string, set_file, set_secret, values_for)
    api = connect(kubeconfig, context)
    changed = upgraded(api.get(path_in(APP_RELEASE, place, name)), version, overrides, reset=reset_values)
    body: dict[str, Any] = {
        "apiVersion": APP_RELEASE.api_version,
        "kind": "ReleaseDiffRequest",
        "spec": changed["spec"],
        **({"cluster": cluster} if cluster else {}),
        **({"secretValues": overrides.secrets} if overrides.secrets else {}),
    }
    clusters = api.post(path_in(APP_RELEASE, place, name, "diff"), body).get("clusters") or []
    differs, failed = False, []
    for each in clusters if all_ else clusters[:1]:
        if each.get("error"):
            failed.append(f"{each['cluster']}: {each['error']}")
            continue
        differs = _print_change(each) or differs
    if failed:
        raise Failure("; ".join(failed), FAILED)
    if differs and exit_code:
        raise typer.Exit(DIFFERS)


def _print_change(change: Document) -> bool:
    """Print what would change on a cluster; True if anything would."""
    texts = [text for text in (change.get("values"), change.get("manifest") or change.get("rendered")) if text]
    say(f"# {change['cluster']}" + ("" if texts else ": nothing would change"))
    for text in texts:
        out(str(text).rstrip())
    return bool(texts)


def list_(
    style: ListStyle = "",
    workspace: WorkspaceOption = "",
    everywhere: AllWorkspaces = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List what is installed.

    Example: skerry app list -A
    """
    output.check_format(style)
    instances.every(connect(kubeconfig, context), workspace=workspace, everywhere=everywhere, style=style)


def status(
    name: Release,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again whenever it changes, until interrupted.")
    ] = False,
    style: StatusStyle = "",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show a release on each of its clusters.

    Exit 0: healthy on every member that can be reached; 1: one failed or is blocked; 5: not yet.

    Example: skerry app status web -o wide
    """
    instances.check_style(style)
    api = connect(kubeconfig, context)
    if watch:
        _show_changes(api, workspace or DEFAULT, name, style)
    instances.report(api, name=name, workspace=workspace, style=style)


def _show_changes(api: Api, namespace: str, name: str, style: str) -> NoReturn:
    """Show a release, and again whenever it is another one."""
    state = None
    with instances.changed(api, namespace, name) as changed:
        while True:
            changed.clear()
            now = instances.read(api, namespace, name)
            if now != state:
                if state is not None:
                    say("")
                instances.show(now, style)
                state = now
            changed.wait(LOOK_S)


def history(
    name: Release,
    style: StatusStyle = "",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show the revisions of a release, the newest first.

    Example: skerry app history web
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    output.check_format(style)
    release = connect(kubeconfig, context).get(path_in(APP_RELEASE, workspace_of(workspace, False), name))
    fields = ("revision", "version", "by", "at", "result")
    revisions = [
        {field: each.get(field, "") for field in fields} for each in (release.get("status") or {}).get("history") or ()
    ]
    revisions.sort(key=lambda each: -int(each["revision"] or 0))
    if style in ("json", "yaml"):
        output.document(revisions, style)
        return
    rows = [
        [output.age(str(each[field])) if field == "at" else str(each[field]) for field in fields] for each in revisions
    ]
    output.columns(["REVISION", "VERSION", "BY", "AGE", "RESULT"], rows)


def rollback(
    name: Release,
    revision: Annotated[int, typer.Argument(metavar="REVISION", help="Which. Default: the one before.")] = 0,
    wait: Wait = WAIT,
    style: StatusStyle = "",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Go back to version and values of an earlier revision, as a new one.

    Example: skerry app rollback web 3
    """
    from skerry.cli.apps import workspace_of

    instances.check_style(style)
    wait_s, place = seconds(wait), workspace_of(workspace, False)
    api = connect(kubeconfig, context)
    _act(api, place, name, "rollback", "ReleaseRollback", **({"revision": revision} if revision else {}))
    instances.follow(api, place, name, wait_s, style)


def retry(
    name: Release,
    cluster: ClusterFilter = "",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Try again now what failed or is blocked.

    Example: skerry app retry web --cluster m1
    """
    from skerry.cli.apps import workspace_of

    api, place = connect(kubeconfig, context), workspace_of(workspace, False)
    _act(api, place, name, "retry", "ReleaseTarget", **({"cluster": cluster} if cluster else {}))
    say(f"release {name} is tried again{f' on {cluster}' if cluster else ''}")


def own(
    name: Release, workspace: WorkspaceOption = "", kubeconfig: Kubeconfig = None, context: ContextName = ""
) -> None:
    """Take a release over: from now on it is worked on the members as you.

    Example: skerry app own web
    """
    from skerry.cli.apps import workspace_of

    api, place = connect(kubeconfig, context), workspace_of(workspace, False)
    document = _act(api, place, name, "own", "ReleaseTarget")
    actor = ((document.get("status") or {}).get("actor") or {}).get("user", "you")
    say(f"release {name} is worked as {actor} from now on")


def _act(api: Api, namespace: str, name: str, action: str, kind: str, **body: Any) -> Document:
    from skerry.cli.paths import path_in

    document = {"apiVersion": APP_RELEASE.api_version, "kind": kind, **body}
    return api.post(path_in(APP_RELEASE, namespace, name, action), document)


def uninstall(
    name: Release,
    orphan: Annotated[
        bool, typer.Option("--orphan", help="Leave everything on the members; it is nobody's then.")
    ] = False,
    forget: Annotated[
        list[str] | None, typer.Option("--forget", metavar="C", help="Do not wait for this cluster; may be repeated.")
    ] = None,
    wait: Annotated[str, typer.Option("--wait", metavar="DURATION", help="How long to wait until it is gone.")] = "2m",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Remove a release from its clusters. stdout: commands that delete what stays there.

    Exit 5: it is not gone yet from a member, and goes when that is back, or with --forget.

    Example: skerry app uninstall web
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.commands.app.departing import Departure
    from skerry.cli.paths import path_in

    wait_s, place = seconds(wait), workspace_of(workspace, False)
    api = connect(kubeconfig, context)
    path = path_in(APP_RELEASE, place, name)
    departure = Departure(api, place, name)
    if orphan:
        api.patch(path, {"spec": {"deletion": "Orphan"}})
    api.delete(path)
    for cluster in forget or ():
        target = {"apiVersion": APP_INSTANCE.api_version, "kind": "ReleaseTarget"}
        api.post(path_in(APP_INSTANCE, place, f"{name}.{cluster}", "forget"), target)
    gone = departure.follow(wait_s)
    for why, command in departure.leftovers:
        say(f"stays {why}")
        if command:
            out(command)
    if not gone:
        raise Failure(
            f"release {name} is not gone yet from {', '.join(departure.places) or 'the host'}: it goes when they are back, or with "
            "--forget CLUSTER",
            TIMED_OUT,
        )
    say(f"release {name} is gone")
