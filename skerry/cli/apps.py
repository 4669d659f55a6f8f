"""Objects of the App Store for its commands: where they are, which app is meant, and what is waited for."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from threading import Event, Thread

from skerry.api.failing import SkerryError
from skerry.api.names import DEFAULT, POOL
from skerry.cli.failure import USAGE, Failure
from skerry.cli.paths import APP_VERSIONS, APPS, path_in
from skerry.cli.paths import query as with_query
from skerry.cli.term import program, progress

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from skerry.api.kinds import Kind
    from skerry.api.meta import Document
    from skerry.cli.paths import Resource
    from skerry.cli.watching import Host

    class Catalogue(Host, Protocol):
        """The part of `skerry.cli.api.Api` that finds apps."""

        def find(self, path: str) -> Document | None: ...


FIRST_S, POLL_S = 0.1, 0.5
"""Between two looks: soon at first, for much is done within a second."""


def items(api: Host, kind: Resource, namespace: str, **query: str) -> list[Document]:
    """Objects of a kind in a namespace."""
    listed: list[Document] = api.get(with_query(path_in(kind, namespace), **query)).get("items", [])
    return listed


def find_app(api: Catalogue, reference: str, workspace: str) -> Document:
    """The App that `[workspace/]name` or `repository/chart` means: looked for in the workspace, then in the pool. Failure (usage)
    for none, and for several, which it lists.
    """
    before, slash, name = reference.rpartition("/")
    places = tuple(dict.fromkeys((workspace, POOL)))
    matches = list(_matches(api, [(place, f"{before}.{name}" if slash else name) for place in places]))[:1]
    if slash:
        matches += _matches(api, [(before, name)])
    elif not matches:
        matches = list(_by_chart(api, name, places))
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise Failure(
            f"there is no app {reference} in workspace {workspace} or in the pool: {program()} app search finds apps by words",
            USAGE,
        )
    names = ", ".join(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in matches)
    raise Failure(f"{reference} is several apps: {names}: say which", USAGE)


def _matches(api: Catalogue, places: list[tuple[str, str]]) -> Iterator[Document]:
    for namespace, name in places:
        if (app := api.find(path_in(APPS, namespace, name))) is not None:
            yield app


def _by_chart(api: Catalogue, chart: str, places: tuple[str, ...]) -> Iterator[Document]:
    """Apps of a chart, in the first of these places that has any."""
    for place in places:
        listed = api.find(with_query(path_in(APPS, place), fieldSelector=f"status.chart={chart}")) or {}
        yield from listed.get("items", [])
        if listed.get("items"):
            return


def find_version(api: Host, app: Document, version: str = "") -> Document:
    """An AppVersion of an app; without a version the latest. Failure (usage) that names those there are."""
    namespace, name = app["metadata"]["namespace"], app["metadata"]["name"]
    target_version = version or str((app.get("status") or {}).get("latest", ""))
    versions = items(api, APP_VERSIONS, namespace, fieldSelector=f"spec.app={name}")
    for each in versions:
        if each["spec"].get("version") == target_version:
            return each
    known = ", ".join(sorted(str(each["spec"].get("version")) for each in versions)[:10])
    raise Failure(
        f"app {namespace}/{name} has no version {target_version or 'at all'}; there are {known or 'none'}", USAGE
    )


def reference(app: Document, workspace: str) -> str:
    """How a release of a workspace names an app."""
    namespace, name = app["metadata"]["namespace"], str(app["metadata"]["name"])
    return name if namespace == workspace else f"{namespace}/{name}"


@contextmanager
def changes(api: Host, kind: Resource, namespace: str, **query: str) -> Iterator[Event]:
    """Set whenever objects of a kind change. Who waits for it looks by time as well: a watch that ends is not made again."""
    changed, path = Event(), with_query(path_in(kind, namespace), watch="1", **query)

    def follow() -> None:
        with suppress(SkerryError):
            for _ in api.watch(path):
                changed.set()

    Thread(target=follow, name="changes", daemon=True).start()
    yield changed


def wait_for(
    look: Callable[[], Document],
    done: Callable[[Document], bool],
    told: Callable[[Document], str],
    wait_s: float,
    changed: Event | None = None,
) -> tuple[Document, bool]:
    """What `look` gives when it is done, or when the time is over; and whether it is done. It looks when `changed` is set, too."""
    changed = changed or Event()
    until, pause_s = time.monotonic() + wait_s, FIRST_S
    with progress() as line:
        while True:
            changed.clear()
            document = look()
            if done(document):
                return document, True
            if time.monotonic() >= until:
                return document, False
            line.show(told(document))
            changed.wait(min(pause_s, max(0.0, until - time.monotonic())))
            pause_s = min(pause_s * 1.3, POLL_S)


def workspace_of(workspace: str, everybodys: bool) -> str:
    """The namespace that -w and --global mean. Failure (usage) for both."""
    if workspace and everybodys:
        raise Failure("-w and --global exclude each other: --global is workspace skerry-apps", USAGE)
    return POOL if everybodys else workspace or DEFAULT


def new(kind: Kind, namespace: str, name: str = "", *, generate: str = "", **spec: Any) -> Document:
    """The body of a create."""
    metadata: Document = {"name": name} if name else {"generateName": generate}
    if kind.namespaced:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
