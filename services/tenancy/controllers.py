"""Level-triggered work of tenancy: expired credentials go, the administrator's own one is there.

The administrator's token is a file on the host's machine, written by the CLI with mode 0600: whoever can write it is
the host's administrator already. A file that was rewritten is a renewed credential; one that is older than a
credential may live is not revived. It is looked at before the service is ready: who started the host can use it then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from services.tenancy import model
from services.tenancy.granted import Granted
from services.tenancy.hosttokens import CONNECTIONS, HostTokens
from services.tenancy.keyring import KeyRings
from services.tenancy.revocations import over_s
from services.tenancy.settings import TenancySettings
from skerry.api.kinds import CREDENTIAL, REVOCATION
from skerry.controller.controller import After, Controller
from skerry.errors import AlreadyExists, NotFound
from skerry.informer import View
from skerry.informer.granted import follow
from skerry.member import hostcluster
from skerry.service import Context
from skerry.storage import Store, utc_now

log = logging.getLogger("skerry.tenancy")

FILE_S = 2.0
"""Between two looks at the administrator's file."""
AT_MOST_S = 60.0
"""Between two looks at a credential: clocks are set, and its end is by the wall's."""
DAY_S = 86400.0

UtcClock = Callable[[], datetime]


class Administrator:
    """Keeps the Credential for the token in the administrator's file."""

    def __init__(self, store: Store, file: Path | None, clock: UtcClock = utc_now) -> None:
        self._store, self._file, self._clock = store, file, clock
        self._seen: tuple[int, int] | None = None

    async def ensure(self) -> None:
        """Make it, unless it exists or the file did not change."""
        if self._file is None:
            return
        read = await asyncio.to_thread(_read, self._file)
        if read is None or read[0] == self._seen:
            return
        stamp, token = read
        if not model.is_token(token):
            log.error("the administrator's token file holds no token", extra={"file": str(self._file)})
        else:
            await self._ensure(token, datetime.fromtimestamp(stamp[0] / 1e9, UTC))
        self._seen = stamp

    async def _ensure(self, token: str, created: datetime) -> None:
        if created + timedelta(seconds=model.LONGEST_S) <= self._clock():
            log.warning("the administrator's token is too old; the next skerry up makes a new one")
            return
        try:
            await self._store.create(model.administrator(token, created))
            log.info("the administrator's credential is stored", extra={"credential": model.name_of(token)})
        except AlreadyExists:
            return


class TenancyState(NamedTuple):
    """What the parts of tenancy share."""

    administrator: Administrator
    rings: KeyRings
    granted: Granted
    host_tokens: HostTokens | None = None
    """Asked about tokens that no provider is for."""


TenancyContext = Context[TenancySettings, TenancyState]


@asynccontextmanager
async def opened(context: TenancyContext) -> AsyncIterator[TenancyState]:
    """The administrator's credential, looked at once; no keys of providers yet; what people may do, from now on; the bucket of claims.

    KubeconfigError where tokens are to be asked of the host's cluster, and there is none.
    """
    administrator = Administrator(context.store(CREDENTIAL), context.settings.admin_token_file)
    await administrator.ensure()
    granted = Granted()
    context.closing.callback(follow(context.informer, granted.access, lambda touched, change: granted.touched(touched)))
    async with AsyncExitStack() as closing:
        tokens = None
        settings = context.settings
        if settings.token_review or settings.token_review_kubeconfig is not None:
            server = hostcluster.connected(settings.token_review_kubeconfig, connections=CONNECTIONS)
            closing.push_async_callback(server.close)
            tokens = HostTokens(server, time.time)
        yield TenancyState(administrator, KeyRings(time.time), granted, tokens)


def administrator(context: TenancyContext) -> Controller[str]:
    """Its credential follows the file."""

    async def reconcile(key: str) -> After:
        await context.state.administrator.ensure()
        return After(FILE_S)

    controller = context.controller("administrator", reconcile)
    controller.add("file")
    return controller


def credentials(context: TenancyContext) -> Controller[str]:
    """Credentials go when their time is over."""
    reconcile = partial(expire, context.store(CREDENTIAL), context.informer)
    return context.follow(CREDENTIAL, context.controller("credentials", reconcile))


async def expire(store: Store, informer: View, name: str, clock: UtcClock = utc_now) -> After | None:
    """Delete the credential `name` if its time is over."""
    item = informer.get(CREDENTIAL, name)
    if item is None:
        return None
    left = model.expires(item.document()) - clock().timestamp()
    if left > 0:
        return After(min(left, AT_MOST_S))
    try:
        await store.delete(name, uid=item.uid)
        log.info("credential expired", extra={"credential": name})
    except NotFound:
        log.debug("another replica was faster", extra={"credential": name})
    return None


def revocations(context: TenancyContext) -> Controller[str]:
    """Revocations go when nothing can be as old as what they refuse."""
    reconcile = partial(forget, context.store(REVOCATION), context.informer)
    return context.follow(REVOCATION, context.controller("revocations", reconcile))


async def forget(store: Store, informer: View, name: str, clock: UtcClock = utc_now) -> After | None:
    """Delete the revocation `name` if it refuses nothing any more."""
    item = informer.get(REVOCATION, name)
    left = None if item is None else over_s(item.document(), clock().timestamp())
    if item is None or left is None:
        return None
    if left > 0:
        return After(min(left, DAY_S))
    with suppress(NotFound):
        await store.delete(name, uid=item.uid)
    return None


def _read(path: Path) -> tuple[tuple[int, int], str] | None:
    """((mtime in ns, inode), text) of the file; None if it is not there (yet)."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            status = path.stat()
            return (status.st_mtime_ns, status.st_ino), file.read(4096).strip()
    except OSError as error:
        log.debug("the administrator's token file cannot be read", extra={"error": str(error)})
        return None
