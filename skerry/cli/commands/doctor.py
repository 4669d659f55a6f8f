"""doctor: is the host well, and is each member, from both sides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.cli import state
from skerry.cli.checking import check_style, failed, shown
from skerry.cli.commands.clients import cluster_names
from skerry.cli.commands.host import StateDir
from skerry.cli.failure import FAILED, NOT_RUNNING, TIMED_OUT, USAGE, Failure
from skerry.cli.plan import RunStatus, is_locked, read_status
from skerry.cli.term import program, progress, seconds
from skerry.errors import SkerryError

if TYPE_CHECKING:
    from skerry.checks.report import CheckReport
    from skerry.checks.run import Checks
    from skerry.member.upstream import Upstream

HOST = "host"
AT_ONCE = 64
"""Members that are asked side by side."""
SHORTEST_S = 1.0


def doctor(
    cluster: Annotated[
        str, typer.Argument(help="Only this member; `host`: only the host.", autocompletion=cluster_names)
    ] = "",
    style: Annotated[str, typer.Option("-o", "--output", metavar="json", help="json: as a document.")] = "",
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="When all is over, done or not.")] = "15s",
    state_dir: StateDir = None,
) -> None:
    """Check the host and all its members, each by named checks with the next step.

    Exit code 1: a check failed; 3: no host runs here; 5: the time was over before all were done.

    Examples: skerry doctor        skerry doctor munich -o json
    """
    check_style(style)
    limit_s = seconds(timeout)
    if limit_s < SHORTEST_S:
        raise Failure(f"--timeout {timeout}: at least {SHORTEST_S:g}s", USAGE)
    root = state.directory(state_dir)
    host = root / "host"
    status = read_status(host) if is_locked(host / "lock") else None
    if status is None:
        raise Failure(f"no host runs here (state {root}): {program()} up", NOT_RUNNING)
    examination = Examination(host, status, cluster)
    with progress() as display:
        display.show("looking at the host and its members")
        report = asyncio.run(examination.run(limit_s))
    if not examination.timed_out:
        shown(report, style, where=True)
        return
    try:
        shown(report, style, where=True)
    except Failure:
        raise Failure(f"not all was answered within {timeout}; {failed(report)}", TIMED_OUT) from None
    raise Failure(f"not all was answered within {timeout}", TIMED_OUT)


class Examination:
    """One run over a host and its members, or one of them. `timed_out` tells afterwards that something did not end in time."""

    def __init__(self, host: Path, status: RunStatus, only: str = "") -> None:
        self._host, self._status, self._only = host, status, only
        self._clusters: list[dict[str, Any]] = []
        self._runs: list[Checks] = []

    @property
    def timed_out(self) -> bool:
        """Whether something did not end in time."""
        return any(run.timed_out for run in self._runs)

    async def run(self, limit_s: float) -> CheckReport:
        """All checks, side by side; over after `limit_s`, done or not. Failure for a member that there is not."""
        from skerry.checks import report
        from skerry.member import kubeconfig
        from skerry.member.credentials import source
        from skerry.member.role import ADMIN
        from skerry.member.upstream import Upstream

        until = asyncio.get_running_loop().time() + limit_s
        target = kubeconfig.load(str(self._host / "admin.kubeconfig"), self._status.options.name)
        upstream = Upstream(target, source(target), role=ADMIN, connections=AT_ONCE)
        try:
            problem = await self._list(upstream, until)
            async with asyncio.TaskGroup() as group:
                if self._only in ("", HOST):
                    group.create_task(self._of_host(until))
                if not problem:
                    slots = asyncio.Semaphore(AT_ONCE)
                    for each in self._members():
                        group.create_task(self._of_member(upstream, each, until, slots))
        finally:
            await upstream.close()
        if problem:
            self._runs.append(self._unlisted(problem, until))
        return report.report([check for run in self._runs for check in run.checks])

    async def _list(self, upstream: Upstream, until: float) -> str:
        """Know all Clusters; why not, if the front door does not tell them."""
        from skerry.cli.api import path_of

        try:
            async with asyncio.timeout_at(until):
                answer = await upstream.call("GET", path_of("clusters"))
        except (SkerryError, TimeoutError) as error:
            return str(error) or "the front door does not answer in time"
        if answer.status != 200:
            return f"the front door does not list clusters ({answer.message()})"
        self._clusters = answer.document().get("items") or []
        if self._only not in ("", *(each["metadata"]["name"] for each in self._clusters)):
            raise Failure(f"there is no cluster {self._only}: {program()} clusters lists them", FAILED)
        return ""

    def _members(self) -> list[dict[str, Any]]:
        """Those with an API server: members, and the host's own cluster if it is managed."""
        from skerry.checks.member import mode_of

        members = [each for each in self._clusters if mode_of(each) != "none"]
        selected = [each for each in members if self._only in ("", each["metadata"]["name"])]
        return sorted(selected, key=lambda each: str(each["metadata"]["name"]))

    def _unlisted(self, problem: str, until: float) -> Checks:
        from skerry.checks.member import MEMBER
        from skerry.checks.report import told
        from skerry.checks.run import Checks

        run = Checks(self._only or HOST, MEMBER, until=until)
        outcome = told(problem)
        run.keep("member.presence", outcome._replace(next=outcome.next or f"{program()} logs tower says why"))
        return run

    async def _of_host(self, until: float) -> None:
        from skerry.checks.hostbus import HostBusChecks
        from skerry.checks.member import mode_of
        from skerry.checks.report import Outcome, told
        from skerry.checks.run import Checks
        from skerry.cli import bootstrap, hostbus
        from skerry.cli.hostchecks import HOST as NAMES
        from skerry.cli.hostchecks import HostChecks
        from skerry.identity.federation import Authority

        run, options = Checks(HOST, NAMES, until=until), self._status.options
        self._runs.insert(0, run)
        await HostChecks(self._host, self._status).run(run)
        try:
            settings = hostbus.settings(self._host, options, "skerry doctor")
            authority = Authority.load(bootstrap.keys_of(self._host, options))
        except (SkerryError, OSError) as error:
            run.keep("host.bus", told(str(error)))
            for name in ("host.store", "host.accounts", "host.clock"):
                run.keep(name, Outcome("not looked at, because host.bus did not pass", "skip"))
            return
        with_agents = sum(mode_of(each) == "agent" for each in self._clusters)
        await HostBusChecks(settings, authority, lambda: with_agents).run(run)

    async def _of_member(
        self, upstream: Upstream, cluster: dict[str, Any], until: float, slots: asyncio.Semaphore
    ) -> None:
        from skerry.checks.live import MemberChecks
        from skerry.checks.member import MEMBER
        from skerry.checks.run import Checks

        run = Checks(cluster["metadata"]["name"], MEMBER, until=until)
        self._runs.append(run)
        uid = next(
            (str(each.get("status", {}).get("uid", "")) for each in self._clusters if each["metadata"]["name"] == HOST),
            "",
        )
        async with slots:
            await MemberChecks(upstream, uid, cluster).run(run)
