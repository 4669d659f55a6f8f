"""sink: where events are sent as webhooks, made, tried and mended by a client of the host's API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.kinds import EVENT_SINK
from skerry.api.meta import Document
from skerry.cli import output
from skerry.cli.commands.app.given import secret_file
from skerry.cli.commands.clients import ContextName, Kubeconfig, connect, new_object
from skerry.cli.commands.listings import names_of
from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.paths import path_in
from skerry.cli.term import out, program, say

if TYPE_CHECKING:
    from skerry.cli.api import Api

MODES = ("structured", "binary")
sink = typer.Typer(no_args_is_help=True, help="Where events are sent as webhooks. They are listed by: skerry sinks.")


def sink_names(incomplete: str) -> list[str]:
    """For the shell: names of sinks."""
    return names_of(EVENT_SINK, incomplete)


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the sink, from: skerry sinks.", autocompletion=sink_names)
]
DocumentStyle = Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="The whole answer.")]
SecretFile = Annotated[
    str,
    typer.Option(
        "--secret-file", metavar="F|-", help="Sign with this secret (whsec_…); - is stdin. Default: one is made."
    ),
]


@sink.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How it is to be called.")],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="https://… that takes a POST for each event.")],
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="T", help="Only these, such as dev.skerry.cluster.notready or 'dev.skerry.system.*'."
        ),
    ] = None,
    namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", "-n", metavar="NS", help="Only events of objects in this namespace; may be repeated."
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option("--mode", metavar="structured|binary", help="A JSON object, or attributes as headers.")
    ] = "structured",
    insecure: Annotated[bool, typer.Option("--insecure", help="http:// will do, and any certificate.")] = False,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="F", help="Authorities of the receiver, in PEM.")
    ] = None,
    secret: SecretFile = "",
    style: DocumentStyle = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Send events to a URL from now on. stdout: the secret that requests are signed with, once, unless it was given.

    Examples: skerry sink create pager --url https://pager.example.org/hook --type dev.skerry.cluster.notready

    skerry sink create log --url http://127.0.0.1:9000/ --insecure --mode binary
    """
    _check_style(style)
    if mode not in MODES:
        raise Failure(f"--mode {mode}: use one of {', '.join(MODES)}", USAGE)
    given = secret_file(secret, "--secret-file").strip() if secret else ""
    spec: dict[str, Any] = {"url": url, "types": types or [], "namespaces": namespaces or [], "mode": mode}
    if insecure:
        spec["insecure"] = True
    if ca_file is not None:
        spec["caBundle"] = secret_file(str(ca_file), "--ca-file")
    api = connect(kubeconfig, context)
    made = api.post(path_in(EVENT_SINK, ""), new_object(EVENT_SINK, name, **spec))
    say(f"sink {name} created; try it: {program()} sink test {name}")
    answer = _set_secret(api, name, given)
    if style:
        output.document({**made, "status": {**(made.get("status") or {}), **_shown(answer)}}, style)
    elif not given:
        out(str(answer["secret"]))


