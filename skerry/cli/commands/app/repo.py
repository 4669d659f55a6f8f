"""app repo: where charts come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY
from skerry.api.meta import Document
from skerry.cli import listing, output
from skerry.cli.commands.app.given import secret_file
from skerry.cli.commands.app.options import (
    AllWorkspaces,
    Global,
    WorkspaceOption,
    repositories,
    wait_option,
)
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect
from skerry.cli.failure import FAILED, TIMED_OUT, USAGE, Failure
from skerry.cli.term import out, program, say, seconds

if TYPE_CHECKING:
    from skerry.cli.api import Api

SYNC = {"apiVersion": APP_REPOSITORY.api_version, "kind": "RepositorySyncRequest"}
EMPTY = "No repositories. Add one: {skerry} app repo add NAME URL"
repo = typer.Typer(no_args_is_help=True, help="Repositories of charts.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the repository.", autocompletion=repositories)]


@repo.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How it is to be called.")],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https://… below which index.yaml lies, or oci://registry/path.")
    ],
    chart: Annotated[
        list[str] | None, typer.Option("--chart", metavar="C", help="Only this chart; may be repeated.")
    ] = None,
    username: Annotated[str, typer.Option("--username", metavar="U", help="The user for its server.")] = "",
    password_file: Annotated[
        str, typer.Option("--password-file", metavar="F|-", help="Their password; - is stdin.")
    ] = "",
    token_file: Annotated[
        str, typer.Option("--token-file", metavar="F|-", help="A bearer token, instead of the two.")
    ] = "",
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="F", help="Authorities of its server, in PEM.")
    ] = None,
    cert_file: Annotated[str, typer.Option("--cert-file", metavar="F", help="A client certificate, in PEM.")] = "",
    key_file: Annotated[str, typer.Option("--key-file", metavar="F", help="Its private key, in PEM.")] = "",
    sync_period: Annotated[
        str, typer.Option("--sync-period", metavar="DURATION", help="Between two looks; 0s: by hand.")
    ] = "1h",
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", help="Newest versions of each chart that are listed.")
    ] = 5,
    review: Annotated[
        bool, typer.Option("--review", help="Its versions wait as drafts for a review. Of the pool only.")
    ] = False,
    wait: Annotated[str, wait_option("60s", "it was read once")] = "60s",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Add a repository and read it once. stdout: its name alone.

    Exit 1: it could not be read, and why; exit 5: it was not read within --wait, and the host goes on.

    Example: skerry app repo add stable https://charts.example.org/stable --global
    """
    from skerry.cli.apps import new, workspace_of
    from skerry.cli.paths import path_in

    wait_s, namespace = seconds(wait), workspace_of(workspace, everybodys)
    credential = _credential(username, password_file, token_file, cert_file, key_file)
    spec: dict[str, Any] = {"url": url, "charts": chart or [], "syncPeriod": sync_period, "keepVersions": keep}
    if review:
        spec["review"] = "Required"
    if ca_file is not None:
        spec["tls"] = {"caBundle": secret_file(str(ca_file), "--ca-file")}
    api = connect(kubeconfig, context)
    api.post(path_in(APP_REPOSITORY, namespace), new(APP_REPOSITORY, namespace, name, **spec))
    out(name)
    answer: Document = {}
    if credential:
        body = {"apiVersion": APP_REPOSITORY.api_version, "kind": "RepositoryCredential", **credential}
        answer = api.put(path_in(APP_REPOSITORY, namespace, name, "credential"), body)
    if wait_s:
        _await(api, namespace, name, answer, wait_s)


def _credential(username: str, password_file: str, token_file: str, cert_file: str, key_file: str) -> dict[str, str]:
    """The body of its credential; empty without one. Failure (usage)."""
    if bool(username) != bool(password_file):
        raise Failure("--username and --password-file belong together", USAGE)
    if bool(cert_file) != bool(key_file):
        raise Failure("--cert-file and --key-file belong together", USAGE)
    if token_file and username:
        raise Failure("--token-file is instead of --username and --password-file", USAGE)
    files = {"password": password_file, "token": token_file, "certificate": cert_file, "key": key_file}
    options = {
        "password": "--password-file",
        "token": "--token-file",
        "certificate": "--cert-file",
        "key": "--key-file",
    }
    secrets = {field: secret_file(file, options[field]) for field, file in files.items() if file}
    return {**({"username": username} if username else {}), **secrets}


