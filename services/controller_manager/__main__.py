"""The controller-manager process: `python -m services.controller_manager`."""

from __future__ import annotations

import asyncio
import functools
import logging

from services.controller_manager.keeper import Keeper
from services.controller_manager.settings import ControllerSettings
from services.registry import service as registry
from services.tenancy import service as tenancy
from skerry.bus import Bus, Settings
from skerry.identity import creds
from skerry.identity.federation import Authority
from skerry.runtime import Exit, Runtime, run
from skerry.settings import load_or_help, redacted

log = logging.getLogger("skerry.controller_manager")

CHECK_S = 0.5


async def main(runtime: Runtime) -> None:
    """Run registry and tenancy until stopped."""
    settings = load_or_help(ControllerSettings, "controller-manager")
    log.info("starting", extra={"settings": redacted(settings)})
    authority = Authority.load(settings.keys_dir)
    try:
        ca_pem = settings.bus_ca_file.read_text()
    except OSError as error:
        raise Exit(f"the authority of the bus cannot be read: {error}", 4) from error
    servers = tuple(settings.bus_servers)
    bus = Bus(
        Settings(servers=servers, ca_pem=ca_pem, name="controller-manager"),
        lambda: creds.load(settings.bus_credentials_file),
    )
    system = Bus(
        Settings(servers=servers, ca_pem=ca_pem, name="controller-manager/resolver"), authority.system_credentials
    )
    async with bus, system:
        await _serve(runtime, settings, authority, ca_pem, bus, system)


async def _serve(
    runtime: Runtime, settings: ControllerSettings, authority: Authority, ca_pem: str, bus: Bus, system: Bus
) -> None:
    def tell() -> None:
        reason = keeper.reason or ("" if bus.connected else f"the bus is not connected: {bus.reason}")
        if runtime.stop.is_set() or reason:
            runtime.not_ready(reason or "stopping")
        else:
            runtime.ready()

    async def watch() -> None:
        while True:
            tell()
            await asyncio.sleep(CHECK_S)

    keeper = Keeper(tell)
    runtime.spawn(watch(), name="readiness")
    async with asyncio.TaskGroup() as services:
        run_registry = functools.partial(registry.run, bus, system, settings, authority, ca_pem)
        services.create_task(keeper.keep("registry", run_registry, runtime.stop))
        run_tenancy = functools.partial(tenancy.run, bus, settings.tenancy())
        services.create_task(keeper.keep("tenancy", run_tenancy, runtime.stop))


if __name__ == "__main__":
    run(main, name="controller-manager")
