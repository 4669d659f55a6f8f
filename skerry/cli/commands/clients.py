"""credential, cluster and kubeconfig: clients of the host's API like any other, and usable from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.kinds import BUILT_IN, CLUSTER, CREDENTIAL, REVOCATION, Kind
from skerry.api.names import HOST_LABEL, INSTALLED_LABEL
from skerry.cli import listing, output, state
from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.term import command, out, program, say, seconds

if TYPE_CHECKING:
    from skerry.cli.api import Api

POLL_S = 0.2

credential = typer.Typer(no_args_is_help=True, help="Bearer tokens of users of the host.")
cluster = typer.Typer(no_args_is_help=True, help="The clusters of this host.")

Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig of the host. Default: the local admin's."),
]
ContextName = Annotated[str, typer.Option("--context", metavar="NAME", help="Context in the kubeconfig.")]
Style = Annotated[str, typer.Option("-o", "--output", metavar="wide|json|yaml|name", help="Output format.")]


def connect(kubeconfig: Path | None, context: str) -> Api:
    """A client by --kubeconfig and --context, else with the local admin kubeconfig, else with a login of one's own."""
    from skerry.cli import kubeconfig as files
    from skerry.cli.api import Api

    if kubeconfig is not None:
        return Api(files.context([kubeconfig.expanduser()], context))
    if context:
        return Api(files.context(files.files(), context))
    admin = state.directory(None) / "host" / "admin.kubeconfig"
    if not admin.exists():
        if (own := files.logged_in(files.files())) is not None:
            return Api(own)
        raise Failure(
            f"no host here ({admin} does not exist): start one with {program()} up, or name one with --kubeconfig FILE",
            FAILED,
        )
    return Api(files.context([admin], ""))


def _names_at_hand(incomplete: str, names: Callable[[Api], list[str]]) -> list[str]:
    """For the shell: what the local host answers, if it does so at once."""
    from skerry.cli import kubeconfig as files
    from skerry.cli.api import Api
    from skerry.errors import SkerryError

    try:
        admin = state.directory(None) / "host" / "admin.kubeconfig"
        known = names(Api(files.context([admin], ""), timeout_s=0.5))
    except SkerryError:
        return []
    return [name for name in known if name.startswith(incomplete)]


def cluster_names(incomplete: str) -> list[str]:
    """For the shell: names of clusters."""
    from skerry.cli.api import clusters, members

    return _names_at_hand(incomplete, lambda api: members(clusters(api)))


ClusterName = Annotated[str, typer.Argument(help="Name of the cluster.", autocompletion=cluster_names)]


def provider_names(incomplete: str) -> list[str]:
    """For the shell: names of identity providers."""
    from skerry.cli.login.offered import logins

    return _names_at_hand(incomplete, lambda api: list(logins(api)))


# credential


def new_object(kind: Kind, name: str, **spec: Any) -> dict[str, Any]:
    """The body of a create; `name` may be empty where the host makes one."""
    metadata = {"name": name} if name else {}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


@credential.command("create")
def credential_create(
    user: Annotated[str, typer.Argument(help="Name of the user; members see it as skerry:<user>.")],
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", metavar="G", help="skerry:view, skerry:edit, skerry:admin, skerry:cluster-admin, or another."
        ),
    ] = None,
    ttl: Annotated[str, typer.Option(metavar="DURATION", help="How long it is valid, at most 30d.")] = "8h",
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="The whole object.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Make a bearer token for a user. stdout: the token alone.

    Example: skerry credential create ann --group skerry:view --ttl 8h > ann.token
    """
    from skerry.cli.api import path_of

    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)
    seconds(ttl)
    body = new_object(CREDENTIAL, "", user=user, groups=group or [], ttl=ttl)
    answer = connect(kubeconfig, context).post(path_of(CREDENTIAL.plural), body)
    if style:
        output.document(answer, style)
        return
    status = answer.get("status", {})
    say(
        f"# for {user} until {status.get('expires')}; revoke: {program()} credential revoke {answer['metadata']['name']}"
    )
    out(str(status["token"]))


@credential.command("list")
def credential_list(style: Style = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """List credentials, without their secrets."""
    listing.show(partial(connect, kubeconfig, context), CREDENTIAL, style)


@credential.command("revoke")
def credential_revoke(
    name: Annotated[str, typer.Argument(help="Name of the credential, from: skerry credential list.")] = "",
    user: Annotated[
        str, typer.Option("--user", metavar="USER", help="Instead: all that was issued to this user, of every kind.")
    ] = "",
    for_good: Annotated[
        bool, typer.Option("--for-good", help="With --user: also all that is issued later; the user is disabled.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Revoke a credential, or all of a user: tokens of the host, of identity providers, and client certificates.

    Requests that use them are cut within a second.

    Examples: skerry credential revoke 3f9a0c…        skerry credential revoke --user alice --for-good
    """
    from skerry.cli.api import path_of

    if bool(name) == bool(user) or (for_good and not user):
        raise Failure("name one credential, or a user: NAME, --user USER or --user USER --for-good", USAGE)
    api = connect(kubeconfig, context)
    if user:
        _revoke_user(api, user, for_good=for_good)
        return
    api.delete(path_of(CREDENTIAL.plural, name))
    say(f"credential {name} revoked")


