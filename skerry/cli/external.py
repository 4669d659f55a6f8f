"""A nats-server that somebody else runs: the configuration that it needs, and the check before a host relies on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from skerry.bus import Settings, connect
from skerry.cli import bootstrap, layout
from skerry.cli.failure import Failure
from skerry.cli.plan import UpOptions
from skerry.errors import ServiceUnavailable, StatusError, Unauthorized
from skerry.identity import natsconf
from skerry.identity.federation import Authority
from skerry.identity.resolver import check_server


def configuration(directory: Path, addresses: list[str], bus: str, *, make: bool) -> str:
    """The nats-server configuration for the keys in `directory`; with `make`, keys and certificates are made there."""
    if not (directory / "authority.json").exists():
        if not make:
            raise Failure(f"{directory} holds no keys: skerry up makes them, or name a directory with --nats-keys")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        Authority.create().save(directory)
    authority = Authority.load(directory)
    where = layout.endpoint(bus, "--bus")
    pki = directory if make else directory.parent / "pki"
    if make:
        names = tuple(dict.fromkeys([*addresses, *layout.LOOPBACK_NAMES]))
        bootstrap.issue(pki, bootstrap.authority_of(pki, authority.public.name), names)
    conf = natsconf.Conf(
        host=where.host,
        port=where.port,
        store_dir=str(directory.parent / "nats"),
        certificate_file=str(pki / "server.crt"),
        key_file=str(pki / "server.key"),
    )
    return natsconf.render(conf, authority)


def check(options: UpOptions) -> None:
    """Raises Failure naming what the external server lacks."""
    missing = asyncio.run(_missing(options))
    if missing:
        raise Failure(f"{options.nats} cannot carry a host; it lacks {'; '.join(missing)}. See: skerry nats-config")


async def _missing(options: UpOptions) -> list[str]:
    directory = Path(options.nats_keys)
    authority = Authority.load(directory)
    settings = Settings(
        servers=tuple(options.nats.split(",")), ca_pem=(directory / "ca.crt").read_text(), name="skerry up: check"
    )
    try:
        connection = await connect(settings, authority.system_credentials(300))
    except Unauthorized as error:
        raise Failure(
            f"{options.nats} does not trust the operator in {directory}: its configuration must have our operator and "
            f"system_account; print it with: skerry nats-config --nats-keys {directory}"
        ) from error
    except ServiceUnavailable as error:
        raise Failure(f"{options.nats} cannot be reached: {error.message}") from error
    try:
        return [*await check_server(connection), *await _short_line(settings, authority)]
    finally:
        connection.abort()


async def _short_line(settings: Settings, authority: Authority) -> list[str]:
    """Whether the server takes a credential that lists its rights one by one: the default of 4 KiB a line is too short."""
    try:
        (await connect(settings, authority.service_credentials(bootstrap.SERVICES[0], 300))).abort()
    except StatusError as error:
        if "control line" in error.message:
            return [f"max_control_line: {natsconf.MAX_CONTROL_LINE}"]
        raise Failure(f"{settings.servers[0]} does not take this host's services: {error.message}") from error
    return []
