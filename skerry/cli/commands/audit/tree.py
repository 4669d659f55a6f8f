"""skerry audit: the command itself lists records; what is done with the whole log stands below it."""

from __future__ import annotations

import typer

from skerry.cli.commands.audit import listing, sessions, verifying

audit = typer.Typer(
    invoke_without_command=True, help="Who did what through this host, and whether the record of it is whole."
)
audit.callback(invoke_without_command=True)(listing.records)
for command in (verifying.verify, verifying.anchor, verifying.export, sessions.sessions, sessions.play):
    audit.command(command.__name__)(command)
