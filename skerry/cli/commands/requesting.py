"""request: ask for access for a while, and decide on what others ask for."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.accessrequests import APPROVED, PENDING
from skerry.api.kinds import ACCESS_REQUEST
from skerry.api.meta import Document
from skerry.cli import listing, placing
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect, new_object
from skerry.cli.commands.granting import Clusters, Namespaces, Role, Selector, positive, what
from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.term import out, program, progress, say, seconds

if TYPE_CHECKING:
    from skerry.cli.api import Api

POLL_S = 0.5

request = typer.Typer(no_args_is_help=True, help="Access for a while: ask for it, approve, deny and end it.")


def requests(incomplete: str) -> list[str]:
    """For the shell: names of requests."""
    from skerry.cli.commands.listings import names_of

    return names_of(ACCESS_REQUEST, incomplete)


RequestName = Annotated[
    str, typer.Argument(help="Name of the request, from: skerry requests.", autocompletion=requests)
]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="It stands in the request and its events.")]
ForOption = Annotated[str, typer.Option("--for", metavar="DURATION", help="For so long from the approval, such as 2h.")]


@request.command("create")
def create(
    role: Role,
    cluster: Clusters = None,
    selector: Selector = "",
    namespace: Namespaces = None,
    for_: ForOption = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for who decides.")] = "",
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="Wait so long for approval. Default: not at all.")
    ] = "0s",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Ask for access for a while. stdout: the request's name alone.

    Who could give it may approve it, and time runs from then. What you asked for already is not asked again. Exit 5: nobody
    approved within --wait, and the request goes on waiting; exit 1: it was denied.

    Example: skerry request create edit --cluster m1 -n shop --for 2h --reason "INC-4711" --wait 10m
    """
    from skerry.cli.api import path_of

    wait_s = seconds(wait)
    spec: dict[str, Any] = {**what(role, cluster, selector, namespace), "reason": reason}
    if for_:
        spec["duration"] = duration(for_)
    body = new_object(ACCESS_REQUEST, "", **spec)
    body["metadata"] = {"generateName": "req-"}
    api = connect(kubeconfig, context)
    document = api.post(path_of(ACCESS_REQUEST.plural), body)
    name = _print(document)
    until = time.monotonic() + wait_s
    if wait_s:
        document = _decided(api, document, until)
    status = document["status"]
    if status["state"] == APPROVED:
        say(_approved(document))
        placing.await_place(api, status.get("grant") or name, max(until - time.monotonic(), seconds(placing.WAIT)))
    elif status["state"] == PENDING and wait_s:
        raise Failure(f"nobody approved request {name} within {wait}: it waits until {status['ends']}", TIMED_OUT)
    elif status["state"] == PENDING:
        say(f"waits for approval until {status['ends']}: {program()} request approve {name}")
    else:
        raise Failure(f"request {name} is {status['state']}: {status.get('message', '')}")


@request.command("list")
def list_(
    style: Style = "",
    watch: Annotated[bool, typer.Option("-w", "--watch", help="After listing, follow changes.")] = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List requests: your own, and those that you may decide on.

    Example: skerry request list -w
    """
    listing.show(partial(connect, kubeconfig, context), ACCESS_REQUEST, style, watch=watch)


@request.command("approve")
def approve(
    name: RequestName,
    for_: ForOption = "",
    comment: Comment = "",
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait until it is in place.")
    ] = placing.WAIT,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Approve a request: what was asked for is given from now on, for as long as was asked or --for says.

    Exit 5: it is approved, and not in place after --wait on some cluster that can be reached.

    Example: skerry request approve req-x7k2p --for 1h --comment "call me when you are done"
    """
    wait_s = seconds(wait)
    api = connect(kubeconfig, context)
    body = {"duration": duration(for_)} if for_ else {}
    document = _decide(api, name, "approve", "AccessRequestApproval", **body, comment=comment)
    _print(document)
    status = document["status"]
    if status["state"] != APPROVED:
        say(status.get("message") or status["state"])
        return
    say(_approved(document))
    placing.await_place(api, status.get("grant") or name, wait_s)


@request.command("deny")
def deny(name: RequestName, comment: Comment = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Deny a request.

    Example: skerry request deny req-x7k2p --comment "view is enough for that"
    """
    _decide(connect(kubeconfig, context), name, "deny", "AccessRequestDecision", comment=comment)
    say(f"request {name} denied")


@request.command("end")
def end(name: RequestName, comment: Comment = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """End a request before its time: what it gave ends within a second; one that waits is taken back.

    Example: skerry request end req-x7k2p
    """
    _decide(connect(kubeconfig, context), name, "end", "AccessRequestDecision", comment=comment)
    say(f"request {name} ended")


def duration(for_: str) -> str:
    """The value of --for as specs have durations. Failure (usage)."""
    return f"{max(1, round(positive(for_)))}s"


def _decide(api: Api, name: str, how: str, kind: str, **body: str) -> Document:
    from skerry.cli.api import path_of

    document = {"apiVersion": ACCESS_REQUEST.api_version, "kind": kind, **body}
    return api.post(f"{path_of(ACCESS_REQUEST.plural, name)}/{how}", document)


def _decided(api: Api, document: Document, until: float) -> Document:
    """The request when somebody has decided, or at `until`, by the monotonic clock."""
    from skerry.cli.api import path_of

    path = path_of(ACCESS_REQUEST.plural, document["metadata"]["name"])
    with progress() as line:
        while document["status"]["state"] == PENDING and time.monotonic() < until:
            line.show(f"{document['metadata']['name']} {document['status'].get('message') or 'waits for approval'}")
            time.sleep(min(POLL_S, max(0.0, until - time.monotonic())))
            document = api.get(path)
    return document


def _approved(document: Document) -> str:
    status = document["status"]
    by = ", ".join(str(each["by"]) for each in status.get("approvals") or ())
    return f"approved by {by} until {status['ends']}"


def _print(document: Document) -> str:
    name = str(document["metadata"]["name"])
    out(f"{ACCESS_REQUEST.singular}.{ACCESS_REQUEST.group}/{name}")
    return name
