"""cluster join and cluster set: direct members, whose API server the host reaches itself; nothing is installed on them.

What needs the administrator's own rights is done from here with the kubeconfig given: the checks, the four bindings, the
mark on kube-system and, with --create-service-account, an account for the host. What the host gets is one kubeconfig
without files or plugins; it looks at the cluster itself before it believes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.meta import Document
from skerry.cli.api import path_of
from skerry.cli.checking import shown, tell, waiting
from skerry.cli.commands.clients import ClusterName, connect, leftovers
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import program, say
from skerry.errors import StatusError

if TYPE_CHECKING:
    from skerry.checks.cluster import ClusterChecks
    from skerry.checks.report import CheckReport, Outcome
    from skerry.checks.run import Checks
    from skerry.cli.api import Api
    from skerry.member.account import AccountToken
    from skerry.member.kubeconfig import Target
    from skerry.member.upstream import Upstream

MemberName = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig of the member, not of the host.")
]
MemberContext = Annotated[str, typer.Option("--context", metavar="NAME", help="Context in that kubeconfig.")]
Account = Annotated[
    bool,
    typer.Option(
        "--create-service-account",
        help="Make an account for the host on the member, and give the host its token alone. Needed for exec plugins.",
    ),
]
HostFile = Annotated[
    Path | None,
    typer.Option("--host-kubeconfig", metavar="FILE", help="Kubeconfig of the host. Default: the local admin's."),
]
HostContext = Annotated[str, typer.Option("--host-context", metavar="NAME", help="Context in the host's kubeconfig.")]


def join(
    api: Api, name: str, target: Target, *, create_service_account: bool, take_over: bool, dry_run: bool, style: str
) -> None:
    """Join a cluster that the host reaches itself, or only check. Failure, CheckFailed, StatusError."""
    joining = _Joining(api, host_of(api), name, create_service_account)
    if not dry_run:
        asyncio.run(joining.join(target, take_over=take_over))
        return
    report = asyncio.run(joining.dry_run(target, take_over=take_over))
    shown(report, style)


def set_(
    name: ClusterName,
    kubeconfig: MemberName = None,
    context: MemberContext = "",
    create_service_account: Account = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the cluster back from another host that took it over.")
    ] = False,
    host_kubeconfig: HostFile = None,
    host_context: HostContext = "",
) -> None:
    """Give the host another credential, or address, for a direct member; one of another cluster is refused.

    Example: skerry cluster set m2 --kubeconfig renewed.kubeconfig
    """
    target = target_of(kubeconfig, context, create_service_account=create_service_account)
    api = connect(host_kubeconfig, host_context)
    asyncio.run(_Joining(api, host_of(api), name, create_service_account).rotate(target, take_over=take_over))


def target_of(path: Path | None, context: str, *, create_service_account: bool) -> Target:
    """The member as its kubeconfig names it. Raises KubeconfigError, Failure."""
    import msgspec

    from skerry.member import kubeconfig

    if path is None:
        raise Failure("--kubeconfig FILE is needed: the kubeconfig of the member, not of the host", USAGE)
    target = kubeconfig.load(str(path), context)
    if target.exec is not None and not create_service_account:
        raise Failure(
            f"{target.origin} runs an exec plugin ({target.exec.command}), which the host cannot run: add "
            "--create-service-account, and the host gets the token of an account made for it"
        )
    if target.token_file:
        return msgspec.structs.replace(target, token=_content(target.token_file), token_file="")
    return target


def _content(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"the token file {path} cannot be read: {error}") from error
    if not text:
        raise Failure(f"the token file {path} is empty")
    return text


class HostIdentity:
    """The host, as its own Cluster object tells."""

    def __init__(self, uid: str, name: str) -> None:
        self.uid, self.name = uid, name


def host_of(api: Api) -> HostIdentity:
    document = api.get(path_of("clusters", "host"))
    annotations = document["metadata"].get("annotations") or {}
    return HostIdentity(
        str(document.get("status", {}).get("uid", "")), str(annotations.get("skerry.dev/host-name", "skerry"))
    )


class _Joining:
    """One run of `join` or `set` against the member and the host."""

    def __init__(self, api: Api, host: HostIdentity, name: str, create_service_account: bool) -> None:
        self._api, self._host, self._name = api, host, name
        self._create_service_account = create_service_account

    async def join(self, target: Target, *, take_over: bool) -> None:
        """Check, write what serving needs, and tell the host. Raises CheckFailed, StatusError, Failure."""
        from skerry.checks import report
        from skerry.checks.run import Checks
        from skerry.member import bindings

        async with reached(target) as upstream:
            run = Checks(self._name, report.JOIN, tell, waiting)
            await self._check(run, upstream, take_over)
            run.raise_failed()
            await bindings.ensure(upstream, self._host.uid)
            await self._tell("POST", upstream, target, take_over)
            await bindings.mark(upstream, self._host.name, self._host.uid, await upstream.identify())
        say(f"cluster {self._name} joined")

    async def dry_run(self, target: Target, *, take_over: bool) -> CheckReport:
        """Only the checks, and the host's own look: it is the host that has to reach the API server."""
        from skerry.checks import report
        from skerry.checks.run import Checks
        from skerry.member import account, bindings

        run = Checks(self._name, report.JOIN, waiting=waiting)
        async with reached(target) as upstream:
            await self._check(run, upstream, take_over)
        if run.stands("api.reach") and not self._create_service_account:
            try:
                self._send("POST", _given(target, None), take_over, dry_run=True)
            except StatusError as error:
                if all(each.result != "fail" for each in run.checks):
                    summary, _, remedy = report.told(error.message)
                    run.keep(
                        "api.reach",
                        report.Outcome(f"it is reached from here, but the host says: {summary}", "fail", remedy),
                    )
        objects = [f"Cluster {self._name} on host {self._host.name}", *bindings.made(self._host.name)]
        return report.report(run.checks, [*objects, *(account.MADE if self._create_service_account else ())])

    async def _check(self, run: Checks, upstream: Upstream, take_over: bool) -> None:
        """All checks; those of an agent do not apply."""
        from skerry.checks.cluster import ClusterChecks

        cluster = ClusterChecks(
            upstream,
            self._host.uid,
            take_over=take_over,
            installs=False,
            account_is_made=self._create_service_account,
        )
        await check(run, cluster, self._api, self._name, "a direct member has no agent")

    async def rotate(self, target: Target, *, take_over: bool) -> None:
        """Check, and give the host the other credential. Raises CheckFailed, StatusError, Failure."""
        from skerry.checks.cluster import ClusterChecks
        from skerry.checks.run import Checks
        from skerry.member import bindings

        known = self._known()
        async with reached(target) as upstream:
            run = Checks(self._name, ("api.reach", "api.version", "identity", "owner"), tell, waiting)
            cluster = ClusterChecks(upstream, self._host.uid, take_over=take_over, installs=False)
            await cluster.identify(run)
            run.raise_failed()
            if known != cluster.uid:
                raise Failure(
                    f"the kubeconfig is for another cluster (kube-system UID {cluster.uid}) than {self._name} ({known}): give "
                    f"one of the same cluster; nothing was changed"
                )
            if self._create_service_account:
                await bindings.ensure(upstream)
            await self._tell("PUT", upstream, target, take_over)
        say(f"cluster {self._name} has another credential")

    def _known(self) -> str:
        document = self._api.get(path_of("clusters", self._name))
        mode = document.get("spec", {}).get("connection", {}).get("mode")
        if mode != "direct":
            raise Failure(
                f"cluster {self._name} is not a direct member (connection {mode}): the host has no credential"
            )
        return str(document.get("status", {}).get("uid", ""))

    async def _tell(self, method: str, upstream: Upstream, target: Target, take_over: bool) -> None:
        """Give the host the credential; what was made for it and is not taken is deleted again, or named."""
        from skerry.member import account

        account_token = await account.create(upstream) if self._create_service_account else None
        if account_token is not None:
            say(f"made service account {account.NAMESPACE}/{account.NAME}")
        try:
            self._send(method, _given(target, account_token), take_over)
        except BaseException:
            if account_token is not None and account_token.secret:
                await upstream.call("DELETE", f"/api/v1/namespaces/{account.NAMESPACE}/secrets/{account_token.secret}")
            if method == "POST":
                say("the host did not take it; what was made on the cluster can be removed with:")
                for line in leftovers():
                    say(f"  {line}")
            raise
        if account_token is not None:
            await account.forget_tokens(upstream, account_token.secret)

    def _send(self, method: str, kubeconfig: str, take_over: bool, *, dry_run: bool = False) -> None:
        from skerry.api.v1alpha1 import API_VERSION

        path = f"{path_of('clusters', self._name)}/connection{'?dryRun=All' if dry_run else ''}"
        body: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": "ClusterConnection",
            "spec": {"kubeconfig": kubeconfig, "takeOver": take_over},
        }
        (self._api.post if method == "POST" else self._api.put)(path, body)


