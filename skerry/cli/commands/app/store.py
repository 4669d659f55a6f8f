"""app store: the switch, for everybody to see, and for administrators of the host to turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_STORE
from skerry.api.meta import Document
from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect
from skerry.cli.term import program, say

if TYPE_CHECKING:
    from skerry.cli.api import Api

ANNOTATION = "skerry.dev/app-store"

store = typer.Typer(
    invoke_without_command=True, help="The switch: whether the App Store can be used, on every cluster or on none."
)
MemberOption = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="NAME",
        help="The member's own setting instead, with your rights there. It is shown, and has no other effect.",
        autocompletion=cluster_names,
    ),
]


@store.callback()
def show(
    called: typer.Context,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="Output format.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show whether the App Store can be used, cluster by cluster, and why not.

    Example: skerry app store -o json
    """
    if called.invoked_subcommand:
        return
    from skerry.cli.api import clusters

    output.check_format(style)
    api = connect(kubeconfig, context)
    state = seen(_get(api), clusters(api))
    if style in ("json", "yaml"):
        output.document(state, style)
        return
    rows = [[each["name"], each["setting"], str(each["usable"]).lower(), state["reason"]] for each in state["clusters"]]
    if rows:
        output.columns(["CLUSTER", "OWN SETTING", "USABLE", "WHY"], rows)
    say(state["message"])
    if not state["helm"]["version"]:
        say(f"nothing can be installed: {state['helm']['message']}")


def seen(document: Document, clusters: list[Document]) -> Document:
    """What is shown of AppStore host and the Clusters. Pure."""
    usable, helm = condition_of(document, "Usable"), condition_of(document, "HelmReady")
    engine = (document.get("status") or {}).get("helm") or {}
    return {
        "enabled": document["spec"].get("enabled") is True,
        "usable": usable.status == "True",
        "reason": usable.reason,
        "message": usable.message,
        "helm": {
            "engine": engine.get("engine", ""),
            "version": engine.get("version", ""),
            "jail": engine.get("walls", []),
            "message": helm.message,
        },
        "clusters": [
            {
                "name": each["metadata"]["name"],
                "setting": ((each.get("status") or {}).get("appStore") or {}).get("setting", "Unset"),
                "usable": usable.status == "True",
                "reason": usable.reason,
            }
            for each in clusters
            if (each.get("spec") or {}).get("role") != "host"
        ],
    }


def in_one_line(state: Document) -> str:
    """The same for `skerry status`: whether it can be used, by which Helm, behind which walls. Pure."""
    helm = state["helm"]
    if not helm["version"]:
        return f"{state['reason']}, nothing can be installed: {helm['message']}"
    walls = ", ".join(helm["jail"]) or "no walls"
    return f"{state['reason']}, helm {helm['version']} ({helm['engine']}) behind {walls}"


@store.command("enable")
def enable(cluster: MemberOption = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Make the App Store usable, on every cluster.

    Example: skerry app store enable
    """
    _turn(connect(kubeconfig, context), cluster, True)


@store.command("disable")
def disable(cluster: MemberOption = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Make it usable on no cluster. What runs goes on, and can be uninstalled.

    Example: skerry app store disable
    """
    _turn(connect(kubeconfig, context), cluster, False)


def _turn(api: Api, cluster: str, enabled: bool) -> None:
    from skerry.cli.paths import path_in, quoted

    word = "enabled" if enabled else "disabled"
    if cluster:
        change: dict[str, Any] = {"metadata": {"annotations": {ANNOTATION: word}}}
        api.patch(f"/clusters/{quoted(cluster)}/api/v1/namespaces/kube-system", change)
        say(f"cluster {cluster} says {word} itself: the host's own switch counts ({program()} app store)")
        return
    api.patch(path_in(APP_STORE, "", STORE), {"spec": {"enabled": enabled}})
    say(f"the App Store is {word}" + ("" if enabled else ": what runs goes on, and can be uninstalled"))


def _get(api: Api) -> Document:
    from skerry.cli.paths import path_in

    return api.get(path_in(APP_STORE, "", STORE))
