"""skerry audit: records of requests, by whom, where and what they were about; and one of them, explained."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct, convert, field

from skerry.audit import event
from skerry.audit.event import micro_time
from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect
from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.paths import query
from skerry.cli.term import out, say, seconds

PATH = "/audit"
HEAD = ("TIME", "USER", "CLUSTER", "VERB", "RESOURCE", "NAME", "CODE", "MS", "FROM")
WIDE = (*HEAD, "NAMESPACE", "GRANT", "AGENT", "ID")
PAGE = 200
"""Rows that are aligned together."""


def records(
    context_: typer.Context,
    user: Annotated[str, typer.Option(metavar="U", help="Of this user.")] = "",
    cluster: Annotated[str, typer.Option(metavar="C", help="To this cluster.", autocompletion=cluster_names)] = "",
    verb: Annotated[str, typer.Option(metavar="V", help="get, list, watch, create, update, patch, delete …")] = "",
    resource: Annotated[str, typer.Option(metavar="R", help="pods, deployments, pods/exec …")] = "",
    namespace: Annotated[str, typer.Option("-n", "--namespace", metavar="NS", help="In this namespace.")] = "",
    name: Annotated[str, typer.Option(metavar="N", help="About the object of this name.")] = "",
    code: Annotated[str, typer.Option(metavar="CODE", help="Answered with this status: 403, or 4xx.")] = "",
    since: Annotated[str, typer.Option(metavar="T", help="From so long ago, or a time.")] = "1h",
    until: Annotated[str, typer.Option(metavar="T", help="Up to so long ago, or a time.")] = "",
    following: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is recorded from now on.")] = False,
    explain: Annotated[str, typer.Option(metavar="ID", help="One request, by its Audit-ID: what allowed it.")] = "",
    style: Annotated[str, typer.Option("-o", "--output", metavar="wide|json", help="Output format.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Who did what through this host: the records of requests.

    Examples: skerry audit --user alice --since 8h

    skerry audit --cluster m1 --verb delete -n shop --code 2xx -o wide

    skerry audit --resource pods/exec --since 2026-11-28T08:00:00Z -o json
    """
    if context_.invoked_subcommand is not None:
        return
    if style not in ("", "wide", "json"):
        raise Failure(f"-o {style}: use wide or json", USAGE)
    if explain:
        _explain(kubeconfig, context, explain)
        return
    asked = {
        "user": user, "cluster": cluster, "verb": verb, "resource": resource, "namespace": namespace, "name": name, "code": code,
        "since": moment(since, "--since"), "until": moment(until, "--until"), "follow": "true" if following else "",
    }  # fmt: skip
    found = asked_of(kubeconfig, context, **asked)
    if style == "json" and not following:
        output.document({"kind": "EventList", "apiVersion": event.API_VERSION, "items": list(found)}, "json")
    elif style == "json":
        for record in found:
            out(json.dumps(record))
    else:
        _table(found, wide=style == "wide", following=following)


