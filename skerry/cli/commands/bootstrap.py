"""bootstrap: the keys of a host in pods, made once, and what follows from them, renewed as it ages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from skerry.cli.term import out

if TYPE_CHECKING:
    from skerry.cli.incluster.derived import HostNames

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def bootstrap(
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Of the host. Default: the pod's own.")] = "",
    name: Annotated[str, typer.Option(help="Name of the host, for people.")] = "skerry",
    address: Annotated[
        list[str] | None, typer.Option(help="Name or IP address of the host from outside; the first is preferred.")
    ] = None,
    keys_secret: Annotated[
        str, typer.Option(metavar="NAME", help="Use the keys in this Secret, which somebody else made.")
    ] = "",
    kubeconfig: Annotated[str, typer.Option(metavar="FILE", help="Default: as the pod that this runs in.")] = "",
    context: Annotated[str, typer.Option(help="Context in the kubeconfig.")] = "",
) -> None:
    """Make or renew the Secrets of a host in pods. Run again it changes nothing while they are good.

    Example: skerry bootstrap -n skerry-system --address host.example --kubeconfig admin.conf
    """
    from skerry.cli.incluster.derived import HostNames

    namespace = namespace or (NAMESPACE.read_text().strip() if NAMESPACE.exists() else "skerry-system")
    names = HostNames(name=name, namespace=namespace, addresses=tuple(address or ()))
    for line in asyncio.run(_run(names, keys_secret, kubeconfig, context)):
        out(line)


async def _run(names: HostNames, keys_secret: str, kubeconfig: str, context: str) -> list[str]:
    from skerry.cli.incluster.derived import derivations, refresh
    from skerry.cli.incluster.keys import claimed
    from skerry.cli.incluster.secrets import connected

    async with connected(names.namespace, kubeconfig, context) as secrets:
        files = await claimed(secrets, names.name, keys_secret)
        with TemporaryDirectory(prefix="skerry-bootstrap-") as directory:
            derived = derivations(files, Path(directory), names)
            return [f"{each} was written" for each, derive in derived.items() if await refresh(secrets, each, derive)]
