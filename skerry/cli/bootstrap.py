"""What a host needs on disk before its processes can start, made once, checked at every start, renewed while it runs.

    state.json               format, name and UID of the host
    keys/                    the NATS authority (skerry.identity.federation); the operator's root seed below keys/root/
    pki/ca.*, pki/server.*   the host's certificate authority and the one certificate of front door, members' names and bus
    creds/<service>.creds    NATS users of the services, 24 h, renewed when a third of that is left
    admin.token, admin.kubeconfig   the administrator: 30 days, made anew after 20
    nats/                    nats-server's configuration, JetStream and accounts

Everything is 0600 in 0700. Nothing here runs in the supervisor: it calls `python -m skerry.cli.renew`, so that keys and the
cryptography library are in memory for a moment only.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from skerry import __version__
from skerry.api.names import TOKEN_PREFIX
from skerry.cli import kubeconfig, state
from skerry.cli.failure import MISSING, Failure
from skerry.cli.layout import Layout, check_ports
from skerry.cli.plan import ChildProcess, Plan, UpOptions, write_json
from skerry.cli.term import say
from skerry.errors import StatusError
from skerry.httpwire.names import server_name
from skerry.identity import creds, natsconf, permissions, x509
from skerry.identity.federation import SERVICE_TTL_S, Authority
from skerry.identity.files import write_private
from skerry.identity.keyfiles import ROOTS, SECRETS_KEY, KeyFiles, make_secrets_key

ADMIN_LIFE_S = 30 * 86400
SERVICES = ("controller-manager", "proxy")
"""One NATS user per process."""
GRACE_S = 30.0
"""What running requests get when the front door stops, unless SKERRY_GRACE_S says otherwise."""
TUNABLE = {
    "controller-manager": (
        "SKERRY_AGENT_TTL_S",
        "SKERRY_APP_STORE_FETCH_S",
        "SKERRY_APP_STORE_LOOK_S",
        "SKERRY_HELM",
        "SKERRY_HOST_KUBECONFIG",
        "SKERRY_LOOK_S",
        "SKERRY_MANAGE_HOST",
        "SKERRY_PROBE_S",
        "SKERRY_TOKEN_REVIEW_KUBECONFIG",
    ),
    "tower": (
        "SKERRY_BODY_S",
        "SKERRY_BUDGET_BYTES",
        "SKERRY_HEAD_BYTES",
        "SKERRY_CONNECTIONS",
        "SKERRY_GRACE_S",
        "SKERRY_HEAD_S",
        "SKERRY_HOST_KUBECONFIG",
        "SKERRY_IDLE_S",
        "SKERRY_INLINE_BYTES",
        "SKERRY_LINGER_S",
        "SKERRY_OPENS_PER_SECOND",
        "SKERRY_OUTLIVE_S",
        "SKERRY_SESSION_S",
        "SKERRY_STALLED_S",
        "SKERRY_STREAMS",
        "SKERRY_STREAMS_PER_MEMBER",
        "SKERRY_STREAMS_PER_USER",
        "SKERRY_UPLOADS",
        "SKERRY_UPLOADS_PER_USER",
        "SKERRY_UPSTREAM_CONNECTIONS",
    ),
}
"""Settings of the services that are passed on from the environment of `up`; everything else of it stays outside."""


def prepare(host: Path, options: UpOptions) -> Plan:
    """Make or refresh everything in `host` and return what to run. The caller holds the lock.

    Raises Failure: unwritable, newer format, port in use, nats-server missing.
    """
    layout = Layout.of(options)
    binary = None if options.nats else _server_binary()
    check_ports(layout, own_bus=not options.nats)
    begins = state.read(host) is None
    saved = _state(host, options)
    authority = _authority(host, options)
    _check_secrets_key(keys_of(host, options), make=begins)
    renew_certificate(host, saved, layout)
    renew_credentials(host, authority)
    renew_admin(host, options.name, layout.api)
    plan = _plan(host, options, layout, saved.uid, authority, binary)
    if binary is not None:
        _write_nats_conf(host, authority, layout)
    write_json(host / "plan.json", plan)
    return plan


def _server_binary() -> Path:
    try:
        return natsconf.server_binary()
    except StatusError as error:
        raise Failure(error.message, MISSING) from error


def _state(host: Path, options: UpOptions) -> state.StateFile:
    saved = state.read(host)
    if saved is None:
        state.check_migrated(host)
        saved = state.StateFile(format=state.FORMAT, version=__version__, name=options.name, uid=str(uuid.uuid4()))
        state.write(host, saved)
        return saved
    saved, copy = state.migrate(host, saved)
    if copy is not None:
        say(f"the state was of an older format: migrated; a copy of it is in {copy}")
    if (saved.version, saved.name) != (__version__, options.name):
        saved = msgspec.structs.replace(saved, version=__version__, name=options.name)
        state.write(host, saved)
    return saved


def keys_of(host: Path, options: UpOptions) -> Path:
    """Where the NATS authority lies: our own, or that of an external server."""
    return Path(options.nats_keys) if options.nats_keys else host / "keys"


def _authority(host: Path, options: UpOptions) -> Authority:
    directory = keys_of(host, options)
    if (directory / "authority.json").exists():
        KeyFiles(directory).tell_roots()
        return Authority.load(directory)
    if options.nats_keys:
        raise Failure(
            f"{directory} holds no keys of a host: make them with: skerry nats-config --nats-keys {directory}"
        )
    authority = Authority.create(options.name)
    authority.save(directory)
    return authority


def _check_secrets_key(directory: Path, *, make: bool) -> None:
    """Have the key of what services seal, where the keys were made before that was made with them. Failure where it is lost."""
    if make:
        make_secrets_key(directory)
    elif not (directory / SECRETS_KEY).exists():
        raise Failure(
            f"{directory / SECRETS_KEY} is missing: put it back from the safe copy; without it what is sealed in the store is lost"
        )


def renew_certificate(host: Path, saved: state.StateFile, layout: Layout) -> None:
    """The server certificate for all names of the host and, by a wildcard, of its members; hosts that were made before
    members had names get it so.
    """
    ca = authority_of(host / "pki", saved.name)
    issue(host / "pki", ca, (*layout.names, server_name("*", saved.uid)))


def authority_of(pki: Path, name: str) -> x509.X509KeyPair:
    """The certificate authority in `pki`, made at first use."""
    pki.mkdir(mode=0o700, exist_ok=True)
    existing = _pair(pki, "ca")
    if existing is not None:
        return existing
    ca = x509.create_ca(name)
    _save(pki, "ca", ca)
    return ca


def issue(pki: Path, ca: x509.X509KeyPair, names: tuple[str, ...]) -> None:
    """The server certificate for `names`: issued again, under the same authority, when it lacks one or ages."""
    server = _pair(pki, "server")
    if server is None or x509.must_reissue(ca, server, names):
        _save(pki, "server", x509.issue_server(ca, names))


def _pair(pki: Path, name: str) -> x509.X509KeyPair | None:
    certificate, key = pki / f"{name}.crt", pki / f"{name}.key"
    if not certificate.exists() or not key.exists():
        return None
    return x509.X509KeyPair(certificate=certificate.read_bytes(), key=key.read_bytes())


def _save(pki: Path, name: str, pair: x509.X509KeyPair) -> None:
    write_private(pki / f"{name}.key", pair.key)
    write_private(pki / f"{name}.crt", pair.certificate)


def renew_credentials(host: Path, authority: Authority) -> list[str]:
    """Renew the NATS users of services that have less than a third of their life left, other rights than this version gives
    them, or a signature by a key that was replaced; returns their names.
    """
    (host / "creds").mkdir(mode=0o700, exist_ok=True)
    return [each for each in SERVICES if renew_user(host / "creds" / f"{each}.creds", each, authority)]


def renew_user(path: Path, service: str, authority: Authority) -> bool:
    """Renew one of them; returns if it was due."""
    due = not _serves(path, service, authority)
    if due:
        authority.service_credentials(service).save(path)
    return due


def _serves(path: Path, service: str, authority: Authority) -> bool:
    try:
        credentials = creds.load(path)
    except (OSError, StatusError):
        return False
    lives = credentials.expires is None or credentials.expires - time.time() > SERVICE_TTL_S / 3
    if credentials.claims.iss != authority.active("host"):
        return False
    return lives and _allowed(credentials.claims.nats) == _allowed(
        msgspec.to_builtins(permissions.service(service, credentials.public))
    )


def _allowed(rights: Mapping[str, Any]) -> list[set[str]]:
    return [set((rights.get(way) or {}).get("allow", ())) for way in ("pub", "sub")]


def renew_admin(host: Path, name: str, api: str, tls_name: str = "") -> bool:
    """Make the administrator's token anew after two thirds of its life, and its kubeconfig true; returns if made. `api` is the front
    door's URL, `tls_name` what to ask for in TLS there, if that is another name."""
    path = host / "admin.token"
    due = not path.exists() or time.time() - path.stat().st_mtime > ADMIN_LIFE_S * 2 / 3
    if due:
        write_private(path, f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}\n".encode())
    config = kubeconfig.build(
        name,
        [],
        server=api,
        ca=(host / "pki" / "ca.crt").read_bytes(),
        token=path.read_text().strip(),
        tls_name=tls_name,
    )
    write_private(host / "admin.kubeconfig", kubeconfig.text(config).encode())
    return due


