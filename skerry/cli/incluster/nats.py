"""The configuration of one nats-server of a host in pods, from what its init container sees: Secret `skerry-nats`, its name, its
volume. Settings that change roll the pods; certificates do not (`reloading`)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from skerry.api.decode import decoded
from skerry.cli.failure import Failure
from skerry.identity import natsconf
from skerry.identity.natsconf import BusAccounts

ACCOUNTS, PASSWORD = "accounts.json", "route-password"
"""Files of the Secret, beside the certificates tls.* and routes.* and ca.crt."""
PORT, MONITOR_PORT = 4222, 8222
STREAMS = "jetstream/jetstream"
"""Below the store: nats-server puts a directory of this name into the one that it is given."""


def configuration(secret: Path, store: Path, server_name: str, peers: tuple[str, ...]) -> str:
    """The configuration of server `server_name` that keeps its state in `store`; `peers` are the names of all servers of its
    cluster, itself included, none if there is no other.

    Failure: the Secret is not that of a bus; the store is of the other kind.
    """
    check_store(store, clustered=bool(peers))
    conf = natsconf.Conf(
        host="",
        port=PORT,
        server_name=server_name,
        store_dir=str(store),
        certificate_file=str(secret / "tls.crt"),
        key_file=str(secret / "tls.key"),
        monitor_port=MONITOR_PORT,
        pid_file=str(store / "nats.pid"),
        routes=_routes(secret, peers) if peers else None,
    )
    try:
        accounts = decoded((secret / ACCOUNTS).read_bytes(), BusAccounts)
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(
            f"{secret / ACCOUNTS} is not the accounts of a bus: skerry bootstrap writes it ({error})"
        ) from error
    return natsconf.render(conf, accounts)


def _routes(secret: Path, peers: tuple[str, ...]) -> natsconf.Routes:
    try:
        password = (secret / PASSWORD).read_text()
    except OSError as error:
        raise Failure(f"{secret / PASSWORD} cannot be read: {error.strerror}") from error
    return natsconf.Routes(
        peers=peers,
        certificate_file=str(secret / "routes.crt"),
        key_file=str(secret / "routes.key"),
        ca_file=str(secret / "ca.crt"),
        password=password,
    )


def check_store(store: Path, *, clustered: bool) -> None:
    """Failure if a server that is alone would take the store of one that was in a cluster, or the other way about: it would
    begin without the streams that are there, or with what is old in them."""
    streams = next(store.glob(f"{STREAMS}/*/streams/*"), None)
    was_clustered = next(store.glob(f"{STREAMS}/*/_js_/_meta_"), None) is not None
    if (streams is None and not was_clustered) or was_clustered == clustered:
        return
    was, is_now = ("several servers", "one") if was_clustered else ("one server", "several")
    raise Failure(
        f"{store} was written by a bus of {was}, and bus.replicas makes it one of {is_now}, which would lose what is there. Set "
        "bus.replicas back; to change it: skerry backup, install with new volumes, skerry restore"
    )
