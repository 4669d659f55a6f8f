"""The keys of the host that runs here, with the connections that moving what they sign or seal takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skerry.bus import Bus
from skerry.cli import bootstrap, hostbus
from skerry.cli.failure import USAGE, Failure
from skerry.cli.keys.rotation import RotatingKey
from skerry.cli.keys.secrets import SecretsKey
from skerry.cli.plan import RunStatus
from skerry.identity.federation import Authority
from skerry.storage.sealed import Keyring

REACHED_S = 20.0
LIFE_S = 3600
SECRETS = "secrets"
"""The bucket of what is sealed, and whose rights it takes."""


@dataclass(frozen=True, kw_only=True)
class HostKeys:
    """What the commands work on."""

    directory: Path
    authority: Authority
    keys: tuple[RotatingKey, ...]

    def key(self, name: str) -> RotatingKey:
        """The key of this name. Failure (usage) if there is none."""
        for each in self.keys:
            if each.name == name:
                return each
        raise Failure(f"there is no key {name!r}: use one of {', '.join(each.name for each in self.keys)}", USAGE)


@asynccontextmanager
async def opened(host: Path, status: RunStatus) -> AsyncIterator[HostKeys]:
    """Of the host in the directory `host`. Failure if its bus does not answer."""
    options = status.options
    directory = bootstrap.keys_of(host, options)
    authority = Authority.load(directory)
    settings = hostbus.settings(host, options, "skerry keys")
    async with Bus(settings, partial(authority.service_credentials, "registry", LIFE_S)) as bus:
        try:
            async with asyncio.timeout(REACHED_S):
                await bus.ready()
        except TimeoutError:
            raise Failure(f"the bus at {', '.join(settings.servers)} cannot be reached: {bus.reason}") from None
        bucket = await bus.bucket(SECRETS)
        yield HostKeys(
            directory=directory, authority=authority, keys=(SecretsKey(Keyring(directory / "secrets.key"), bucket),)
        )