def moment(text: str, option: str) -> str:
    """A time: RFC 3339, or so long ago. Failure (usage) with examples."""
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return micro_time((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    try:
        return micro_time(time.time() - seconds(text))
    except Failure as error:
        raise Failure(f"{option} {text}: use for example 30m, 8h, 7d, or 2026-11-28T08:00:00Z", USAGE) from error


def asked_of(kubeconfig: Path | None, context: str, **asked: str) -> Iterator[dict[str, Any]]:
    """The records that the host has for these parameters of `/audit`; what is empty is not asked."""
    for line in connect(kubeconfig, context).lines(
        query(PATH, **asked), quiet_s=None if asked.get("follow") else 150.0
    ):
        yield json.loads(line)


class _User(Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()


class _About(Struct, frozen=True):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Answer(Struct, frozen=True):
    code: int = 0
    reason: str = ""
    message: str = ""


class ShownRecord(Struct, frozen=True, rename="camel"):
    """The part of a record that people are shown."""

    stage: str = ""
    verb: str = ""
    audit_id: str = field(name="auditID", default="")
    request_uri: str = field(name="requestURI", default="")
    user: _User = _User()
    impersonated_user: _User = _User()
    source_ips: tuple[str, ...] = field(name="sourceIPs", default=())
    user_agent: str = ""
    object_ref: _About = _About()
    response_status: _Answer = _Answer()
    request_received_timestamp: str = ""
    stage_timestamp: str = ""
    annotations: dict[str, str] = {}

    @property
    def resource(self) -> str:
        """What it is about, or else the path."""
        about = self.object_ref
        named = f"{about.resource}/{about.subresource}" if about.subresource else about.resource
        return named or self.request_uri[:60]

    @property
    def code(self) -> str:
        """How it ended, and how often if it stands for many."""
        code = self.annotations.get(event.ENDED) or str(self.response_status.code or "")
        return f"{code} ×{self.annotations[event.COUNT]}" if event.COUNT in self.annotations else code

    @property
    def ms(self) -> str:
        """How long it took; of one that goes on that it does."""
        return self.annotations.get(event.MS, "" if self.stage == "ResponseComplete" else "…")


def row(record: dict[str, Any], *, wide: bool) -> list[str]:
    """The cells of a record."""
    shown = convert(record, ShownRecord)
    notes, about = shown.annotations, shown.object_ref
    time_ = shown.stage_timestamp[:19].replace("T", " ")
    cells = [
        time_, shown.user.username, notes.get(event.CLUSTER, ""), shown.verb, shown.resource, about.name, shown.code, shown.ms,
        ",".join(shown.source_ips),
    ]  # fmt: skip
    if wide:
        cells += [about.namespace, notes.get(event.REASON, ""), shown.user_agent, shown.audit_id]
    return [cell or "-" for cell in cells]


def _table(found: Iterator[dict[str, Any]], *, wide: bool, following: bool) -> None:
    head, widths, some = list(WIDE if wide else HEAD), list[int](), False
    page: list[list[str]] = []
    for record in found:
        page.append(row(record, wide=wide))
        if following or len(page) >= PAGE:
            widths = output.columns(head, page, widths=widths, head=not some)
            some, page = True, []
    if page:
        output.columns(head, page, widths=widths, head=not some)
    elif not some:
        say("No records: look further back with --since, or ask for less.")


def _explain(kubeconfig: Path | None, context: str, id_: str) -> None:
    """One request: who, what allowed it, what came of it, and where the member has it."""
    found = list(asked_of(kubeconfig, context, id=id_))
    if not found:
        raise Failure(
            f"no request {id_} in the audit log: it may be older than what is kept, or its policy leaves it out", FAILED
        )
    shown = convert(found[-1], ShownRecord)
    told = _told(shown)
    width = max(len(name) for name in told)
    for name, text in told.items():
        if text:
            out(f"{name.ljust(width)}  {text}")
    cluster, seen = shown.annotations.get(event.CLUSTER, ""), shown.impersonated_user.username
    if cluster and seen:
        out(f"on {cluster}: its own audit log has auditID {id_}, impersonatedUser.username {seen}")


def _told(shown: ShownRecord) -> dict[str, str]:
    notes, status = shown.annotations, shown.response_status
    return {
        "request": f"{shown.verb} {shown.request_uri}",
        "cluster": notes.get(event.CLUSTER, "the host itself"),
        "user": f"{shown.user.username} ({', '.join(shown.user.groups)})",
        "from": f"{', '.join(shown.source_ips)} {shown.user_agent}".strip(),
        "credential": notes.get(event.CREDENTIAL, ""),
        "decision": notes.get(event.DECISION, "none was made"),
        "allowed by": notes.get(event.REASON, ""),
        "carried on by": notes.get(event.VIA, ""),
        "answer": f"{status.code} {status.reason} {notes.get(event.ENDED, '')}".strip(),
        "message": status.message,
        "began": shown.request_received_timestamp,
        "took": f"{notes[event.MS]} ms" if event.MS in notes else "it goes on",
        "bytes": f"{notes.get(event.RECEIVED, '?')} in, {notes.get(event.SENT, '?')} out",
    }
