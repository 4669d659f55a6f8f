"""app install without the command tree: what the host is asked for, and how the end is waited for (docs/adr/0036)."""

from __future__ import annotations

from skerry.api.names import API_VERSION
from skerry.cli.apps import find_app, find_version, reference, workspace_of
from skerry.cli.commands.app import instances
from skerry.cli.commands.app.given import given
from skerry.cli.failure import MISSING, USAGE, Failure
from skerry.cli.paths import APP_RELEASES, APP_STORES, path_in
from skerry.cli.term import say, seconds

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from typing import Any, Protocol

    from skerry.api.meta import Document
    from skerry.cli.apps import Catalogue
    from skerry.cli.watching import Host

    class Poster(Catalogue, Protocol):
        """The part of `skerry.cli.api.Api` that is needed here."""

        def post(self, path: str, body: Document) -> object: ...


WAIT = "5m"
KIND = "AppRelease"
STORE = "host"
_ON_FAILURE = {"": "", "keep": "Keep", "rollback": "Rollback"}


def install(
    api: Poster,
    *,
    name: str,
    app: str,
    version: str = "",
    cluster: list[str] | None = None,
    namespace: str = "",
    create_namespace: bool = False,
    files: list[str] | None = None,
    set_: list[str] | None = None,
    set_string: list[str] | None = None,
    timeout: str = "",
    on_failure: str = "",
    wait: str = WAIT,
    style: str = "",
    workspace: str = "",
) -> None:
    """Make a release with plain values on some clusters. Failure, as the host says it."""
    instances.check_style(style)
    seconds(wait)
    place, where = workspace_of(workspace, False), clusters(cluster, {})
    values = given(files, set_, set_string, None, None, None).values
    check_engine(api)
    spec = release_spec(
        api, place, app, version, where, targetNamespace=namespace, **options(create_namespace, timeout, on_failure)
    )
    make(api, place, name, {**spec, "values": values})


def follow(api: Host, *, name: str, wait: str = WAIT, style: str = "", workspace: str = "", **_: Any) -> None:
    """Wait for it, and end as its state says. Failure."""
    instances.follow(api, workspace_of(workspace, False), name, seconds(wait), style)


def clusters(names: list[str] | None, selector: dict[str, Any]) -> dict[str, Any]:
    """Where a release is wanted. Failure (usage)."""
    if bool(names) == bool(selector):
        raise Failure("say where: --cluster NAME, once or more often, or --selector LABELS", USAGE)
    return {"names": names} if names else {"selector": selector}


def options(create_namespace: bool, timeout: str, on_failure: str) -> dict[str, Any]:
    """What these say in a spec, as far as they are given. Failure (usage)."""
    if on_failure not in _ON_FAILURE:
        raise Failure(f"--on-failure {on_failure}: use keep or rollback", USAGE)
    return {
        **({"createNamespace": True} if create_namespace else {}),
        **({"timeout": f"{max(1, round(seconds(timeout)))}s"} if timeout else {}),
        **({"onFailure": _ON_FAILURE[on_failure]} if on_failure else {}),
    }


def check_engine(api: Host) -> None:
    """Failure (prerequisite missing) while the host has no Helm."""
    ready = instances.condition(api.get(path_in(APP_STORES, "", STORE)), "HelmReady")
    if ready.get("status") == "False":
        raise Failure(f"the host can install nothing: {ready.get('message')}", MISSING)


def release_spec(
    api: Catalogue, workspace: str, app: str, version: str, where: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """The spec of a release of the app that is meant; what is empty is left out. Failure (usage)."""
    entry = find_app(api, app, workspace)
    chosen = find_version(api, entry, version)["spec"]["version"]
    given = {key: value for key, value in more.items() if value}
    return {"app": reference(entry, workspace), "version": chosen, "clusters": where, **given}


def make(api: Poster, workspace: str, name: str, spec: dict[str, Any]) -> None:
    """Make the release. Its values may be {}."""
    api.post(path_in(APP_RELEASES, workspace), release(workspace, name, spec))
    say(f"release {workspace}/{name}: {spec['app']} {spec['version']}")


def release(workspace: str, name: str, spec: dict[str, Any]) -> Document:
    """The body of a release. Pure."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": workspace},
        "spec": spec,
    }
