"""How the member's API server is doing, for the heartbeat: asked every 10 s with the agent's own credential.

At the start and each minute it is also looked at whether it is still the cluster that joined and still lets us serve: a
kubeconfig that was pointed at another cluster must not make that one appear under this one's name, and a binding that was
deleted must not leave everybody with 403 behind a member that is called ready.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from skerry.api.times import rfc3339
from skerry.errors import StatusError
from skerry.member import probe
from skerry.member.credentials import CredentialError
from skerry.member.identity import RightsMissing, TakenOver, WrongCluster, app_store_of
from skerry.member.kubeconfig import KubeconfigError
from skerry.member.membership import MembershipCheck
from skerry.member.upstream import Upstream

log = logging.getLogger("skerry.agent")

SLOW_EVERY = 30
"""The version is asked at every 30th check: 5 minutes."""
UID_LIMIT = 128


class ClusterHealth:
    """The health that is known now; read by the heartbeat."""

    def __init__(
        self,
        upstream: Upstream,
        membership: MembershipCheck,
        uid: str,
        look_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream, self._membership, self._joined = upstream, membership, uid
        self._look_s, self._clock = look_s, clock
        self._looked = float("-inf")
        self._checks = 0
        self.healthy = True
        self.message = ""
        self.version = ""
        self.uid = uid
        """Of the cluster that answers: of another one than joined, if another one does."""
        self.missing = ""
        """What the last look found that our account cannot repair."""
        self.repaired = ""
        """What a look repaired last, and when."""
        self.taken_over = False
        """The cluster is marked as another host's."""
        self.app_store = ""
        """The cluster's own setting of the App Store, as it was seen last."""
        self.known = asyncio.Event()
        """After the first check."""

    async def check(self) -> bool:
        """One check; True if what the host should know of it changed. Never raises, whatever the API server does."""
        before = self._known()
        uid, problem, taken_over = self._joined, "", False
        try:
            problem = await self._checked()
        except TakenOver as e:
            problem, taken_over = e.message, True
        except WrongCluster as e:
            uid, problem = e.found[:UID_LIMIT], e.message
        except StatusError as e:
            problem = e.message
            if isinstance(e, RightsMissing):
                self._told(problem)
        except (CredentialError, KubeconfigError) as e:
            problem = str(e)
        except Exception:
            problem = "the agent could not look at its API server: an internal error, its log has it"
            log.exception("a look at the API server failed")
        if problem != self.message:
            log.log(
                logging.WARNING if problem else logging.INFO, "the API server", extra={"state": problem or "answers"}
            )
        self.uid, self.healthy, self.message, self.taken_over = uid, not problem, problem, taken_over
        self.known.set()
        return self._known() != before

    def _known(self) -> tuple[object, ...]:
        return self.uid, self.message, self.taken_over, self.missing, self.repaired, self.app_store

    async def _checked(self) -> str:
        if problem := await probe.unready(self._upstream):
            return problem
        if self._clock() - self._looked >= self._look_s:
            await self._look()
        self.app_store = app_store_of(await self._upstream.identify())
        if self._checks % SLOW_EVERY == 0:
            self._upstream.reconnect()  # what it shows in TLS may have been renewed
            self.version = (await probe.facts(self._upstream)).version
        self._checks += 1
        return ""

    async def _look(self) -> None:
        look = await self._membership.look()
        self._looked = self._clock()
        self._told(look.missing)
        if look.repaired:
            at = rfc3339(time.time())
            self.repaired = f"{look.repaired} was missing or changed, and was made right at {at}"
            log.warning("something was taken away on this cluster and is repaired", extra={"what": look.repaired})

    def _told(self, missing: str) -> None:
        if missing and missing != self.missing:
            log.warning("something that serving needs is missing", extra={"what": missing})
        self.missing = missing
