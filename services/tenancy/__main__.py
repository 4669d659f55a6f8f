"""Tenancy as a process of its own: `python -m services.tenancy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from services.tenancy.service import run as serve
from services.tenancy.settings import TenancySettings
from skerry.bus import Bus, Settings
from skerry.identity import creds
from skerry.runtime import Runtime, run
from skerry.settings import about, load_or_help


class ProcessSettings(TenancySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tenancy and its bus."""

    bus_servers: Annotated[list[str], about("Addresses of the bus, tls://host:port, the preferred first.")]
    bus_ca_file: Annotated[Path, about("Authority that signed the bus's certificate; nothing else is trusted.")]
    bus_credentials_file: Annotated[Path, about("Tenancy's user of the bus; read anew at each connect.")]


async def main(runtime: Runtime) -> None:
    """Serve until stopped."""
    settings = load_or_help(ProcessSettings, "tenancy")
    ca_pem = settings.bus_ca_file.read_text()
    bus = Bus(
        Settings(servers=tuple(settings.bus_servers), ca_pem=ca_pem, name="tenancy"),
        lambda: creds.load(settings.bus_credentials_file),
    )
    async with bus:
        await serve(bus, settings, lambda why: runtime.not_ready(why) if why else runtime.ready(), runtime.stop)


if __name__ == "__main__":
    run(main, name="tenancy")
