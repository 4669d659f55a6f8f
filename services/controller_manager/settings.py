"""Settings of the controller-manager: those of its services, and how to reach the bus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from services.registry.settings import RegistrySettings
from services.tenancy.settings import TenancySettings
from skerry.settings import about


class ControllerSettings(RegistrySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process, one environment."""

    bus_servers: Annotated[list[str], about("Addresses of the bus, tls://host:port, the preferred first.")]
    bus_ca_file: Annotated[Path, about("Authority that signed the bus's certificate; nothing else is trusted.")]
    bus_credentials_file: Annotated[Path, about("The workload's user of the bus; read anew at each connect.")]
    admin_token_file: Annotated[
        Path | None, about("Bearer token of the host's own administrator, made by the CLI; read anew when it changes.")
    ] = None

    def tenancy(self) -> TenancySettings:
        """The part that tenancy needs."""
        return TenancySettings(admin_token_file=self.admin_token_file, replicas=self.replicas)
