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
from skerry.errors import NotFound
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
    names, owed = await _addressed(secrets, names)
    derived = derivations(files, directory, names)
    lines = [f"{each} was written" for each, derive in derived.items() if await refresh(secrets, each, derive)]
    if bus:
        settings = Settings(servers=(bus,), ca_pem=files["ca.crt"].decode(), name="skerry bootstrap")
        served = await _files(secrets, "skerry-nats")
        lines += await told(settings, Authority.load(directory), served["tls.crt"])
    laid = {"own": await _files(secrets, MANAGER)}
    if "registry" not in names.standalone:
        laid["keys"] = {name: files[name] for name in REGISTRY_FILES}
    return Round(lines, owed, laid)


async def _addressed(secrets: Secrets, names: HostNames) -> tuple[HostNames, list[str]]:
    """With the addresses that load balancers gave, where none are set; and which Services have none from theirs yet."""
    front_door = () if names.addresses else await secrets.balanced(FRONT_DOOR)
    bus = () if names.bus_addresses else await secrets.balanced(BUS)
    complete = dataclasses.replace(
        names, addresses=names.addresses or front_door or (), bus_addresses=names.bus_addresses or bus or ()
    )
    owing = {FRONT_DOOR: not names.addresses and front_door == (), BUS: not names.bus_addresses and bus == ()}
    return complete, [service for service, owes in owing.items() if owes]


async def _files(secrets: Secrets, name: str) -> Mapping[str, bytes]:
    """Of a Secret that was there a moment ago. NotFound."""
    secret = await secrets.get(name)
    if secret is None:
        raise NotFound(f"Secret {name} was deleted while it was read: start again")
    return secret.files


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
