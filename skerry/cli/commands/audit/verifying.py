"""skerry audit verify and export: the whole log, carried away, and whether it is whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from skerry.api.decode import decoded
from skerry.audit.export import AuditAnchor, ExportedBatch, ExportHead, anchor_of
from skerry.audit.verify import Verification, WriterReport
from skerry.cli import output
from skerry.cli.commands.audit.listing import moment
from skerry.cli.commands.clients import ContextName, Kubeconfig, connect
from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.paths import query
from skerry.cli.term import out, progress, say
from skerry.identity.assertion import check_record

PATH = "/audit/batches"
HEAD = ("WRITER", "FIRST", "LAST", "RECORDS", "GAPS", "STATE")
_SINCE = Annotated[str, typer.Option(metavar="T", help="From so long ago, or a time. Default: all that is kept.")]


def verify(
    since: _SINCE = "",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="EXPORT", help="An export, instead of what the host has.")
    ] = None,
    anchor_file: Annotated[
        Path | None,
        typer.Option(
            "--anchor",
            metavar="FILE",
            help="What was there at a time, from: skerry audit anchor, or events of anchors.",
        ),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A trust root that is believed, instead of what the log says of itself."),
    ] = None,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json", help="Output format.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Say of each writer's log whether it is whole. Exit code 1 if one is broken, or behind an anchor.

    Examples: skerry audit verify

    skerry audit verify --file audit.jsonl --root AB7Q…

    skerry audit verify --anchor anchor.json
    """
    if style not in ("", "json"):
        raise Failure(f"-o {style}: use json", USAGE)
    if since and (file is not None or anchor_file is not None):
        raise Failure(
            "--since is for what the host has: an export, and what an anchor tells, are verified as a whole", USAGE
        )
    lines = _of_file(file) if file is not None else _of_host(kubeconfig, context, since)
    pinned = None if anchor_file is None else _anchor_of(anchor_file)
    _, verification = read(lines, tuple(root or ()), str(file or "the host"), partial=bool(since), anchor=pinned)
    _show(verification.reports(time.time()), style)


def _show(reports: list[WriterReport], style: str) -> None:
    """Failure if a log is not whole."""
    if style:
        output.document([_told(each) for each in reports], style)
    elif reports:
        rows = [
            [each.writer, str(each.first), str(each.last), str(each.records), str(each.gaps), each.state]
            for each in reports
        ]
        output.columns(list(HEAD), rows)
    bad = [each.writer for each in reports if not each.trusted]
    if bad:
        raise Failure(f"the audit log is not whole: {', '.join(bad)}", FAILED)
    if not reports:
        say("There are no records.")


def anchor(
    file: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: stdout.")] = None,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Write down where each writer's log ends, after verifying all of them. Keep it where the host's administrators cannot write:
    with it `verify` tells a log that was cut, removed or written anew from one whose process was killed.

    Example: skerry audit anchor -o anchor-$(date +%F).json
    """
    head, verification = read(_of_host(kubeconfig, context, ""), (), "the host")
    bad = [each.writer for each in verification.reports(time.time()) if not each.trusted]
    if bad:
        raise Failure(f"the audit log is not whole, so there is nothing to anchor: {', '.join(bad)}", FAILED)
    made = AuditAnchor(host=head.host, roots=head.roots, at=head.at, heads=tuple(verification.heads()))
    text = msgspec.json.format(msgspec.json.encode(made)) + b"\n"
    if file is None:
        out(text.decode().rstrip("\n"))
        return
    file.write_bytes(text)
    say(f"{file}: {len(made.heads)} logs at {made.at}; later: skerry audit verify --anchor {file}")


def export(
    since: _SINCE = "",
    file: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: stdout.")] = None,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Write the log as it is stored, hashes and signatures included: JSON lines that `verify --file` reads.

    Example: skerry audit export -o audit.jsonl
    """
    lines = _of_host(kubeconfig, context, since)
    if file is None:
        for line in lines:
            out(line.decode().rstrip("\n"))
        return
    count = 0
    with file.open("wb") as target, progress() as display:
        for line in lines:
            target.write(line if line.endswith(b"\n") else line + b"\n")
            count += 1
            display.show(f"{count} batches")
    say(f"{file}: {max(count - 1, 0)} batches; verify it with: skerry audit verify --file {file}")


def read(
    lines: Iterable[bytes],
    roots: tuple[str, ...],
    where: str,
    *,
    partial: bool = False,
    anchor: AuditAnchor | None = None,
) -> tuple[ExportHead, Verification]:
    """An export, verified. Failure if it is none, or of another host than the anchor. `partial`: it begins somewhere."""
    source = iter(lines)
    try:
        head = decoded(next(source, b""), ExportHead)
        if anchor is not None and anchor.host != head.host:
            raise Failure(f"the anchor is of host {anchor.host}, and {where} gave the log of host {head.host}", FAILED)
        believed = roots or (anchor.roots if anchor is not None and anchor.roots else head.roots)
        verification = Verification(
            lambda text: check_record(believed, text, 0.0),
            first_sequence=head.first + partial,
            anchored=() if anchor is None else anchor.heads,
        )
        with progress() as display:
            for count, line in enumerate(source):
                verification.take(decoded(line, ExportedBatch).stored_batch())
                if count % 1000 == 0:
                    display.show(f"{count} batches")
    except msgspec.DecodeError as error:
        raise Failure(f"{where} gave no export of an audit log: {error}", FAILED) from error
    return head, verification


def _anchor_of(file: Path) -> AuditAnchor:
    try:
        return anchor_of(file.read_bytes())
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", FAILED) from error
    except (ValueError, msgspec.DecodeError) as error:
        raise Failure(f"{file} is no anchor of an audit log: {error}", FAILED) from error


def _of_host(kubeconfig: Path | None, context: str, since: str) -> Iterator[bytes]:
    return connect(kubeconfig, context).lines(query(PATH, since=moment(since, "--since")))


def _of_file(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as source:
            yield from source
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", FAILED) from error


def _told(report: WriterReport) -> dict[str, object]:
    fields = ("writer", "first", "last", "records", "gaps", "state", "since", "until")
    return {name: getattr(report, name) for name in fields}