@sink.command("secret")
def secret(
    name: Name,
    secret: SecretFile = "",
    style: DocumentStyle = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Sign with another secret; for 24 hours with the one before as well. stdout: the secret, once, unless it was given.

    Example: skerry sink secret pager > pager.secret
    """
    _check_style(style)
    given = secret_file(secret, "--secret-file").strip() if secret else ""
    answer = _set_secret(connect(kubeconfig, context), name, given)
    if until := answer.get("previousUntil"):
        say(f"# the secret before signs as well until {until}")
    if style:
        output.document(answer, style)
    elif not given:
        out(str(answer["secret"]))


@sink.command("test")
def try_(name: Name, style: DocumentStyle = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Send a test event now, and print what the receiver answers. Exit 1 unless it takes it.

    Example: skerry sink test pager
    """
    _check_style(style)
    answer = connect(kubeconfig, context).post(
        path_in(EVENT_SINK, "", name, "test"), {"apiVersion": EVENT_SINK.api_version, "kind": "SinkTestRequest"}
    )
    status = int(answer.get("status") or 0)
    if style:
        output.document(answer, style)
    elif 200 <= status < 300:
        out(f"{name}: taken ({answer.get('message')})")
    if not 200 <= status < 300:
        raise Failure(f"the receiver of sink {name} did not take it: {answer.get('message')}", FAILED)


@sink.command("dead")
def dead(name: Name, style: DocumentStyle = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """List the events that were given up: ID, TYPE, SUBJECT, TIME, REASON. They are kept for 14 days.

    Example: skerry sink dead pager -o json
    """
    _check_style(style)
    answer = connect(kubeconfig, context).get(path_in(EVENT_SINK, "", name, "dead"))
    if style:
        output.document(answer, style)
        return
    letters = answer.get("items") or []
    if not letters:
        say(f"sink {name} has given up no event")
        return
    output.columns(["ID", "TYPE", "SUBJECT", "TIME", "REASON"], [_row(each) for each in letters])
    if (more := int(answer.get("count") or 0) - len(letters)) > 0:
        say(f"# and {more} more")


@sink.command("retry")
def retry(
    name: Name,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Of events, from: skerry sink dead NAME. Default: all."),
    ] = None,
    style: DocumentStyle = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Send events again that were given up, for up to another 24 hours. Exit 1 if there is none with such an ID.

    Example: skerry sink retry pager
    """
    _check_style(style)
    body = {"apiVersion": EVENT_SINK.api_version, "kind": "SinkRetry", "ids": ids or []}
    answer = connect(kubeconfig, context).post(path_in(EVENT_SINK, "", name, "retry"), body)
    if style:
        output.document(answer, style)
    else:
        say(f"sink {name}: {answer.get('count', 0)} events are sent again")
    if unknown := answer.get("unknown"):
        raise Failure(
            f"sink {name} gave up no event {', '.join(unknown)}: {program()} sink dead {name} lists them", FAILED
        )


@sink.command("pause")
def pause(name: Name, kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Send nothing for now: events wait, for 7 days at most.

    Example: skerry sink pause pager
    """
    _set_paused(connect(kubeconfig, context), name, paused=True)
    say(f"sink {name} paused; go on: {program()} sink resume {name}")


@sink.command("resume")
def resume(name: Name, kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Send again what waits and what comes.

    Example: skerry sink resume pager
    """
    _set_paused(connect(kubeconfig, context), name, paused=False)
    say(f"sink {name} resumed")


@sink.command("remove")
def remove(name: Name, kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """Send nothing to it any more, and forget its secret and what it gave up.

    Example: skerry sink remove pager
    """
    connect(kubeconfig, context).delete(path_in(EVENT_SINK, "", name))
    say(f"sink {name} removed")


def _set_secret(api: Api, name: str, given: str) -> Document:
    body = {"apiVersion": EVENT_SINK.api_version, "kind": "SinkSecret", **({"secret": given} if given else {})}
    answer = api.put(path_in(EVENT_SINK, "", name, "secret"), body)
    if not given and not answer.get("secret"):
        raise Failure(f"the host set a secret of sink {name} and did not show it: {program()} sink secret {name}")
    return answer


def _set_paused(api: Api, name: str, *, paused: bool) -> None:
    api.patch(path_in(EVENT_SINK, "", name), {"spec": {"paused": paused}})


def _shown(answer: Document) -> Document:
    return {key: answer[key] for key in ("secret",) if key in answer}


def _row(letter: Document) -> list[str]:
    again = " (is sent again)" if letter.get("retrying") else ""
    return [
        *(str(letter.get(key, "")) for key in ("id", "type", "subject", "time")),
        f"{letter.get('reason', '')}{again}",
    ]


def _check_style(style: str) -> None:
    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)