def _revoke_user(api: Api, user: str, *, for_good: bool) -> None:
    """Make the Revocation of a user, or move it forward."""
    from skerry.api.identities import revocation_name
    from skerry.api.v1alpha1 import API_VERSION
    from skerry.cli.api import path_of
    from skerry.errors import AlreadyExists

    document = {"apiVersion": API_VERSION, "kind": REVOCATION.kind, "spec": {"user": user, "disabled": for_good}}
    name = revocation_name(user)
    try:
        api.post(path_of(REVOCATION.plural), document)
    except AlreadyExists:
        there = api.get(path_of(REVOCATION.plural, name))
        if there["spec"].get("disabled") and not for_good:
            raise Failure(
                f"user {user} is disabled already; to let new credentials of theirs hold: kubectl delete revocation {name}",
                FAILED,
            ) from None
        api.patch(path_of(REVOCATION.plural, name), {"spec": {"disabled": for_good, "before": None}})
    say(f"all credentials of {user} are revoked{' for good' if for_good else ''}: revocation {name}")


# cluster


@cluster.command("list")
def cluster_list(style: Style = "", kubeconfig: Kubeconfig = None, context: ContextName = "") -> None:
    """List clusters: the same table as kubectl get clusters.

    Example: skerry clusters -o wide
    """
    listing.show(partial(connect, kubeconfig, context), CLUSTER, style)


def leftovers(context: str = "", *, direct: bool = True, cleaned: bool = False, unmarked: bool = False) -> list[str]:
    """Commands that remove from a member what joining and the host's services put there, as far as it is still there; run with
    the member's own kubeconfig. Namespaces of tenants stay, with what is in them.

    A direct member may have an account for the host, in a namespace of its own. `cleaned`: it took away what they put there;
    `unmarked`: and it is not marked as the host's any more.
    """
    kubectl = f"kubectl --context {context}" if context else "kubectl"
    account = f"{kubectl} delete clusterrolebinding,clusterrole,namespace -l {INSTALLED_LABEL}=direct"
    bindings = [
        bindings_away(kubectl),
        f"{kubectl} delete rolebinding,clusterrolebinding,clusterrole --all-namespaces -l {HOST_LABEL}",
    ]
    return [
        *([] if cleaned else bindings),
        *([account] if direct else []),
        *([] if unmarked else [f"{kubectl} annotate namespace kube-system skerry.dev/host- skerry.dev/host-name-"]),
    ]


def bindings_away(kubectl: str = "kubectl") -> str:
    """The command that deletes the four bindings of joining, whoever keeps them."""
    return f"{kubectl} delete clusterrolebinding --ignore-not-found {' '.join(BUILT_IN)}"


# kubeconfig