def _await(api: Api, namespace: str, name: str, asked: Document, wait_s: float) -> None:
    """Say how the look ended that was asked for, as the answer to that has it. Failure: badly, or not in time."""
    from skerry.cli.apps import wait_for
    from skerry.cli.paths import path_in

    requested = str((asked.get("status") or {}).get("sync", {}).get("requested", ""))
    document, done = wait_for(
        lambda: api.get(path_in(APP_REPOSITORY, namespace, name)),
        lambda document: (
            _finished(document) >= (requested or "0") and condition_of(document, "Ready").reason != "Syncing"
        ),
        lambda document: condition_of(document, "Ready").message or f"reading {name}",
        wait_s,
    )
    ready = condition_of(document, "Ready")
    if not done:
        raise Failure(
            f"repository {name} was not read in time, and the host goes on: {program()} app repo show {name}", TIMED_OUT
        )
    if ready.status != "True":
        raise Failure(f"repository {name} could not be read: {ready.reason}: {ready.message}", FAILED)
    say(ready.message or told(document))


def _finished(document: Document) -> str:
    """When it was read last."""
    return str(((document.get("status") or {}).get("sync") or {}).get("finished", ""))


def told(document: Document) -> str:
    """What a look gave, in one line. Pure."""
    status = document.get("status") or {}
    sync, skipped = status.get("sync") or {}, status.get("skippedCount", 0)
    left = f", {skipped} left out" if skipped else ""
    return f"{sync.get('versions', 0)} versions of {sync.get('charts', 0)} charts{left}"


@repo.command("list")
def list_(
    style: Style = "",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    everywhere: AllWorkspaces = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List repositories.

    Example: skerry app repo list -A -o wide
    """
    from skerry.cli.apps import workspace_of

    output.check_format(style)
    namespace = "" if everywhere else workspace_of(workspace, everybodys)
    listing.show_in(connect(kubeconfig, context), APP_REPOSITORY, namespace, style, EMPTY)


@repo.command("show")
def show(
    name: Name,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="The whole object.")] = "",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show a repository: whether it could be read, what was left out and why, and when it is looked at again.

    Example: skerry app repo show stable --global
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    output.check_format(style)
    document = connect(kubeconfig, context).get(path_in(APP_REPOSITORY, workspace_of(workspace, everybodys), name))
    if style in ("json", "yaml"):
        output.document(document, style)
        return
    status, ready = document.get("status") or {}, condition_of(document, "Ready")
    sync, credential = status.get("sync") or {}, status.get("credential") or {}
    for field, value in (
        ("url", document["spec"]["url"]),
        ("ready", f"{ready.status} {ready.reason}: {ready.message}"),
        ("content", told(document)),
        ("read", f"{sync.get('finished') or 'never'}, again {sync.get('next') or 'by hand'}"),
        ("credential", credential.get("type") or "none"),
    ):
        out(f"{field:<12}{value}")
    for each in status.get("skipped") or ():
        out(
            f"left out    {each.get('chart')} {each.get('version', '')}: {each.get('reason')}: {each.get('message', '')}"
        )


@repo.command("sync")
def sync(
    name: Name,
    wait: Annotated[str, wait_option("60s", "it was read")] = "60s",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Read a repository now.

    Example: skerry app repo sync stable --global
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    wait_s, namespace = seconds(wait), workspace_of(workspace, everybodys)
    api = connect(kubeconfig, context)
    answer = api.post(path_in(APP_REPOSITORY, namespace, name, "sync"), SYNC)
    if wait_s:
        _await(api, namespace, name, answer, wait_s)


@repo.command("remove")
def remove(
    name: Name,
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Remove a repository and the apps that came from it. What is installed runs on.

    Example: skerry app repo remove stable --global
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    namespace = workspace_of(workspace, everybodys)
    connect(kubeconfig, context).delete(path_in(APP_REPOSITORY, namespace, name))
    say(f"repository {name} removed, with the apps that came from it; what is installed runs on")
