"""The checks of a cluster by its API server, with the credential that will serve. They change nothing.

Whether the bindings may be made and whether impersonation is allowed is asked by trying (a server-side dry run, an
impersonated GET), because an access review does not know webhooks, admission, or `escalate`. What desired state will need
later is asked by reviews: there is nothing yet that could be tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from skerry import requirements, room
from skerry.checks.nodes import nodes_left
from skerry.checks.report import Outcome, told
from skerry.checks.rights import ReviewedRight, reviewed, rights
from skerry.checks.run import Checks
from skerry.demand import Amounts, written
from skerry.errors import BadGateway, Forbidden, NotFound, SkerryError, StatusError
from skerry.member import account, bindings, checks
from skerry.member.identity import owner_of
from skerry.member.upstream import Upstream
from skerry.scheduling import PodRules, repelled

AT_ONCE = 3
"""Reviews that are asked side by side: a command has four connections to an API server."""
ADVICE_S = 3.0
"""For a check that only warns. A cluster of thousands of pods is not counted in that time, and joins."""
TENANT_ROLES = ("view", "edit", "admin")
_CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
_SHOWN = ("cpu", "memory")
_NAMED = 3
"""Missing rights that are named; of the others the number."""


class ClusterChecks:
    """Of one cluster on behalf of the host `host_uid`."""

    def __init__(
        self,
        upstream: Upstream,
        host_uid: str,
        *,
        take_over: bool = False,
        installs: bool = True,
        desired: bool = True,
        account_is_made: bool = False,
    ) -> None:
        """`installs`: an agent will run there; `desired`: the host may keep things in place there; `account_is_made`: with
        another credential than this one, an account that gets the rights it needs."""
        self._upstream, self._host_uid, self._take_over = upstream, host_uid, take_over
        self._installs, self._desired, self._account_is_made = installs, desired, account_is_made
        self.uid, self.version = "", ""
        """Of kube-system, and gitVersion; empty until they are known."""
        self._owner_uid = self._owner_name = ""

    async def run(self, run: Checks) -> None:
        """All of them."""
        await self.identify(run)
        where = self._upstream.url
        for name, work in (
            ("impersonation", self._impersonation),
            ("roles", partial(_advice, self._roles)),
            ("bindings", self._bindings),
            ("desired", partial(_advice, self._rights)),
            ("resources", partial(_advice, self._resources)),
        ):
            await run.run(name, work, needs=("api.version",), waits_for=where)

    async def identify(self, run: Checks) -> None:
        """Those that find out which cluster it is and whose."""
        where = self._upstream.url
        await run.run("api.reach", self._reach, waits_for=where)
        await run.run("api.version", self._version, needs=("api.reach",), waits_for=where)
        await run.run("identity", self._identity, needs=("api.version",), waits_for=where)
        await run.run("owner", self._owner, needs=("identity",))

    async def _reach(self) -> Outcome:
        answer = await self._upstream.call("GET", "/version")
        if answer.status == 401:
            raise checks.refused(self._upstream)
        if answer.status == 429 or answer.status >= 500:
            raise BadGateway(f"{self._upstream.url} is not well ({answer.message()}): look at its API server")
        return Outcome(f"{self._upstream.url} takes the credential of {self._upstream.origin}")

    async def _version(self) -> Outcome:
        self.version = await checks.version_of(self._upstream)
        oldest = requirements.oldest_kubernetes()
        match requirements.kubernetes_fit(self.version):
            case "old":
                return Outcome(
                    f"Kubernetes {self.version}, older than what is tested ({oldest} and later)",
                    "warn",
                    "upgrade the cluster; it joins all the same, and its condition VersionSupported is False",
                )
            case "unknown":
                return Outcome(
                    f"{self.version}, which is no version of Kubernetes that can be read", "warn", "ask who made it"
                )
        return Outcome(f"Kubernetes {self.version}")

    async def _identity(self) -> Outcome:
        metadata = await checks.kube_system_of(self._upstream)
        self._owner_uid, self._owner_name = owner_of(metadata)
        self.uid = checks.uid_of(metadata, self._upstream)
        return Outcome(f"kube-system UID {self.uid}")

    async def _owner(self) -> Outcome:
        owner, name = self._owner_uid, self._owner_name
        if not owner:
            return await self._unowned()
        if owner == self._host_uid:
            return Outcome("it is marked as this host's own")
        if not self._host_uid:
            return Outcome("which host this is was not told, so its mark cannot be compared", "skip")
        if not self._take_over:
            raise checks.owned_by_another(owner, name)
        await bindings.take_over(self._upstream, "", self._host_uid, dry_run=True)
        label = repr(name or owner)
        return Outcome(f"it is marked as host {label}'s, and is taken over", "warn", f"remove it on host {label} too")

    async def _unowned(self) -> Outcome:
        """It joins also where it cannot be marked; but then nothing tells another host, or somebody there, whose it is."""
        taken = ", so there is nobody to take it over from" if self._take_over else ""
        found = f"it is no host's member yet{taken}"
        if self._account_is_made:
            return Outcome(found)
        why = await bindings.unmarkable(self._upstream, self._host_uid)
        if why:
            return Outcome(
                f"{found}, and cannot be marked as one ({why}): another host would not see that it is",
                "warn",
                f"allow {self._upstream.role.name}'s account `patch` on namespace kube-system; it joins all the same",
            )
        return Outcome(found)

    async def _impersonation(self) -> Outcome:
        return Outcome(await checks.impersonation_of(self._upstream))

    async def _bindings(self) -> Outcome:
        return Outcome(await checks.bindings_of(self._upstream))

    async def _roles(self) -> Outcome:
        """Aggregated roles are filled by the controller manager: without one they are there, and give nothing."""
        empty, absent = [], []
        for role in TENANT_ROLES:
            answer = await self._upstream.call("GET", f"{_CLUSTER_ROLES}/{role}")
            if answer.status == 403:
                return Outcome(f"ClusterRole {role} may not be read by this credential", "skip")
            if answer.status == 404:
                absent.append(role)
            elif answer.status != 200:
                raise BadGateway(f"ClusterRole {role} cannot be read ({answer.message()}): try again")
            elif not answer.document().get("rules"):
                empty.append(role)
        if absent:
            return Outcome(
                f"ClusterRole {', '.join(absent)} is missing: who is given it may do nothing",
                "warn",
                "restart the API server, which makes them when it starts",
            )
        if empty:
            return Outcome(
                f"ClusterRole {', '.join(empty)} has no rules: who is given it may do nothing",
                "warn",
                "see that the cluster's kube-controller-manager runs, which fills them",
            )
        return Outcome(f"ClusterRoles {', '.join(TENANT_ROLES)} are there and not empty")

    # Desired state

    async def _rights(self) -> Outcome:
        if not self._desired:
            return Outcome("its own ceiling lets the host keep nothing in place here", "skip")
        if self._account_is_made:
            return Outcome("the account that will be made gets them", "skip")
        needed, limit = list(rights(account.rules())), asyncio.Semaphore(AT_ONCE)

        async def allowed(right: ReviewedRight) -> bool | None:
            async with limit:
                return await reviewed(self._upstream, right)

        answers = await asyncio.gather(*(allowed(each) for each in needed))
        if None in answers:
            return Outcome("this API server does not tell what the credential may do", "skip")
        missing = [str(each) for each, answer in zip(needed, answers, strict=True) if not answer]
        if not missing:
            return Outcome(f"all {len(needed)} rights that the host's services use here")
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return Outcome(
            f"the credential of {self._upstream.origin} may not {', '.join(missing[:_NAMED])}{more}",
            "warn",
            "give its account these rights; without them that much is not shown or not kept in place here",
        )

    # Room

    async def _resources(self) -> Outcome:
        if not self._installs:
            return Outcome("nothing is installed on a direct member", "skip")
        needs = requirements.workload("agent").requests
        needed = f"{_amounts(needs)} for an agent in a pod"
        try:
            left = await self._left()
        except (Forbidden, NotFound) as error:
            return Outcome(f"room cannot be counted: {error.message}", "skip")
        if not left:
            return Outcome(
                f"no node that is ready takes pods ({needed})",
                "warn",
                "an agent in a pod would wait for one; one outside the cluster needs none",
            )
        best = room.roomiest(needs, left)
        if not room.fits(needs, left[best]):
            return Outcome(
                f"no node has {needed} unrequested; most has {best}, {_amounts(left[best])}",
                "warn",
                "free a node or add one; an agent outside the cluster needs none",
            )
        return Outcome(f"node {best} has {_amounts(left[best])} unrequested, {needed} is needed")

    async def _left(self) -> dict[str, Amounts]:
        """What is unrequested, by node that takes pods. Forbidden, NotFound, BadGateway."""
        nodes, repels = await nodes_left(self._upstream), repelled(PodRules())
        return {node.name: node.left for node in nodes if not repels(node)}


async def _advice(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """A check that nothing depends on: what it cannot find out, or not soon, holds up and refuses nobody."""
    try:
        async with asyncio.timeout(ADVICE_S):
            return await work()
    except TimeoutError:
        return Outcome(f"not known after {ADVICE_S:g} s", "warn", "look at the API server, which is slow")
    except SkerryError as error:
        outcome = told(error.message if isinstance(error, StatusError) else str(error), "warn")
        return outcome._replace(next=outcome.next or "try again")


def _amounts(amounts: Amounts) -> str:
    return " and ".join(f"{name} {written(name, amounts.get(name, 0))}" for name in _SHOWN)
