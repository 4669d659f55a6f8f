"""app search, show, push and pull: finding apps, reading of them, and bringing one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.kinds import APP, APP_VERSION
from skerry.api.meta import Document
from skerry.cli import listing, output
from skerry.cli.commands.app.options import AppArgument, Global, VersionOption, WorkspaceOption
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out, say

if TYPE_CHECKING:
    from skerry.cli.api import Api

EMPTY = "No apps found. {skerry} app repo list -A shows where apps come from."
LARGEST = 32 * 1024 * 1024
"""Bytes of a package that are sent at all."""
_WORDS = ("readme", "values", "schema")


def search(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Words of its name, keywords and description; misspelt will do.")
    ] = "",
    category: Annotated[str, typer.Option("--category", metavar="C", help="Only of this category.")] = "",
    repository: Annotated[str, typer.Option("--repo", metavar="R", help="Only from this repository.")] = "",
    style: Style = "",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Find apps, the best first. Without -w or --global: in all workspaces that you may read.

    Example: skerry app search postgres
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in, query

    output.check_format(style)
    namespace = workspace_of(workspace, everybodys) if workspace or everybodys else ""
    selected = {"search": text, "fieldSelector": f"status.repository={repository}" if repository else ""}
    api = connect(kubeconfig, context)
    answer = api.get(query(path_in(APP, namespace), **selected))
    items = [each for each in answer.get("items", []) if not category or category in _categories(each)]
    if style in ("json", "yaml"):
        output.document({**answer, "items": items}, style)
    elif style == "name":
        output.names(items, APP.singular)
    elif not items:
        say(EMPTY.format(skerry="skerry"))
    else:
        output.columns(["APP", "LATEST", "APP VERSION", "CATEGORY", "DESCRIPTION"], [_row(each) for each in items])


def _categories(app: Document) -> list[str]:
    return list((app.get("spec") or {}).get("categories") or ["uncategorized"])


def _row(app: Document) -> list[str]:
    metadata, status = app["metadata"], app.get("status") or {}
    description = str(status.get("description", ""))
    return [
        f"{metadata['namespace']}/{metadata['name']}",
        str(status.get("latest", "")),
        str(status.get("appVersion", "")),
        ",".join(_categories(app)),
        description if len(description) <= 60 else description[:59] + "…",
    ]


def show(
    app: AppArgument,
    version: VersionOption = "",
    versions: Annotated[bool, typer.Option("--versions", help="The versions there are.")] = False,
    readme: Annotated[bool, typer.Option("--readme", help="Its README.")] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Its values.yaml: what may be set, and the defaults.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="What values may be.")] = False,
    changes: Annotated[bool, typer.Option("--changes", help="What is new in the version.")] = False,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="The whole object.")] = "",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show an app: what it is, what it does, and where its review stands; or one of its texts.

    Example: skerry app show stable/nginx --values
    """
    from skerry.cli.apps import find_app, find_version, workspace_of
    from skerry.cli.paths import path_in

    chosen = [name for name, selected in zip(_WORDS, (readme, values, schema), strict=True) if selected]
    if len(chosen) + versions + changes > 1:
        raise Failure("use one of --versions, --readme, --values, --schema, --changes", USAGE)
    output.check_format(style)
    api = connect(kubeconfig, context)
    document = find_app(api, app, workspace_of(workspace, everybodys))
    namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
    if versions:
        empty = f"app {name} has no versions"
        listing.show_in(api, APP_VERSION, namespace, style, empty, fieldSelector=f"spec.app={name}")
        return
    one = find_version(api, document, version)
    if chosen:
        text = api.fetch(path_in(APP_VERSION, namespace, one["metadata"]["name"], chosen[0]))
        sys.stdout.write(printable(text.decode(errors="replace")))
    elif style in ("json", "yaml"):
        output.document(one if version else document, style)
    elif changes:
        for each in ((one.get("status") or {}).get("chart") or {}).get("changes") or ():
            out(f"{each.get('kind', 'changed'):<12}{each.get('description', '')}")
    else:
        _describe(document, one)


