"""One round of the bootstrap: the keys, the addresses that are known by now, what follows from both, and who is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from skerry.bus import Settings
from skerry.cli.incluster.derived import HostNames, derivations, refresh
from skerry.cli.incluster.keys import REGISTRY_FILES, claimed, lay
from skerry.cli.incluster.reloading import told
from skerry.cli.incluster.secrets import Secrets
from skerry.identity.federation import Authority

MANAGER = "skerry-controller-manager"
FRONT_DOOR, BUS = "skerry", "skerry-bus"
"""Services, which a load balancer may give an address."""


class Round(NamedTuple):
    """What came of one."""

    lines: list[str]
    """What was done, for people."""
    owed: list[str]
    """Services that have no address of their load balancer yet."""
    files: Mapping[str, Mapping[str, bytes]]
    """What the controller-manager needs, by directory."""

    def lay(self, into: Path) -> None:
        """Write the files below `into`, those that are others there, for their owner alone."""
        for directory, files in self.files.items():
            changed = {name: data for name, data in files.items() if _content(into / directory / name) != data}
            lay(changed, into / directory)


async def make(secrets: Secrets, names: HostNames, directory: Path, *, bus: str = "", keys_secret: str = "") -> Round:
    """Make or renew everything. `directory` is empty and private; `bus` is where the host's own servers are reached, empty where
    they are somebody else's. As `claimed` and Secrets raise."""
    files = await claimed(secrets, names.name, keys_secret)
    addresses = {FRONT_DOOR: names.addresses, BUS: names.bus_addresses}
    balanced = {service: await secrets.balanced(service) for service, known in addresses.items() if not known}
    names = dataclasses.replace(
        names,
        addresses=names.addresses or balanced[FRONT_DOOR] or (),
        bus_addresses=names.bus_addresses or balanced[BUS] or (),
    )
    derived = derivations(files, directory, names)
    lines = [f"{each} was written" for each, derive in derived.items() if await refresh(secrets, each, derive)]
    served = await secrets.get("skerry-nats")
    if bus and served is not None:
        settings = Settings(servers=(bus,), ca_pem=files["ca.crt"].decode(), name="skerry bootstrap")
        lines.append(await told(settings, Authority.load(directory), served.files["tls.crt"]))
    own = await secrets.get(MANAGER)
    laid = {"own": {} if own is None else own.files}
    if "registry" not in names.standalone:
        laid["keys"] = {name: files[name] for name in REGISTRY_FILES}
    owed = [service for service, given in balanced.items() if given == ()]
    return Round([line for line in lines if line], owed, laid)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
