"""How commands on the host's machine reach its bus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skerry.cli.plan import UpOptions

if TYPE_CHECKING:
    from skerry.bus import Settings


def settings(host: Path, options: UpOptions, name: str) -> Settings:
    """The bus of the host in `host`, for a connection called `name`. OSError if its authority cannot be read."""
    from skerry.bus import Settings
    from skerry.cli import bootstrap
    from skerry.cli.layout import Layout

    address = options.nats or f"tls://{Layout.of(options).bus_local}"
    return Settings(servers=tuple(address.split(",")), ca_pem=bootstrap.bus_ca(host, options).read_text(), name=name)