def _write_nats_conf(host: Path, authority: Authority, layout: Layout) -> None:
    (host / "nats").mkdir(mode=0o700, exist_ok=True)
    conf = natsconf.Conf(
        host=layout.bus.host,
        port=layout.bus.port,
        store_dir=str(host / "nats"),
        certificate_file=str(host / "pki" / "server.crt"),
        key_file=str(host / "pki" / "server.key"),
        ports_dir=str(host / "nats"),
    )
    write_private(host / "nats" / "nats.conf", natsconf.render(conf, authority).encode())


def bus_ca(host: Path, options: UpOptions) -> Path:
    """The authority that signed the bus's certificate."""
    return Path(options.nats_keys) / "ca.crt" if options.nats_keys else host / "pki" / "ca.crt"


def _plan(host: Path, options: UpOptions, layout: Layout, uid: str, authority: Authority, binary: Path | None) -> Plan:
    local = options.nats or f"tls://{layout.bus_local}"
    public = options.nats.split(",") if options.nats else layout.bus_public
    common = {
        "SKERRY_BUS_SERVERS": local,
        "SKERRY_BUS_CA_FILE": str(bus_ca(host, options)),
        "SKERRY_HOST_NAME": options.name,
        "SKERRY_HOST_UID": uid,
        "SKERRY_STRICT": "1",
        **log_settings(),
        **_tuned(("SKERRY_TRACING",)),
    }
    registry = {
        "SKERRY_BUS_CREDENTIALS_FILE": str(host / "creds" / "controller-manager.creds"),
        "SKERRY_KEYS_DIR": str(keys_of(host, options)),
        "SKERRY_TRUST_ROOT_FILE": str(keys_of(host, options) / ROOTS),
        "SKERRY_BUS_PUBLIC": ",".join(public),
        "SKERRY_ADDRESSES": ",".join(layout.addresses),
        "SKERRY_ADMIN_TOKEN_FILE": str(host / "admin.token"),
        "SKERRY_APP_STORE_SECRETS_KEY_FILE": str(keys_of(host, options) / SECRETS_KEY),
        "SKERRY_EVENTS_SECRETS_KEY_FILE": str(keys_of(host, options) / SECRETS_KEY),
        "SKERRY_APP_STORE_WORKERS": "4",
        "SKERRY_APP_STORE_FRONT_DOOR": layout.front_door_local,
        "SKERRY_APP_STORE_FRONT_DOOR_CA_FILE": str(host / "pki" / "ca.crt"),
        **_tuned(TUNABLE["controller-manager"]),
    }
    tower = {
        "SKERRY_BUS_CREDENTIALS_FILE": str(host / "creds" / "proxy.creds"),
        "SKERRY_LISTEN": str(layout.listen),
        "SKERRY_TLS_CERT_FILE": str(host / "pki" / "server.crt"),
        "SKERRY_TLS_KEY_FILE": str(host / "pki" / "server.key"),
        **({"SKERRY_CLIENT_CA_FILE": options.client_ca} if options.client_ca else {}),
        **_tuned(TUNABLE["tower"]),
    }
    stop_s = float(os.environ.get("SKERRY_GRACE_S", GRACE_S)) + float(os.environ.get("SKERRY_LINGER_S", 0.0)) + 10.0
    processes = [
        ChildProcess(name="controller-manager", argv=_python("services.controller_manager"), env=common | registry, ready="notify"),
        ChildProcess(name="tower", argv=_python("services.tower"), env=common | tower, ready="notify", stop_s=stop_s),
    ]  # fmt: skip
    if binary is not None:
        argv = leashed([str(binary), "-c", str(host / "nats" / "nats.conf")])
        processes.insert(
            0,
            ChildProcess(
                name="nats-server",
                argv=argv,
                env=_collector(),
                ready="file",
                address=str(host / "nats" / "*.ports"),
                revision=_digest(authority.public.operator_jwt),
            ),
        )
    return Plan(
        version=__version__,
        api=layout.api,
        bus=",".join(public),
        options=options,
        processes=processes,
        renew=[*_python("skerry.cli.renew"), str(host)],
    )