async def check(run: Checks, cluster: ClusterChecks, api: Api, name: str, agentless: str) -> None:
    """All checks that can be made from here; `agentless` says why those of an agent are not."""
    from skerry.checks.report import Outcome

    for each in ("token", "bus.dns", "bus.tcp", "bus.tls", "bus.auth", "clock"):
        run.keep(each, Outcome(agentless, "skip"))
    version = str(api.get("/version").get("gitVersion") or "")
    run.keep("host.version", Outcome(version.partition("+skerry.")[2] or version))
    clusters = api.get(path_of("clusters")).get("items", [])
    run.keep("host.name", _free(name, clusters))
    await cluster.run(run)
    run.keep("duplicate", _single(clusters, cluster.uid))


def _free(name: str, clusters: list[Document]) -> Outcome:
    """Whether the name is free. The host itself looks again, and its answer counts."""
    from skerry.checks.report import Outcome

    if all(item["metadata"]["name"] != name for item in clusters):
        return Outcome(f"{name} is free")
    other = f"use another name; for another credential of the same cluster: {program()} cluster set {name} --kubeconfig FILE"
    return Outcome(f"a cluster {name} has joined already", "fail", other)


def _single(clusters: list[Document], uid: str) -> Outcome:
    """Whether this cluster has no other name."""
    from skerry.checks.report import Outcome

    if not uid:
        return Outcome("not looked at, because identity did not pass", "skip")
    names = [item["metadata"]["name"] for item in clusters if item.get("status", {}).get("uid") == uid]
    if not names:
        return Outcome("this cluster has no other name on this host")
    conflict = f"this cluster (kube-system UID {uid}) has joined already, as {names[0]}"
    return Outcome(conflict, "fail", f"use that one, or remove it first: {program()} cluster remove {names[0]}")


def _given(target: Target, account_token: AccountToken | None) -> str:
    """The kubeconfig for the host: the credential given, or the token made for it and nothing else."""
    import msgspec

    from skerry.member.kubeconfig import flattened

    if account_token is None:
        return flattened(target)
    tls = msgspec.structs.replace(target.tls, certificate=b"", key=b"")
    return flattened(msgspec.structs.replace(target, tls=tls, token=account_token.token, exec=None))


@asynccontextmanager
async def reached(target: Target) -> AsyncIterator[Upstream]:
    """The member's API server, for the time of a `with`."""
    from skerry.member.credentials import source
    from skerry.member.role import ADMIN
    from skerry.member.upstream import Upstream

    upstream = Upstream(target, source(target), role=ADMIN, connections=4)
    try:
        yield upstream
    finally:
        await upstream.close()
