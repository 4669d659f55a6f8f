"""bootstrap: the keys of a host in pods, made once, and what follows from them, renewed as it ages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from skerry.cli.failure import TIMED_OUT, USAGE, Failure
from skerry.cli.term import out

if TYPE_CHECKING:
    from skerry.cli.incluster.derived import HostNames
    from skerry.cli.incluster.round import Round

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def bootstrap(
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Of the host. Default: the pod's own.")] = "",
    name: Annotated[str, typer.Option(help="Name of the host, for people.")] = "skerry",
    address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Name or IP address of the host from outside; the first is preferred. Default: what a load balancer gave to "
            "Service skerry.",
        ),
    ] = None,
    bus_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]", help="The same of the bus, as members dial it. Default: that of Service skerry-bus."
        ),
    ] = None,
    bus: Annotated[
        str,
        typer.Option(metavar="tls://HOST:PORT", help="Of the host's own bus, whose servers take renewed certificates."),
    ] = "",
    standalone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE", help="With a Deployment of its own: registry, tenancy, appstore, events, audit."
        ),
    ] = None,
    foreign_certificate: Annotated[
        bool,
        typer.Option(
            "--foreign-certificate",
            help="The front door shows a certificate of another authority under its addresses: the administrator's kubeconfig asks for "
            "a name that has the host's own.",
        ),
    ] = False,
    keys_secret: Annotated[
        str, typer.Option(metavar="NAME", help="Use the keys in this Secret, which somebody else made.")
    ] = "",
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Lay there what the controller-manager needs: own/, and keys/ for the registry."
        ),
    ] = None,
    addressed: Annotated[
        bool, typer.Option("--addressed", help="Exit code 5 as long as a load balancer owes an address.")
    ] = False,
    kubeconfig: Annotated[str, typer.Option(metavar="FILE", help="Default: as the pod that this runs in.")] = "",
    context: Annotated[str, typer.Option(help="Context in the kubeconfig.")] = "",
) -> None:
    """Make or renew the Secrets of a host in pods. Run again it changes nothing while they are good.

    Example: skerry bootstrap -n skerry-system --address host.example --kubeconfig admin.conf
    """
    from skerry.cli.incluster.derived import SERVICES, HostNames

    if unknown := set(standalone or ()) - set(SERVICES):
        raise Failure(f"--standalone {min(unknown)}: it is one of {', '.join(SERVICES)}", USAGE)
    names = HostNames(
        name=name,
        namespace=namespace or (NAMESPACE.read_text().strip() if NAMESPACE.exists() else "skerry-system"),
        addresses=tuple(address or ()),
        bus_addresses=tuple(bus_address or ()),
        standalone=tuple(standalone or ()),
        foreign_certificate=foreign_certificate,
    )
    done = asyncio.run(_run(names, bus, keys_secret, kubeconfig, context))
    if into is not None:
        done.lay(into)
    for line in done.lines:
        out(line)
    if addressed and done.owed:
        raise Failure(f"no load balancer has given an address yet to Service {', '.join(done.owed)}", TIMED_OUT)


async def _run(names: HostNames, bus: str, keys_secret: str, kubeconfig: str, context: str) -> Round:
    from skerry.cli.incluster.round import make
    from skerry.cli.incluster.secrets import connected

    async with connected(names.namespace, kubeconfig, context) as secrets:
        with TemporaryDirectory(prefix="skerry-bootstrap-") as directory:
            return await make(secrets, names, Path(directory), bus=bus, keys_secret=keys_secret)
