"""The checks of a member through the host: what is asked of it now, by who asks and with the rights that he has there.

It is the way that every client's requests take: front door, tunnel or connection, agent, API server.
"""

from __future__ import annotations

import time
from typing import Any

from skerry.api.meta import Document
from skerry.checks import member
from skerry.checks.member import OF_CLUSTER
from skerry.checks.report import Outcome, told
from skerry.checks.run import Checks
from skerry.errors import BadGateway
from skerry.member.identity import KUBE_SYSTEM
from skerry.member.upstream import Upstream, WholeAnswer


class MemberChecks:
    """Of one member, as its Cluster tells and as it answers to `host`, the front door."""

    def __init__(self, host: Upstream, host_uid: str, cluster: Document) -> None:
        self._host, self._host_uid, self._cluster = host, host_uid, cluster
        self._name = str(cluster["metadata"]["name"])
        self._metadata: dict[str, Any] = {}

    async def run(self, run: Checks) -> None:
        """All of them: first those that need to ask nobody."""
        for name, judge in OF_CLUSTER.items():
            run.keep(name, judge(self._cluster))
        waits_for = f"the answer of {self._name}"
        await run.run("member.tunnel", self._tunnel, waits_for=waits_for)
        await run.run("member.api", self._api, needs=("member.tunnel",), waits_for=waits_for)
        await run.run("member.identity", self._identity, needs=("member.tunnel",), waits_for=waits_for)
        if run.stands("member.identity"):
            run.keep("member.owner", member.owner(self._host_uid, self._metadata))
        else:
            run.keep("member.owner", Outcome("not looked at, because member.identity did not pass", "skip"))

    async def _ask(self, path: str) -> WholeAnswer:
        return await self._host.call("GET", f"/clusters/{self._name}{path}")

    async def _tunnel(self) -> Outcome:
        started = time.perf_counter()
        answer = await self._ask("/version")
        if answer.status == 403:
            return Outcome(f"it answers, and refuses this ({answer.message()})", "skip")
        if answer.status != 200:
            return _bad(answer)
        return Outcome(f"a request through the host was answered in {(time.perf_counter() - started) * 1000:.0f} ms")

    async def _api(self) -> Outcome:
        answer = await self._ask("/readyz")
        if answer.status in {403, 404}:
            return Outcome("it does not say whether it is ready", "skip")
        return Outcome("its API server is ready") if answer.status == 200 else _bad(answer)

    async def _identity(self) -> Outcome:
        answer = await self._ask(KUBE_SYSTEM)
        if answer.status == 403:
            return Outcome(f"kube-system may not be read ({answer.message()})", "skip")
        if answer.status != 200:
            raise BadGateway(f"kube-system cannot be read ({answer.message()}): look at member.api")
        self._metadata = answer.metadata()
        return member.identity(self._cluster, self._metadata)


def _bad(answer: WholeAnswer) -> Outcome:
    outcome = told(answer.message())
    return outcome._replace(next=outcome.next or "look at member.presence, and at the log of its agent")
