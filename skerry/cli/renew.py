"""`python -m skerry.cli.renew HOST_DIRECTORY`: renew what ages while a host runs. Called by the supervisor, ends at once.

Service users of the bus, the administrator's token and kubeconfig, the server certificate. Files are replaced atomically;
the processes read them again by themselves.
"""

from __future__ import annotations

import sys
from pathlib import Path

from skerry.cli import bootstrap, state
from skerry.cli.layout import Layout
from skerry.cli.plan import Plan, read_plan
from skerry.errors import SkerryError
from skerry.identity.federation import Authority


def renew(host: Path, plan: Plan) -> list[str]:
    """Renew what is due; returns the names of what was renewed."""
    options = plan.options
    layout = Layout.of(options)
    renewed = bootstrap.renew_credentials(host, Authority.load(bootstrap.keys_of(host, options)))
    if (saved := state.read(host)) is not None:
        bootstrap.renew_certificate(host, saved, layout)
    if bootstrap.renew_admin(host, options.name, layout.api):
        renewed.append("administrator")
    return renewed


def main() -> None:
    """Exit code 0, or 1 with one line on stderr."""
    host = Path(sys.argv[1])
    plan = read_plan(host)
    if plan is None:
        sys.exit(f"{host}/plan.json cannot be read")
    try:
        renewed = renew(host, plan)
    except (SkerryError, OSError) as error:
        sys.exit(f"credentials in {host} could not be renewed: {error}")
    if renewed:
        sys.stderr.write(f"renewed: {', '.join(renewed)}\n")


if __name__ == "__main__":
    main()
