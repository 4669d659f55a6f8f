"""app install and upgrade, and what is done with a release after that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.kinds import APP_RELEASE
from skerry.api.meta import Document
from skerry.cli import selecting
from skerry.cli.commands.app import installing, instances, releases, values
from skerry.cli.commands.app.given import given, upgraded
from skerry.cli.commands.app.installing import WAIT
from skerry.cli.commands.app.options import (
    AppArgument,
    Release,
    StatusStyle,
    VersionOption,
    Wait,
    WorkspaceOption,
)
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect
from skerry.cli.failure import FAILED, Failure
from skerry.cli.term import out, say, seconds

if TYPE_CHECKING:
    from skerry.cli.api import Api

Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="How long it may take until all is healthy.")
]
OnFailure = Annotated[
    str, typer.Option("--on-failure", metavar="keep|rollback", help="What becomes of a failed upgrade.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what the first cluster would get, Secrets masked; change nothing.")
]


def install(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the release.")],
    app: AppArgument,
    version: VersionOption = "",
    cluster: Annotated[
        list[str] | None,
        typer.Option("--cluster", metavar="C", help="On this cluster; may be repeated.", autocompletion=cluster_names),
    ] = None,
    selector: Annotated[
        str, typer.Option("--selector", "-l", metavar="L", help="On all clusters with such labels, now and later.")
    ] = "",
    namespace: Annotated[
        str,
        typer.Option("-n", "--namespace", metavar="NS", help="Where on the members. Default: the workspace's name."),
    ] = "",
    create_namespace: Annotated[
        bool, typer.Option("--create-namespace", help="Make that namespace where it is not there.")
    ] = False,
    files: values.ValuesFiles = None,
    set_: values.Sets = None,
    set_string: values.StringSets = None,
    set_file: values.FileSets = None,
    set_secret: values.SecretSets = None,
    values_for: values.ClusterFiles = None,
    timeout: Timeout = "",
    on_failure: OnFailure = "",
    wait: Wait = WAIT,
    dry_run: DryRun = False,
    style: StatusStyle = "",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Install an app on some clusters, also those that are away or come later. stdout: its instances.

    Exit 0: healthy on every member that can be reached; 1: one failed or is blocked; 4: the host has no Helm; 5: not yet, and it goes on.

    Example: skerry app install web stable/nginx --cluster m1 -n shop --set replicas=2
    """
    from skerry.cli.apps import workspace_of

    instances.check_style(style)
    wait_s, place = seconds(wait), workspace_of(workspace, False)
    where = installing.clusters(cluster, selecting.label_selector(selector) if selector else {})
    overrides = given(files, set_, set_string, set_file, set_secret, values_for)
    options = installing.options(create_namespace, timeout, on_failure)
    api = connect(kubeconfig, context)
    installing.check_engine(api)
    spec = installing.release_spec(api, place, app, version, where, targetNamespace=namespace, **options)
    spec |= {"values": overrides.values, "overrides": overrides.overrides}
    if dry_run:
        _print_dry(api, place, name, spec, overrides.secrets, installing.release(place, name, spec))
        return
    installing.make(api, place, name, {**spec, "suspend": True} if overrides.secrets else spec)
    if overrides.secrets:
        _seal(api, place, name, overrides.secrets)
        _let_go(api, place, name)
    instances.follow(api, place, name, wait_s, style)


def upgrade(
    name: Release,
    version: VersionOption = "",
    files: values.ValuesFiles = None,
    set_: values.Sets = None,
    set_string: values.StringSets = None,
    set_file: values.FileSets = None,
    set_secret: values.SecretSets = None,
    values_for: values.ClusterFiles = None,
    reset_values: Annotated[
        bool, typer.Option("--reset-values", help="Begin with no values instead of those that are stored.")
    ] = False,
    timeout: Timeout = "",
    on_failure: OnFailure = "",
    wait: Wait = WAIT,
    dry_run: DryRun = False,
    style: StatusStyle = "",
    workspace: WorkspaceOption = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Give a release another version or other values. Values merge into what is stored; null takes a default of the chart away.

    Example: skerry app upgrade web --version 1.3.0 --set replicas=3
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    instances.check_style(style)
    wait_s, place = seconds(wait), workspace_of(workspace, False)
    overrides = given(files, set_, set_string, set_file, set_secret, values_for)
    api = connect(kubeconfig, context)
    installing.check_engine(api)
    document = api.get(path_in(APP_RELEASE, place, name))
    changed = upgraded(document, version, overrides, reset=reset_values)
    changed["spec"].update(installing.options(False, timeout, on_failure))
    if dry_run:
        _print_dry(api, place, name, changed["spec"], overrides.secrets, changed)
        return
    if overrides.secrets:
        version = changed["metadata"]["resourceVersion"]
        _seal(api, place, name, overrides.secrets, spec=changed["spec"], resourceVersion=version)
    else:
        api.put(path_in(APP_RELEASE, place, name), changed)
    instances.follow(api, place, name, wait_s, style)


def _seal(api: Api, namespace: str, name: str, secrets: dict[str, str], **release: Any) -> None:
    """Set secret values; `release`: what it is to be besides, in the same revision."""
    from skerry.cli.paths import path_in

    body = {"apiVersion": APP_RELEASE.api_version, "kind": "ReleaseSecretValues", "set": secrets, **release}
    api.put(path_in(APP_RELEASE, namespace, name, "secretvalues"), body)


def _let_go(api: Api, namespace: str, name: str) -> None:
    """Have the work begin that waited for the secret values."""
    from skerry.cli.paths import path_in

    api.patch(path_in(APP_RELEASE, namespace, name), {"spec": {"suspend": False}})


def _print_dry(
    api: Api, namespace: str, name: str, spec: dict[str, Any], secrets: dict[str, str], document: Document
) -> None:
    """What the first cluster would get."""
    from skerry.cli.paths import path_in, query
    from skerry.errors import NotFound

    body: dict[str, Any] = {"apiVersion": APP_RELEASE.api_version, "kind": "ReleaseDiffRequest", "spec": spec}
    if secrets:
        body["secretValues"] = secrets
    checked = {**document, "spec": spec}
    try:
        api.get(path_in(APP_RELEASE, namespace, name))
        api.put(query(path_in(APP_RELEASE, namespace, name), dryRun="All"), checked)
    except NotFound:
        api.post(query(path_in(APP_RELEASE, namespace), dryRun="All"), checked)
    answer = api.post(path_in(APP_RELEASE, namespace, name, "diff"), body)
    for each in answer.get("clusters") or ():
        if each.get("error"):
            raise Failure(f"{each['cluster']}: {each['error']}", FAILED)
        say(f"# {each['cluster']}")
        out(str(each.get("rendered") or each.get("manifest") or "").rstrip())
        return
    say("it is wanted on no cluster")


def register(app: typer.Typer) -> None:
    """Give `app` the commands for releases."""
    commands: tuple[Callable[..., None], ...] = (install, upgrade, releases.diff, releases.list_, releases.status)
    later: tuple[Callable[..., None], ...] = (
        releases.history,
        releases.rollback,
        releases.retry,
        releases.own,
        releases.uninstall,
    )
    for command in (*commands, *later):
        app.command(command.__name__.rstrip("_"))(command)