def kubeconfig(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", autocompletion=cluster_names)] = None,
    output_file: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file, 0600.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Put the contexts into your kubeconfig.")] = False,
    use: Annotated[str, typer.Option("--use", metavar="NAME", help="With --merge: make this cluster current.")] = "",
    path: Annotated[
        bool, typer.Option("--path", help="Name members by path, for clients and ingresses that pass no TLS name on.")
    ] = False,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the names of contexts begin with.")] = "",
    login: Annotated[
        bool,
        typer.Option(
            "--login", help="Without a secret: who uses it logs in at an identity provider. To be handed out."
        ),
    ] = False,
    provider: Annotated[
        str,
        typer.Option("--provider", metavar="P", help="With --login: which provider.", autocompletion=provider_names),
    ] = "",
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="CONTEXT[/NAMESPACE]",
            help="The administrator's, of a host in pods, by your access to its cluster.",
        ),
    ] = "",
    kubeconfig_file: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Print a kubeconfig with a context for the host and one for each member (or for those named).

    The current context is the host, or the member if exactly one is named.

    Examples: skerry kubeconfig --merge --use m1        skerry kubeconfig --login --output colleagues.kubeconfig

    skerry kubeconfig --from my-cluster/skerry-system --merge
    """
    from skerry.cli import kubeconfig as files

    if use and not merge:
        raise Failure("--use needs --merge", USAGE)
    if provider and not login:
        raise Failure("--provider needs --login", USAGE)
    if merge and output_file:
        raise Failure("--merge and --output exclude each other", USAGE)
    if from_ and context:
        raise Failure("--from and --context exclude each other: --from names the context", USAGE)
    api = _administrator(from_, kubeconfig_file) if from_ else connect(kubeconfig_file, context)
    prefix = name or api.context.prefix
    user = _user(api, prefix, provider, command() if merge else "skerry", login=login)
    config = _config(api, names or [], prefix, user, by_path=path, alone=bool(from_))
    if merge:
        from skerry.cli import merging

        current = _context_name(config, prefix, use)
        changed = merging.merge(config, current, files.files())
        say(f"merged {len(config['contexts'])} contexts into {', '.join(map(str, changed))}")
    elif output_file:
        from skerry.identity.files import write_private

        write_private(output_file.expanduser(), files.text(config).encode())
        say(f"wrote {output_file}")
    else:
        out(files.text(config).rstrip())


def _administrator(place: str, file: Path | None) -> Api:
    from skerry.cli import kubeconfig as files
    from skerry.cli.api import Api
    from skerry.cli.incluster.admin import administrator

    return Api(administrator(place, [file.expanduser()] if file else files.files()))


def _user(api: Api, prefix: str, provider: str, command: str, *, login: bool) -> tuple[str, dict[str, Any]]:
    """Name and content of the user. Who logs in has a name of its own, so that merging it replaces no token."""
    who = api.context
    if login or who.login is not None:
        from skerry.cli.login.offered import offered, user

        if who.login is not None and not provider:
            return who.user_name, user(who.login, command)
        name, parameters = offered(api, provider)
        return f"{prefix}-{name}", user(parameters, command)
    if not who.token:
        raise Failure(f"context {who.name} has no token to put into a kubeconfig: use one made by skerry")
    return prefix, {"token": who.token}


def _config(
    api: Api, names: list[str], prefix: str, user: tuple[str, dict[str, Any]], *, by_path: bool, alone: bool
) -> dict[str, Any]:
    """`alone`: a host that cannot be reached from here gets a kubeconfig without members."""
    from skerry.cli import kubeconfig as files
    from skerry.cli.api import clusters, members, named_by

    try:
        items = clusters(api)
    except Failure as error:
        if names or not alone:
            raise
        say(f"contexts of members are left out: {error.message}")
        items = []
    known = members(items)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failure(f"no cluster {', '.join(unknown)}; there is: {', '.join(known) or 'none'}")
    who = api.context
    uid = "" if by_path else named_by(api, items)
    if known and not uid and not by_path:
        say(f"members are named by path: {who.server} does not answer to their names in TLS")
    config = files.build(
        prefix, names or known, server=who.server, ca=who.ca, user=user, uid=uid, tls_name=who.server_name
    )
    return {**config, "current-context": f"{prefix}-{names[0]}"} if len(names) == 1 else config


def _context_name(config: dict[str, Any], prefix: str, use: str) -> str:
    if not use:
        return ""
    names = [entry["name"] for entry in config["contexts"]]
    for candidate in (use, f"{prefix}-{use}"):
        if candidate in names:
            return candidate
    raise Failure(f"--use {use}: no such context; there is: {', '.join(names)}")
