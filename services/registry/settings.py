"""Settings of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from skerry.identity.federation import AGENT_TTL_S
from skerry.member.membership import LOOK_S
from skerry.settings import Settings, about


class RegistrySettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the registry, besides those of every process."""

    keys_dir: Annotated[Path, about("Keys of the federation (authority.json and *.nk); the root key is not needed.")]
    host_uid: Annotated[str, about("UID of the host: of its kube-system namespace, or made at its first start.")]
    host_name: Annotated[str, about("Name of this host, for people.")] = "skerry"
    bus_public: Annotated[list[str], about("Addresses of the bus as members reach it, tls://host:port.")] = []
    bus_public_file: Annotated[
        Path | None,
        about("Instead: a file with them, by commas, read anew when it changes; empty while none is known."),
    ] = None
    addresses: Annotated[list[str], about("Addresses under which this host is reached, for people.")] = []
    secrets_key_file: Annotated[
        Path | None, about("Key of the bucket secrets; default: secrets.key in the keys directory.")
    ] = None
    agent_ttl_s: Annotated[int, about("Life of an agent's credential; agents renew it at two thirds.")] = AGENT_TTL_S
    probe_s: Annotated[float, about("Seconds between looks at a direct member: is it ready, is it still the same.")] = (
        10.0
    )
    manage_host: Annotated[
        bool,
        about("Whether the cluster that this process runs in is managed, as Cluster `host`, by its ServiceAccount."),
    ] = False
    host_kubeconfig: Annotated[
        Path | None,
        about(
            "Kubeconfig by which the host's own cluster is managed instead, its current context; read anew when it changes."
        ),
    ] = None
    look_s: Annotated[
        float, about("Seconds between looks at what joining made and verified on direct members: rights, bindings.")
    ] = LOOK_S

    @property
    def bus_addresses(self) -> list[str]:
        """Addresses of the bus as members reach it, as they are known by now; none: nobody knows one yet."""
        if self.bus_public_file is None:
            return self.bus_public
        try:
            text = self.bus_public_file.read_text()
        except (OSError, UnicodeDecodeError):
            return []
        return [each.strip() for each in text.split(",") if each.strip()]
