"""What people may do in the store beyond what the front door decides by kind: write in a workspace, review, administer the host."""

from __future__ import annotations

import time
from collections.abc import Callable

from skerry.access import Access
from skerry.access.escalation import Writer, administers_host
from skerry.access.ties import within
from skerry.api.kinds.access import APP_REVIEWER, OF_POOL, OF_WORKSPACE
from skerry.api.kinds.appstore import EDITORS
from skerry.api.messages import HOST, Caller


class People:
    """Asked by rules and actions. `now` is Unix time in seconds."""

    def __init__(self, access: Access, now: Callable[[], float] = time.time) -> None:
        self._access, self._now = access, now

    def administers(self, caller: Caller) -> bool:
        """True of an administrator of the host."""
        return administers_host(Writer(caller), self._access, self._now()) > self._now()

    def reviews(self, caller: Caller) -> bool:
        """True of who may pass what others submitted."""
        holdings = self._access.reach(caller, HOST, self._now()).holdings
        given = any(scope.group == APP_REVIEWER for each in holdings for scope in each.scopes)
        return given or APP_REVIEWER in caller.groups or self.administers(caller)

    def reads(self, caller: Caller, namespace: str) -> bool:
        """True of who may see the apps of a namespace; the front door decides it once more for each."""
        now = self._now()
        if any(within(tie, caller, namespace, self._access, now) for tie in (OF_WORKSPACE, OF_POOL)):
            return True
        return self.reviews(caller) or not self._access.reach(caller, HOST, now).nothing

    def writes(self, caller: Caller, namespace: str) -> bool:
        """True of who may make and change apps in a workspace; in the pool and in `default` administrators of the host alone may."""
        return self.administers(caller) or within(EDITORS, caller, namespace, self._access, self._now()) is not None
