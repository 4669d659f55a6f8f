"""Level-triggered work of tenancy: expired credentials go, the administrator's own one is there.

The administrator's token is a file on the host's machine, written by the CLI with mode 0600: whoever can write it is
the host's administrator already. A file that was rewritten is a renewed credential; one that is older than a
credential may live is not revived.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.tenancy import model
from skerry.api.kinds import CREDENTIAL
from skerry.controller.sweep import sweep
from skerry.errors import AlreadyExists, NotFound, StatusError
from skerry.informer import Cache
from skerry.storage import Store, utc_now

log = logging.getLogger("skerry.tenancy")

EVERY_S = 2.0
"""Between two looks at the file and the clock."""


class Controller:
    """Reconciles Credentials, and purges what was deleted of all kinds of `stores`."""

    def __init__(
        self,
        stores: tuple[Store, ...],
        cache: Cache,
        admin_token_file: Path | None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._stores = stores
        self._store = next(store for store in stores if store.kind is CREDENTIAL)
        self._cache = cache
        self._file = admin_token_file
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self.problem = ""
        """Why the last round did not finish; empty if it did."""

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """One reconcile; what fails is tried again in the next."""
        try:
            await self.ensure_administrator()
            await self.expire()
            for store in self._stores:
                await sweep(store, self._cache, self._clock())
            self.problem = ""
        except StatusError as error:
            self.problem = error.message
            log.warning("tenancy could not finish its round", extra={"error": error.message})
        except Exception:
            self.problem = "internal error, see the log"
            log.exception("tenancy could not finish its round")

    async def ensure_administrator(self) -> None:
        """The Credential for the token in the administrator's file, unless it exists or the file did not change."""
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

    async def _ensure(self, token: str, made: datetime) -> None:
        if made + timedelta(seconds=model.LONGEST_S) <= self._clock():
            log.warning("the administrator's token is too old; the next skerry up makes a new one")
            return
        try:
            await self._store.create(model.administrator(token, made))
            log.info("the administrator's credential is stored", extra={"credential": model.name_of(token)})
        except AlreadyExists:
            return

    async def expire(self) -> None:
        """Delete the credentials whose time is over."""
        now = self._clock().timestamp()
        for item in self._cache.list(CREDENTIAL):
            if model.expires(item.document()) <= now:
                try:
                    await self._store.delete(item.name, uid=item.uid)
                    log.info("credential expired", extra={"credential": item.name})
                except NotFound:
                    continue


def _read(path: Path) -> tuple[tuple[int, int], str] | None:
    """((mtime in ns, inode), text) of the file; None if it is not there (yet)."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            status = path.stat()
            return (status.st_mtime_ns, status.st_ino), file.read(4096).strip()
    except OSError as error:
        log.debug("the administrator's token file cannot be read", extra={"error": str(error)})
        return None