def printable(text: str) -> str:
    """A stranger's text without what moves a terminal's cursor or changes its colours. Pure."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text.replace("\r\n", "\n"))


def _describe(app: Document, version: Document) -> None:
    status = version.get("status") or {}
    chart, problem = status.get("chart") or {}, status.get("problem") or {}
    risks = "; ".join(
        f"{each.get('type')}: {', '.join(each.get('objects') or ())}" for each in status.get("risks") or ()
    )
    rows: list[tuple[str, Any]] = [
        ("app", f"{app['metadata']['namespace']}/{app['metadata']['name']}"),
        ("version", f"{version['spec']['version']} ({status.get('phase', 'Draft')})"),
        ("app version", chart.get("appVersion")),
        ("what", chart.get("description")),
        ("home", chart.get("home")),
        ("licence", chart.get("license")),
        ("kubernetes", chart.get("kubeVersion")),
        ("from", app["status"].get("repository") or app["status"].get("origin") or "an upload"),
        ("deprecated", "yes: its authors advise against it" if chart.get("deprecated") else ""),
        ("does", risks),
        ("problem", f"{problem.get('reason')}: {problem.get('message')}" if problem else ""),
    ]
    for field, value in rows:
        if value:
            out(f"{field:<13}{value}")


def push(
    file: Annotated[
        str, typer.Argument(metavar="FILE.tgz|-", help="The package, as helm package makes it; - is stdin.")
    ],
    category: Annotated[list[str] | None, typer.Option("--category", metavar="C", help="Put the app into it.")] = None,
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Bring a chart of your own into a workspace: a draft, which members can install there. stdout: name of the AppVersion.

    Example: skerry app push ./shop-1.4.0.tgz -w shop
    """
    from skerry.cli.apps import workspace_of
    from skerry.cli.paths import path_in

    content = _read(file)
    chart = chart_name(content)
    api, namespace = connect(kubeconfig, context), workspace_of(workspace, everybodys)
    document = api.send(path_in(APP, namespace, chart, "package"), content, "application/gzip")
    out(str(document["metadata"]["name"]))
    if category:
        _categorize(api, namespace, str(document["spec"]["app"]), category)
    say(f"version {document['spec']['version']} of {chart} is {document['status']['phase']} in workspace {namespace}")


def _categorize(api: Api, namespace: str, app: str, categories: list[str]) -> None:
    from skerry.cli.apps import wait_for
    from skerry.cli.paths import path_in
    from skerry.errors import NotFound

    def look() -> Document:
        try:
            return api.get(path_in(APP, namespace, app))
        except NotFound:
            return {}

    there, _ = wait_for(look, bool, lambda document: f"waiting for app {app}", 10.0)
    if there:
        api.patch(path_in(APP, namespace, app), {"spec": {"categories": categories}})


def _read(file: str) -> bytes:
    try:
        content = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else Path(file).expanduser().read_bytes()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", USAGE) from error
    if len(content) > LARGEST:
        raise Failure(f"{file} has more than {LARGEST // 1048576} MiB, which is no package of a chart", USAGE)
    return content


def chart_name(content: bytes) -> str:
    """The name of a package's chart: that of its one directory. Failure (usage) for what is no package."""
    import io
    import tarfile

    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            member = archive.next()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Failure(f"this is no package of a chart ({error}): helm package makes one", USAGE) from error
    top = member.name.partition("/")[0] if member else ""
    if not top or top in (".", ".."):
        raise Failure("this is no package of a chart, whose files are in one directory: helm package makes one", USAGE)
    return top


def pull(
    app: AppArgument,
    version: VersionOption = "",
    output_: Annotated[str, typer.Option("--output", metavar="FILE|-", help="Default: CHART-VERSION.tgz here.")] = "",
    workspace: WorkspaceOption = "",
    everybodys: Global = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Fetch the package of an app, as helm pull does. stdout: the file's name.

    Example: skerry app pull stable/nginx --version 1.2.3
    """
    from skerry.cli.apps import find_app, find_version, workspace_of
    from skerry.cli.paths import path_in

    api = connect(kubeconfig, context)
    document = find_version(api, find_app(api, app, workspace_of(workspace, everybodys)), version)
    metadata, spec = document["metadata"], document["spec"]
    content = api.fetch(path_in(APP_VERSION, metadata["namespace"], metadata["name"], "package"))
    if output_ == "-":
        sys.stdout.buffer.write(content)
        return
    path = Path(output_).expanduser() if output_ else Path(f"{spec['chart']}-{spec['version']}.tgz")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", USAGE) from error
    out(str(path))
