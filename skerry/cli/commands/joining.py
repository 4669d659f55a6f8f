"""cluster join: a cluster becomes a member, directly or by an agent in its pods."""

from __future__ import annotations

from typing import Annotated

import typer

from skerry.cli.checking import check_style
from skerry.cli.commands import direct as direct_members
from skerry.cli.commands.agent import CeilingDesired, CeilingNamespaces, CeilingNoExec, CeilingReadOnly
from skerry.cli.commands.clients import connect
from skerry.cli.commands.direct import Account, HostContext, HostFile, MemberContext, MemberName
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import program, seconds


def join(
    name: Annotated[str, typer.Argument(help="Name under which the cluster joins.")],
    direct: Annotated[bool, typer.Option("--direct", help="The host reaches the API server itself.")] = False,
    kubeconfig: MemberName = None,
    context: MemberContext = "",
    create_service_account: Account = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="With --direct: join although it is marked as another host's member.")
    ] = False,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NAME", help="Of the agent. Default: skerry-system.")
    ] = "skerry-system",
    replicas: Annotated[int, typer.Option(min=1, max=3, help="Pods of the agent.")] = 1,
    image_registry: Annotated[
        str, typer.Option("--image-registry", metavar="HOST/PATH", help="Registry of the agent's image.")
    ] = "",
    read_only: CeilingReadOnly = False,
    no_exec: CeilingNoExec = False,
    namespaces: CeilingNamespaces = "",
    ceiling_desired: CeilingDesired = None,
    no_preflight: Annotated[bool, typer.Option("--no-preflight", help="Install without checking before.")] = False,
    print_: Annotated[
        bool, typer.Option("--print", help="Make a token and print the agent's objects, for kubectl apply -f -.")
    ] = False,
    wait: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait until it is Ready.")] = "120s",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; change nothing anywhere.")] = False,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json", help="Of --dry-run: as a document.")] = "",
    host_kubeconfig: HostFile = None,
    host_context: HostContext = "",
) -> None:
    """Join a cluster: an agent is installed there, which dials out to the host. With --direct nothing is installed: the host
    reaches the API server itself.

    Examples: skerry join m1 --context m1

    skerry join m1 --print | kubectl --context m1 apply -f -

    skerry cluster join m2 --direct --kubeconfig m2.kubeconfig
    """
    from skerry.cli.agentmanifest import AgentInstallation
    from skerry.cli.commands import agentjoin

    check_style(style, dry_run=dry_run)
    limit_s = seconds(wait)
    if direct:
        _only_with_an_agent(print_, no_preflight, read_only, no_exec, namespaces, ceiling_desired, image_registry)
        target = direct_members.target_of(kubeconfig, context, create_service_account=create_service_account)
        direct_members.join(
            connect(host_kubeconfig, host_context), name, target, create_service_account=create_service_account,
            take_over=take_over, dry_run=dry_run, style=style,
        )  # fmt: skip
        return
    if create_service_account or take_over:
        raise Failure("--create-service-account and --take-over go with --direct", USAGE)
    installation = AgentInstallation(
        token="",
        namespace=namespace,
        replicas=replicas,
        registry=image_registry,
        read_only=read_only,
        no_exec=no_exec,
        namespaces=tuple(part.strip() for part in namespaces.split(",") if part.strip()),
        desired=ceiling_desired or "",
    )
    joining = agentjoin.AgentJoin(connect(host_kubeconfig, host_context), name, installation)
    if print_:
        joining.print()
        return
    if kubeconfig is None and not context:
        raise Failure(
            f"which cluster? Say --context NAME of your kubeconfig, or --kubeconfig FILE; on a machine without either: "
            f"{program()} token create {name}",
            USAGE,
        )
    target = agentjoin.target_of(kubeconfig, context)
    if dry_run:
        joining.dry_run(target, style)
    else:
        joining.join(target, preflight=not no_preflight, limit_s=limit_s)


def _only_with_an_agent(*options: object) -> None:
    if any(options):
        raise Failure(
            "with --direct nothing is installed: leave out the options of an agent (its ceiling is its RBAC)", USAGE
        )
