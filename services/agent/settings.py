"""Settings of the agent process, from its environment (skerry/settings.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from skerry.api.v1alpha1 import Ceiling
from skerry.api.validation import is_label, is_subdomain
from skerry.member.membership import LOOK_S
from skerry.settings import Settings as Base
from skerry.settings import SettingsError, about


class Settings(Base, frozen=True, kw_only=True):
    """`SKERRY_` + the upper-case field name. No value is a secret; secrets are in files that are named here."""

    agent_state: Annotated[Path | None, about("Directory of this agent's identity, one per member.")] = None
    state_secret: Annotated[
        str,
        about(
            "NAMESPACE/NAME of the Secret of this agent's identity, in a pod: shared by all replicas. The whole ceiling is then "
            "said at each start."
        ),
    ] = ""
    token_file: Annotated[Path | None, about("File with a join token; not needed once joined.")] = None
    bus_servers: Annotated[
        tuple[str, ...], about("Addresses of the host's bus, tls://HOST:PORT, instead of the token's.")
    ] = ()
    bus_ca: Annotated[str, about("PEM of the authority of the bus, instead of the token's; not secret.")] = ""
    dry_run: Annotated[bool, about("Only make the checks of a join and print them; join nothing.")] = False
    output: Annotated[Literal["", "json"], about("Of dry_run: json for a document. Default: lines.")] = ""
    agent_name: Annotated[
        str, about("Name of the cluster: the token's, which is the default, or one that fits its pattern.")
    ] = ""
    kubeconfig: Annotated[str, about("Kubeconfig of the member. Default: in-cluster credentials.")] = ""
    context: Annotated[str, about("Context in the kubeconfig. Default: its current-context.")] = ""
    read_only: Annotated[bool | None, about("Ceiling: only get, list and watch leave this agent.")] = None
    no_exec: Annotated[bool | None, about("Ceiling: no exec, attach, port-forward or proxy.")] = None
    namespaces: Annotated[tuple[str, ...] | None, about("Ceiling: the only namespaces that requests may name.")] = None
    ceiling_desired: Annotated[
        Literal["", "All", "Access", "None"],
        about(
            "Ceiling: what the host may keep in place here: All, Access (RBAC of tenants) or None. "
            "Default: All, with read_only Access."
        ),
    ] = ""
    ceiling_off: Annotated[
        bool,
        about("No ceiling. Without this, and where no part of a ceiling is said, the last one that was said holds on."),
    ] = False
    take_over: Annotated[
        bool, about("Make the cluster this host's although it is marked as another one's, which lets go of it.")
    ] = False
    heartbeat_s: Annotated[float, about("Seconds between heartbeats and between health checks of the API server.")] = (
        10.0
    )
    look_s: Annotated[
        float, about("Seconds between looks at what joining made and verified: identity, rights, bindings.")
    ] = LOOK_S
    echo_s: Annotated[float, about("Seconds that the answer to a heartbeat is waited for; three misses rebuild.")] = 5.0
    grace_s: Annotated[float, about("Seconds that running streams get at shutdown.")] = 30.0
    session_cap_s: Annotated[float, about("Seconds after which connections with renewed credentials are closed.")] = (
        8 * 3600.0
    )
    upstream_connections: Annotated[int, about("Most connections to the API server at once; every watch is one.")] = (
        8192
    )

    def way(self, servers: list[str], ca: str) -> tuple[list[str], str]:
        """Servers and authority of the bus: those that are set, or these."""
        return list(self.bus_servers) or servers, self.bus_ca or ca

    @property
    def secret(self) -> tuple[str, str] | None:
        """Namespace and name of the Secret with the state, None for a directory. SettingsError unless there is one of both."""
        if bool(self.state_secret) == (self.agent_state is not None):
            raise SettingsError("SKERRY_AGENT_STATE (a directory) or SKERRY_STATE_SECRET must be set, and not both")
        if not self.state_secret:
            return None
        namespace, _, name = self.state_secret.partition("/")
        if not (is_label(namespace) and is_subdomain(name)):
            raise SettingsError(f"SKERRY_STATE_SECRET is {self.state_secret[:80]!r}: use NAMESPACE/NAME")
        return namespace, name

    @property
    def says_ceiling(self) -> bool:
        """Some part of a ceiling was said, or that there is none. SettingsError if both were."""
        parts = (self.read_only, self.no_exec, self.namespaces, self.ceiling_desired or None)
        said = any(part is not None for part in parts)
        if said and self.ceiling_off:
            raise SettingsError("the ceiling is said to be off, and a part of it is said too: leave out one of them")
        return said or self.ceiling_off

    @property
    def ceiling(self) -> Ceiling:
        """The ceiling of the member's administrator; parts that are not said are open."""
        return Ceiling(
            read_only=bool(self.read_only),
            no_exec=bool(self.no_exec),
            namespaces=list(self.namespaces or ()),
            desired=self.ceiling_desired or ("Access" if self.read_only else "All"),
        )

    def under(self, ceiling: Ceiling) -> Settings:
        """These settings with that ceiling."""
        return msgspec.structs.replace(
            self,
            read_only=ceiling.read_only,
            no_exec=ceiling.no_exec,
            namespaces=tuple(ceiling.namespaces),
            ceiling_desired=ceiling.desired,
            ceiling_off=False,
        )
