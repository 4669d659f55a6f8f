"""cluster join with an agent: checks of the cluster, a join token for it alone, the agent's objects, and the wait until it is Ready.

What is installed is what the chart would install (skerry/cli/agentmanifest.py), by server-side apply with the administrator's own
kubeconfig. Nothing is written before the checks have passed; the token is pinned to the cluster that was looked at.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from skerry.api.conditions import condition_of
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.api.meta import Document
from skerry.api.names import MANAGED_BY
from skerry.api.text import clean
from skerry.api.validation import is_label
from skerry.cli.agentmanifest import NAME, ROLE, AgentInstallation, manifests
from skerry.cli.api import Api, path_of
from skerry.cli.checking import shown, tell, waiting
from skerry.cli.commands.clients import new_object
from skerry.cli.commands.direct import check, host_of, reached
from skerry.cli.commands.preflight import agent_objects, refuse
from skerry.cli.commands.preflight import tell as tell_room
from skerry.cli.failure import FAILED, MISSING, TIMED_OUT, USAGE, Failure
from skerry.cli.term import ProgressLine, out, program, progress, say
from skerry.errors import AlreadyExists, Forbidden, NotFound, StatusError
from skerry.member.objects import ObjectClient

if TYPE_CHECKING:
    from skerry.checks.cluster import ClusterChecks
    from skerry.checks.preflightreport import PreflightCheck, PreflightReport
    from skerry.checks.report import Check
    from skerry.member.kubeconfig import Target
    from skerry.member.upstream import Upstream

MANAGER = "skerry-join"
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": ROLE},
}
"""Names the binding of the agent's account."""
POLL_S = 0.5
TTL = "1h"
_PASSING = frozenset({None, "ContainerCreating", "PodInitializing", "CrashLoopBackOff"})


def target_of(path: Path | None, context: str) -> Target:
    """The cluster that joins, by default that of kubectl's own file. KubeconfigError, Failure."""
    from skerry.cli import kubeconfig as files
    from skerry.member import kubeconfig

    if path is None:
        existing = [each for each in files.files() if each.exists()]
        if not existing:
            raise Failure("there is no kubeconfig of the cluster: give one with --kubeconfig FILE", MISSING)
        path = existing[0]
    return kubeconfig.load(str(path), context)


class AgentJoin:
    """One join of one cluster with an agent."""

    def __init__(self, api: Api, name: str, installation: AgentInstallation) -> None:
        self._api, self._name, self._installation = api, name, installation
        for namespace in (installation.namespace, *installation.namespaces):
            if not is_label(namespace):
                raise Failure(f"namespace {namespace!r}: use a-z, 0-9 and -, at most 63 characters", USAGE)

    def print(self) -> None:
        """A token, and the objects on stdout."""
        installation = msgspec.structs.replace(self._installation, token=self._token(""))
        items = [_namespace(installation.namespace), *manifests(installation)]
        say(f"# kubectl --context CONTEXT apply -f -, within {TTL}; it has a secret in it")
        out(msgspec.json.format(msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})).decode())

    def dry_run(self, target: Target, style: str) -> None:
        """Only the checks. Failure if one failed."""
        shown(asyncio.run(self._checked(target, aloud=False)), style)

    def join(self, target: Target, *, preflight: bool, limit_s: float) -> None:
        """Check, install, wait until it is Ready. CheckFailed, StatusError, Failure."""
        asyncio.run(self._join(target, preflight, limit_s))
        say(f"cluster {self._name} joined")

    async def _checked(self, target: Target, *, aloud: bool) -> Any:
        from skerry.checks import report
        from skerry.checks.run import Checks

        run = Checks(self._name, report.JOIN, tell if aloud else lambda check: None, waiting)
        async with reached(target) as upstream:
            await check(run, self._cluster(upstream), self._api, self._name, "the agent makes it in its pod")
            room = (await self._preflight(upstream, _silent)).checks if run.stands("api.version") else []
        objects = [f"{each['kind']} {each['metadata']['name']}" for each in manifests(self._installation)]
        return report.report(
            [*run.checks, *(_join_check(self._name, each) for each in room)], [f"Cluster {self._name}", *objects]
        )

    async def _preflight(self, upstream: Upstream, tell: Callable[[PreflightCheck], None]) -> PreflightReport:
        """Whether there is room for the agent, and all of its objects are admitted."""
        from skerry.checks.preflight import Preflight
        from skerry.installation import installation

        planned = installation("agent", {"replicas": self._installation.replicas})
        namespace = self._installation.namespace
        documents = agent_objects(planned, namespace, self._installation)
        return await Preflight(upstream, planned, namespace, tell, waiting, documents).room()

    def _cluster(self, upstream: Upstream) -> ClusterChecks:
        from skerry.checks.cluster import ClusterChecks

        return ClusterChecks(upstream, host_of(self._api).uid, account_is_made=True)

    async def _join(self, target: Target, preflight: bool, limit_s: float) -> None:
        from skerry.checks import report
        from skerry.checks.run import Checks

        async with reached(target) as upstream:
            uid = ""
            if preflight:
                run, cluster = Checks(self._name, report.JOIN, tell, waiting), self._cluster(upstream)
                await check(run, cluster, self._api, self._name, "the agent makes it in its pod")
                run.raise_failed()
                uid = cluster.uid
                refuse(
                    await self._preflight(upstream, tell_room),
                    f"; {program()} join --no-preflight installs all the same",
                )
            client = ObjectClient(upstream, MANAGER)
            await refuse_others(client, self._installation.namespace, f"{program()} token create {self._name}")
            installation = msgspec.structs.replace(self._installation, token=self._token(uid))
            await install(client, installation)
            say(f"the agent is installed in namespace {installation.namespace}")
            with progress() as display:
                await self._ready(upstream, installation, display, limit_s)

    def _token(self, uid: str) -> str:
        """Of the host, for this name, and for this cluster alone where it is known."""
        spec = {"clusterName": self._name, "ttl": TTL, **({"clusterUID": uid} if uid else {})}
        body = new_object(JOIN_TOKEN, f"{self._name[:50].rstrip('-')}-{secrets.token_hex(3)}", **spec)
        answer = self._api.post(path_of(JOIN_TOKEN.plural), body)
        return str(answer["status"]["token"])

    async def _ready(
        self, upstream: Upstream, installation: AgentInstallation, display: ProgressLine, limit_s: float
    ) -> None:
        """Failure with what its pods or the host say, at once where a person must mend it."""
        deadline = time.monotonic() + limit_s
        while True:
            reason = self._unready()
            if not reason:
                return
            reason = await _of_pods(upstream, installation) or reason
            display.show(f"waiting for cluster {self._name}: {reason}")
            if time.monotonic() >= deadline:
                raise Failure(
                    f"cluster {self._name} is not Ready yet ({reason}), and the agent goes on: look at {program()} clusters "
                    f"-o wide, and at kubectl logs -n {self._installation.namespace} deployment/{NAME}",
                    TIMED_OUT,
                )
            await asyncio.sleep(POLL_S)

    def _unready(self) -> str:
        """Why it is not Ready; empty if it is."""
        try:
            ready = condition_of(self._api.get(path_of(CLUSTER.plural, self._name)), "Ready")
        except NotFound:
            return "its agent has not asked to join yet"
        return "" if ready.status == "True" else ready.message or "its agent is not connected yet"


