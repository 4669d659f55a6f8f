"""`helm test`: is the front door ready, and can the host make a join token? `python -m skerry.cli.incluster.selftest URL DIRECTORY`,
where DIRECTORY holds the administrator's `token` and `ca.crt`."""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path

from skerry.api.kinds import JOIN_TOKEN
from skerry.api.meta import Document
from skerry.cli.api import Api, path_of
from skerry.cli.kubeconfig import KubeContext
from skerry.cli.term import out
from skerry.errors import SkerryError


def probe(api: Api) -> None:
    """Ask /readyz, make a JoinToken and remove it. StatusError, Failure."""
    api.fetch("/readyz")
    out("the front door is ready")
    name = f"helm-test-{secrets.token_hex(3)}"
    body: Document = {
        "apiVersion": JOIN_TOKEN.api_version,
        "kind": JOIN_TOKEN.kind,
        "metadata": {"name": name},
        "spec": {"clusterName": name, "ttl": "1m"},
    }
    api.post(path_of(JOIN_TOKEN.plural), body)
    api.delete(f"{path_of(JOIN_TOKEN.plural)}/{name}")
    out(f"join token {name} was made and removed")


def client(url: str, directory: Path) -> Api:
    """The administrator at this address. OSError: a file cannot be read."""
    authority = base64.b64encode((directory / "ca.crt").read_bytes()).decode()
    user = {"token": (directory / "token").read_text().strip()}
    return Api(KubeContext("helm test", {"server": url, "certificate-authority-data": authority}, user, directory))


def main() -> None:
    """Exit code 0, or 1 with one line on stderr."""
    url, directory = sys.argv[1:]
    try:
        probe(client(url, Path(directory)))
    except (SkerryError, OSError) as error:
        sys.exit(f"helm test: {error}")


if __name__ == "__main__":
    main()
