"""Settings of the proxy process: how it reaches the bus, where it listens, and every limit, in one place.

Hitting a limit is a 429, 431, 413 or 503 Status that says which. Each field is an environment variable
`SKERRY_<NAME>`; secrets are files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from skerry import bus
from skerry.http import ServerLimits
from skerry.http.listening import parse_address
from skerry.httpwire.room import TOTAL
from skerry.identity.creds import Credentials, load
from skerry.settings import Settings, SettingsError, about
from skerry.tracing import TRACING


class ProxyLimits(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All numbers that bound what clients can take."""

    streams: Annotated[int, about("Requests that one proxy carries at once.")] = 10_000
    streams_per_user: Annotated[int, about("Requests of one user at once.")] = 4_000
    streams_per_member: Annotated[int, about("Requests to one member at once.")] = 4_000
    opens_per_second: Annotated[int, about("Requests that one user may start in one second.")] = 10_000
    session_s: Annotated[float, about("Longest life of an upgraded session (exec, port-forward).")] = 8 * 3600.0
    outlive_s: Annotated[
        float,
        about(
            "exec, attach, port-forward and logs may outlive a token of an identity provider by so long, 8 h at most."
        ),
    ] = 3600.0
    uploads: Annotated[
        int, about("Bodies of streamed actions that one proxy takes at once: each is a megabyte of memory.")
    ] = 16
    uploads_per_user: Annotated[int, about("Bodies of streamed actions of one user at once.")] = 4
    inline_bytes: Annotated[int, about("Request bodies up to this size travel in one message.")] = 256 * 1024
    stalled_s: Annotated[float, about("A client that takes nothing of a response for so long is cut.")] = 600.0
    upstream_connections: Annotated[int, about("Most connections to the API server of one direct member.")] = 8192
    budget_bytes: Annotated[int, about("Bytes on their way from agents or not yet taken by clients, at once.")] = (
        96 * 1024 * 1024
    )
    head_bytes: Annotated[int, about("Bytes of heads beyond ordinary ones, coming or being served, at once.")] = TOTAL
    connections: Annotated[int, about("Connections of clients at once.")] = 10_000
    idle_s: Annotated[float, about("A client's connection without a request is kept for so long.")] = 180.0
    head_s: Annotated[float, about("A request's head must be complete in this time.")] = 30.0
    body_s: Annotated[float, about("Longest silence within a request's body.")] = 600.0
    grace_s: Annotated[float, about("What running requests get at shutdown.")] = 30.0
    linger_s: Annotated[
        float,
        about(
            "Before that: connections are still taken for so long, and each is sent elsewhere with its answer. Behind a load "
            "balancer that hears of the shutdown later than we do: 5."
        ),
    ] = 0.0


class ProxySettings(ProxyLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one proxy process."""

    bus_servers: Annotated[list[str], about("Addresses of the bus, tls://host:port, the preferred first.")]
    bus_ca_file: Annotated[Path, about("Authority that signed the bus's certificate; nothing else is trusted.")]
    bus_credentials_file: Annotated[Path, about("The proxy's user of the bus; read anew at each connect.")]
    listen: Annotated[tuple[str, ...], about("Where to listen, host:port; :port for all addresses.")] = (
        "127.0.0.1:8443",
    )
    tls_cert_file: Annotated[Path | None, about("Certificate chain of the front door.")] = None
    tls_key_file: Annotated[Path | None, about("Its private key.")] = None
    members_cert_file: Annotated[
        Path | None, about("Certificate chain of `*.clusters.<UID>`; default: the front door's has that name too.")
    ] = None
    members_key_file: Annotated[Path | None, about("Its private key.")] = None
    client_ca_file: Annotated[
        Path | None,
        about("Authority of client certificates: CN is the user, each O a group. Default: none are asked for."),
    ] = None
    host_name: Annotated[str, about("Name of this host, for people.")] = "skerry"
    host_kubeconfig: Annotated[
        Path | None,
        about(
            "Kubeconfig of the cluster `host`, its current context, read anew when it changes. Default: the ServiceAccount of the "
            "pod that this process runs in."
        ),
    ] = None
    host_uid: Annotated[str, about("UID of this host; members are `<name>.clusters.<UID>` in TLS.")] = ""
    tracing: Annotated[bool, about(TRACING)] = False

    def server_limits(self) -> ServerLimits:
        """What of them the server keeps by itself."""
        return ServerLimits(
            idle_s=self.idle_s,
            head_s=self.head_s,
            body_s=self.body_s,
            stall_s=self.stalled_s,
            connections=self.connections,
        )


def addresses(listen: Iterable[str]) -> list[tuple[str, int]]:
    """`host:port` strings as pairs; an empty host is all addresses of the machine. SettingsError names what cannot be read."""
    return [_address(text) for text in listen]


def _address(text: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        raise SettingsError(f"SKERRY_LISTEN is {text!r}: {error}") from error


def source(settings: ProxySettings) -> Credentials:
    """The proxy's user of the bus, read anew from its file."""
    return load(settings.bus_credentials_file)


def bus_settings(settings: ProxySettings, name: str) -> bus.Settings:
    """How to reach the bus. SettingsError if the authority's certificate cannot be read."""
    try:
        pem = settings.bus_ca_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the bus's authority {settings.bus_ca_file}: {error}") from error
    return bus.Settings(servers=tuple(settings.bus_servers), ca_pem=pem, name=name)


def server_limits(settings: ProxySettings) -> ServerLimits:
    """How long clients may take, and how many connections they may have."""
    return ServerLimits(
        idle_s=settings.idle_s,
        head_s=settings.head_s,
        body_s=settings.body_s,
        stall_s=settings.stalled_s,
        connections=settings.connections,
    )