async def refuse_others(client: ObjectClient, namespace: str, remedy: str) -> None:
    """Failure if the agent there is Helm's, or somebody else's, who changes and takes away what he installed, or if it is in
    another namespace: a cluster has one agent, and its binding is that one's."""
    try:
        binding = await client.get(BINDING)
    except Forbidden:
        return
    if binding is None:
        return
    owner = (binding["metadata"].get("labels") or {}).get(MANAGED_BY)
    if owner:
        raise Failure(f"the agent there was installed by {clean(str(owner), 60)}: go on with that: {remedy}")
    places = [each.get("namespace") for each in binding.get("subjects") or ()]
    if places != [namespace]:
        others = clean(", ".join(map(str, places)), 200)
        raise Failure(f"the agent there is in namespace {others}, and a cluster has one: say that with -n")


async def install(client: ObjectClient, installation: AgentInstallation) -> None:
    """Apply the objects. Failure naming the first that the cluster does not take."""
    with suppress(AlreadyExists), named(_namespace(installation.namespace), "made"):
        await client.create(_namespace(installation.namespace))
    for each in manifests(installation):
        with named(each, "applied"):
            await client.apply(each)


@contextmanager
def named(document: Document, done: str) -> Iterator[None]:
    """Failure with the name of an object that cannot be `done`."""
    try:
        yield
    except AlreadyExists:
        raise
    except StatusError as error:
        name = f"{document['kind']} {document['metadata']['name']}"
        raise Failure(f"{name} cannot be {done} there: {error.message}") from error


def _silent(check: PreflightCheck) -> None:
    pass


def _join_check(where: str, made: PreflightCheck) -> Check:
    """In the words of a join's checks; what is not known does not let it pass."""
    from skerry.checks.report import Outcome, check

    result = "fail" if made.state == "unknown" else made.state
    return check(where, made.name, Outcome(made.message, result, made.next))


def _namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def _of_pods(upstream: Upstream, installation: AgentInstallation) -> str:
    """What keeps the agent's pods from serving, as far as they say; those of an earlier token are not asked. Failure with the
    line with which the agent ended."""
    path = f"/api/v1/namespaces/{installation.namespace}/pods?labelSelector=app.kubernetes.io%2Fname%3D{NAME}"
    answer = await upstream.call("GET", path)
    items = answer.document().get("items")
    pods = [each for each in items if _is_of(each, installation)] if isinstance(items, list) else []
    for line in _lines(pods):
        return line
    return ""


def _is_of(pod: dict[str, Any], installation: AgentInstallation) -> bool:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return annotations.items() >= installation.checksums().items()


def _lines(pods: list[Any]) -> Iterator[str]:
    for pod in pods:
        status = pod.get("status") or {}
        for container in status.get("containerStatuses") or ():
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                yield from _line(state)
        for condition in status.get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                yield clean(f"its pod has no node: {condition.get('message', '')}", 300)


def _line(state: dict[str, Any]) -> Iterator[str]:
    """What the state of a container says. Failure with the line with which it ended."""
    ended, waits = state.get("terminated") or {}, state.get("waiting") or {}
    if ended.get("message"):
        raise Failure(f"the agent cannot join: {clean(str(ended['message']), 600)}", FAILED)
    if waits.get("reason") not in _PASSING:
        yield clean(f"its pod waits: {waits['reason']} {waits.get('message', '')}".strip(), 300)