def configure_bus(host: Path, plan: Plan, authority: Authority) -> None:
    """Have the configuration of our own nats-server, and the plan of a running host, as its keys are now. Its supervisor is to
    be told."""
    _write_nats_conf(host, authority, Layout.of(plan.options))
    revision = _digest(authority.public.operator_jwt)
    processes = [
        msgspec.structs.replace(each, revision=revision) if each.name == "nats-server" else each
        for each in plan.processes
    ]
    updated = msgspec.structs.replace(plan, processes=processes)
    if updated != plan:
        write_json(host / "plan.json", updated)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _collector() -> dict[str, str]:
    """nats-server's garbage collector: with a live heap of a few MiB it would run for every few MB that pass.

    A sixth of nats-server's CPU in a large LIST was collection at Go's default of 100 (bench/README.md).
    """
    return {"GOGC": os.environ.get("GOGC", "400"), "GOMEMLIMIT": os.environ.get("GOMEMLIMIT", "1GiB")}


def _tuned(names: tuple[str, ...]) -> dict[str, str]:
    """Those of `names` that the environment of `up` sets: settings of the services that an operator may change."""
    return {name: os.environ[name] for name in names if name in os.environ}


def log_settings() -> dict[str, str]:
    """Log settings of children: people read these files, so they are not JSON."""
    level = os.environ.get("SKERRY_LOG_LEVEL", "info")
    return {"SKERRY_LOG_LEVEL": level, "SKERRY_LOG_FORMAT": os.environ.get("SKERRY_LOG_FORMAT", "human")}


def _python(module: str) -> list[str]:
    return [sys.executable, "-P", "-m", module]


def leashed(argv: list[str]) -> list[str]:
    """`argv` so that it ends with the supervisor (skerry/cli/leash.py)."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("leash.py")), *argv]


def remove_first_start(host: Path) -> None:
    """Undo a first start that failed before anything was of use, so that nothing half-made is left."""
    for name in ("keys", "pki", "creds", "nats", "sockets"):
        shutil.rmtree(host / name, ignore_errors=True)
    for name in ("state.json", "plan.json", "run.json", "admin.token", "admin.kubeconfig"):
        (host / name).unlink(missing_ok=True)
