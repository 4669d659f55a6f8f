"""preflight: is there room for Skerry in a cluster, before anything is written there."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.cli.commands.app.given import given
from skerry.cli.commands.app.values import Sets, ValuesFiles
from skerry.cli.failure import FAILED, MISSING, USAGE, Failure
from skerry.cli.output import columns
from skerry.cli.term import out, say

if TYPE_CHECKING:
    from skerry.api.meta import Document
    from skerry.checks.preflightreport import PreflightCheck, PreflightReport
    from skerry.cli.agentmanifest import AgentInstallation
    from skerry.installation import Installation, Where
    from skerry.member.kubeconfig import Target

NAMESPACES = {"host": "skerry-system", "agent": "skerry-system", "direct": "kube-system"}


def preflight(
    host: Annotated[bool, typer.Option("--host", help="The host, by the chart skerry.")] = False,
    agent: Annotated[bool, typer.Option("--agent", help="An agent, by the chart skerry-agent.")] = False,
    direct: Annotated[bool, typer.Option("--direct", help="A direct member, on which nothing is installed.")] = False,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Default: $KUBECONFIG, or ~/.kube/config.")
    ] = None,
    context: Annotated[str, typer.Option("--context", metavar="NAME", help="Context in the kubeconfig.")] = "",
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NS", help="Where it would be installed.")
    ] = "",
    values: ValuesFiles = None,
    sets: Sets = None,
    manifest: Annotated[
        str, typer.Option("--manifest", metavar="FILE|-", help="What helm template rendered, in place of values.")
    ] = "",
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="As a document.")] = "",
) -> None:
    """See whether a cluster has what an installation of Skerry needs. Nothing is changed there.

    Exit code 0: it fits, perhaps with warnings; 1: it does not; 4: not all could be asked.

    With --manifest it is what helm rendered, and each object of it is tried in a dry run. The agent's own is known.

    Examples: skerry preflight --agent --context munich
    skerry preflight --host -n skerry-system -f values.yaml --set tower.replicas=2 -o json
    helm template skerry deploy/helm/skerry -n skerry-system | skerry preflight --host --manifest -
    """
    from skerry.installation import ValuesError, installation
    from skerry.manifest import ManifestError, installation_of, objects

    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)
    chosen: list[Where] = [where for where, is_it in (("host", host), ("agent", agent), ("direct", direct)) if is_it]  # type: ignore[misc]
    if len(chosen) != 1:
        raise Failure("say what would be installed: one of --host, --agent and --direct", USAGE)
    where = chosen[0]
    if manifest and (values or sets or direct):
        raise Failure("--manifest says all that is installed: leave out -f, --set and --direct", USAGE)
    try:
        if manifest:
            documents = objects(_documents(manifest))
            planned = installation_of(where, documents)
            namespace = _namespace(namespace, documents)
        else:
            namespace = namespace or NAMESPACES[where]
            planned = installation(where, given(values, sets, None, None, None, None).values)
            documents = agent_objects(planned, namespace) if agent else []
    except (ValuesError, ManifestError) as error:
        raise Failure(str(error), USAGE) from error
    target = _target(kubeconfig, context)
    report = asyncio.run(_run(target, planned, namespace, documents, live=not style))
    if style:
        from skerry.cli.output import document

        document(_document(report), style)
    else:
        _show(report)
    refuse(report)


def refuse(report: PreflightReport, remedy: str = "") -> None:
    """Failure naming what does not fit, or is not known."""
    failed = ", ".join(each.name for each in report.checks if each.state == report.verdict)
    if report.verdict == "fail":
        raise Failure(f"it does not fit: {failed}{remedy}", FAILED)
    if report.verdict == "unknown":
        raise Failure(f"whether it fits is not known: {failed}{remedy}", MISSING)


def agent_objects(
    planned: Installation, namespace: str, installation: AgentInstallation | None = None
) -> list[Document]:
    """All objects of an agent, with the pods that are planned."""
    from skerry.cli.agentmanifest import AgentInstallation, manifests, with_pods

    [workload] = planned.workloads
    plain = AgentInstallation(token="", namespace=namespace, replicas=workload.replicas)
    return with_pods(manifests(installation or plain), workload)


def _namespace(chosen: str, documents: list[Document]) -> str:
    """Where a manifest's pods run, which is one namespace. Failure (usage)."""
    from skerry.manifest import WORKLOADS

    named = {each["metadata"].get("namespace") for each in documents if each["kind"] in WORKLOADS} - {None}
    if len({*named, chosen} - {""}) > 1:
        raise Failure(f"the manifest is for namespace {', '.join(sorted(map(str, named)))}: say that with -n", USAGE)
    return chosen or next(iter(named), NAMESPACES["host"])


def _documents(file: str) -> list[Any]:
    """What is in a YAML file, or on stdin. Failure (usage)."""
    import yaml

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except OSError as error:
        raise Failure(f"--manifest {file} cannot be read: {error.strerror}", USAGE) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        line = " ".join(str(error).split())[:300]
        raise Failure(f"--manifest {file} is no YAML ({line}): give what helm template renders", USAGE) from error


def _target(path: Path | None, context: str) -> Target:
    from skerry.member import kubeconfig

    return kubeconfig.load(str(path or os.environ.get("KUBECONFIG") or "~/.kube/config"), context)


async def _run(
    target: Target, planned: Installation, namespace: str, documents: list[Document], *, live: bool
) -> PreflightReport:
    from skerry.checks.preflight import Preflight
    from skerry.cli.checking import waiting
    from skerry.cli.commands.direct import reached

    async with reached(target) as upstream:
        return await Preflight(upstream, planned, namespace, tell if live else _silent, waiting, documents).run()


def _silent(check: PreflightCheck) -> None:
    pass


def tell(check: PreflightCheck) -> None:
    """A check as it comes."""
    say(f"{check.state:<7}  {check.name:<13}  {check.message}")
    if check.next and check.state != "pass":
        say(f"{'':<24}{check.next}")


def _show(report: PreflightReport) -> None:
    """Where each replica would run."""
    rows = []
    for each in report.workloads:
        sizes = [each.requests.get("cpu", ""), each.requests.get("memory", ""), each.limits.get("cpu", ""), each.limits.get("memory", "")]  # fmt: skip
        rows += [[each.name, str(place.replica), *sizes, place.node, ""] for place in each.placed]
        rows += [[each.name, str(lack.replica), *sizes, "none", _lack(lack.node, lack.cpu, lack.memory)] for lack in each.missing]  # fmt: skip
    if rows:
        columns(["WORKLOAD", "REPLICA", "CPU", "MEMORY", "CPU LIMIT", "MEMORY LIMIT", "NODE", "LACKS"], rows)
    out(report.verdict)


def _lack(node: str, cpu: str, memory: str) -> str:
    sizes = " and ".join(f"{name} {size}" for name, size in (("cpu", cpu), ("memory", memory)) if size != "0")
    return f"{node} lacks {sizes}" if node and sizes else node


def _document(report: PreflightReport) -> object:
    import msgspec

    return msgspec.to_builtins(report)
