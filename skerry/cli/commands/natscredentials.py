"""nats-credential: a look at the host's bus with the `nats` tool, made, listed and revoked by a client of the host's API."""

from __future__ import annotations

import json
import os
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from skerry.api.kinds import INSPECTION_CREDENTIAL
from skerry.cli import listing
from skerry.cli.commands.clients import ContextName, Kubeconfig, Style, connect, new_object
from skerry.cli.commands.listings import names_of
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out, program, say, seconds

DESCRIPTION = "made by skerry"
"""Of contexts that may be written over."""
_CONTEXT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}\Z")

nats_credential = typer.Typer(
    no_args_is_help=True,
    help="Credentials for the nats tool: they see services, objects and Events, and change nothing.",
)


def credential_names(incomplete: str) -> list[str]:
    """For the shell: names of inspection credentials."""
    return names_of(INSPECTION_CREDENTIAL, incomplete)


@nats_credential.command("create")
def create(
    ttl: Annotated[str, typer.Option(metavar="DURATION", help="How long it is valid, at most 24h.")] = "8h",
    save: Annotated[
        str,
        typer.Option(metavar="CONTEXT", help="Write a context of this name for the nats tool, instead of the secret."),
    ] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Make a credential for the nats tool. stdout: the .creds alone; stderr: the line that makes a context of it.

    Examples: skerry nats-credential create --save skerry && nats --context skerry micro ls

    skerry nats-credential create --ttl 1h > look.creds
    """
    from skerry.cli.api import path_of

    if save and not _CONTEXT.match(save):
        raise Failure(f"--save {save}: use letters, digits, -, _ and . for the name of a context", USAGE)
    seconds(ttl)
    directory = _directory()
    if save:
        _check_free(directory, save)
    answer = connect(kubeconfig, context).post(
        path_of(INSPECTION_CREDENTIAL.plural), new_object(INSPECTION_CREDENTIAL, "", ttl=ttl)
    )
    name, status = answer["metadata"]["name"], answer.get("status", {})
    if not status.get("creds"):
        raise Failure(f"the host made inspection credential {name} and did not show it: make another one")
    say(f"# until {status.get('expires')}; revoke: {program()} nats-credential revoke {name}")
    if save:
        _save(directory, save, status)
        say(f"nats --context {save} micro ls")
        return
    say(f"cat > skerry-bus.crt <<'EOF'\n{status['ca'].strip()}\nEOF")
    say(
        f"nats context add skerry --server {shlex.quote(','.join(status['servers']))} --creds FILE --tlsca skerry-bus.crt "
        f"--inbox-prefix {status['inboxPrefix']}"
    )
    out(status["creds"].rstrip("\n"))


@nats_credential.command("list")
def list_(style: Style = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """List inspection credentials, without their secrets; those whose time is over, for an hour.

    Example: skerry nats-credential list -o json
    """
    listing.show(partial(connect, kubeconfig, context), INSPECTION_CREDENTIAL, style)


@nats_credential.command("revoke")
def revoke(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the credential, from: skerry nats-credential list.", autocompletion=credential_names
        ),
    ],
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Revoke a credential: the bus cuts who uses it.

    Example: skerry nats-credential revoke inspection-4f21aa07
    """
    from skerry.cli.api import path_of

    connect(kubeconfig, context).delete(path_of(INSPECTION_CREDENTIAL.plural, name))
    say(f"inspection credential {name} revoked")


def _directory() -> Path:
    """Where the nats tool keeps its contexts."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "nats"


def _context_file(directory: Path, name: str) -> Path:
    return directory / "context" / f"{name}.json"


def _check_free(directory: Path, name: str) -> None:
    """Failure if there is a context of that name which somebody else made."""
    path = _context_file(directory, name)
    if not path.exists():
        return
    try:
        ours = str(json.loads(path.read_bytes()).get("description", "")).startswith(DESCRIPTION)
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise Failure(f"{path} is a context that skerry did not make: use another name, or take it away first")


def _save(directory: Path, name: str, status: dict[str, Any]) -> None:
    """Write context, credential and CA, each 0600."""
    from skerry.identity.files import write_private

    creds, ca = directory / "skerry" / f"{name}.creds", directory / "skerry" / f"{name}.crt"
    write_private(creds, status["creds"].encode())
    write_private(ca, status["ca"].encode())
    document = {
        "description": f"{DESCRIPTION}, until {status['expires']}",
        "url": ",".join(status["servers"]),
        "creds": str(creds),
        "ca": str(ca),
        "inbox_prefix": status["inboxPrefix"],
    }
    write_private(_context_file(directory, name), json.dumps(document, indent=2).encode() + b"\n")
    say(f"# context {name}: {_context_file(directory, name)}")
