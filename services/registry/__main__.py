"""The registry as a process of its own: `python -m services.registry`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from services.registry.service import run as serve
from services.registry.settings import RegistrySettings
from skerry.bus import Bus, Settings
from skerry.identity import creds
from skerry.identity.federation import Authority
from skerry.runtime import Runtime, run
from skerry.settings import about, load_or_help


class ProcessSettings(RegistrySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The registry and its bus."""

    bus_servers: Annotated[list[str], about("Addresses of the bus, tls://host:port, the preferred first.")]
    bus_ca_file: Annotated[Path, about("Authority that signed the bus's certificate; nothing else is trusted.")]
    bus_credentials_file: Annotated[Path, about("The registry's user of the bus; read anew at each connect.")]


async def main(runtime: Runtime) -> None:
    """Serve until stopped."""
    settings = load_or_help(ProcessSettings, "registry")
    authority = Authority.load(settings.keys_dir)
    ca_pem = settings.bus_ca_file.read_text()
    servers = tuple(settings.bus_servers)
    bus = Bus(
        Settings(servers=servers, ca_pem=ca_pem, name="registry"), lambda: creds.load(settings.bus_credentials_file)
    )
    system = Bus(Settings(servers=servers, ca_pem=ca_pem, name="registry/resolver"), authority.system_credentials)
    async with bus, system:
        await serve(
            bus,
            system,
            settings,
            authority,
            ca_pem,
            lambda why: runtime.not_ready(why) if why else runtime.ready(),
            runtime.stop,
        )


if __name__ == "__main__":
    run(main, name="registry")
