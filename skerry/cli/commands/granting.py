"""grant and revoke: who may do what on which clusters, from now on or for a while."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from skerry.api.kinds import ACCESS_GRANT
from skerry.api.kinds.access import ROLES
from skerry.api.times import rfc3339
from skerry.cli import placing
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect, new_object
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out, say, seconds

SUBJECTS = ("User", "Group", "ServiceAccount")


def roles(incomplete: str) -> list[str]:
    """For the shell."""
    return [role for role in ROLES if role.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """For the shell."""
    return [kind for kind in SUBJECTS if kind.startswith(incomplete)]


def grants(incomplete: str) -> list[str]:
    """For the shell: names of grants."""
    from skerry.cli.commands.listings import names_of

    return names_of(ACCESS_GRANT, incomplete)


Role = Annotated[str, typer.Argument(metavar="ROLE", help="view, edit, admin or cluster-admin.", autocompletion=roles)]
Clusters = Annotated[
    list[str] | None,
    typer.Option("--cluster", metavar="C", help="On this cluster; can be repeated.", autocompletion=cluster_names),
]
Selector = Annotated[
    str, typer.Option("-l", "--selector", metavar="SEL", help="On all clusters with these labels, now and later.")
]
Namespaces = Annotated[
    list[str] | None,
    typer.Option("-n", "--namespace", metavar="NS", help="Only in this namespace; can be repeated."),
]


def grant(
    subject: Annotated[
        str, typer.Argument(help="Whom: a user, or what --kind says. namespace:name for a ServiceAccount.")
    ],
    role: Role,
    cluster: Clusters = None,
    selector: Selector = "",
    namespace: Namespaces = None,
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="It ends after this time, such as 8h.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="T", help="It ends then: 2030-01-31T12:00:00Z.")] = "",
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="User, Group or ServiceAccount.", autocompletion=kinds)
    ] = "User",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the grant. Default: one is made.")] = "",
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait until it is in place.")
    ] = placing.WAIT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Have the host check it; nothing is stored.")] = False,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Let somebody do something on clusters. stdout: the grant's name alone; stderr: where it is in place and where it waits.

    Exit 5: it holds, and is not in place after --wait on some cluster that can be reached.

    Examples: skerry grant alice edit --cluster m1 -n shop --for 8h        skerry grant ops view -l env=prod --kind Group
    """
    from skerry.cli.api import path_of
    from skerry.cli.paths import query

    if kind not in SUBJECTS:
        raise Failure(f"--kind {kind}: use one of {', '.join(SUBJECTS)}", USAGE)
    wait_s, expires = seconds(wait), end(for_, until)
    spec: dict[str, Any] = {
        "subjects": [{"kind": kind, "name": subject}],
        **what(role, cluster, selector, namespace),
        **({"expires": expires} if expires else {}),
    }
    body = new_object(ACCESS_GRANT, name, **spec)
    if not name:
        body["metadata"] = {"generateName": prefix(subject, role)}
    api = connect(kubeconfig, context)
    answer = api.post(query(path_of(ACCESS_GRANT.plural), dryRun="All" if dry_run else ""), body)
    grant_name = str(answer["metadata"]["name"])
    out(f"{ACCESS_GRANT.singular}.{ACCESS_GRANT.group}/{grant_name}")
    if dry_run:
        say("the host would take it; nothing was stored")
    else:
        placing.await_place(api, grant_name, wait_s)


def revoke(
    names: Annotated[list[str], typer.Argument(metavar="GRANT…", help="Names of grants.", autocompletion=grants)],
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Take grants away: requests that rest on them are cut within a second.

    Example: skerry revoke alice-edit-x7k2p
    """
    from skerry.cli.api import path_of
    from skerry.cli.failure import one_line
    from skerry.errors import StatusError

    api = connect(kubeconfig, context)
    failed: list[StatusError] = []
    for name in dict.fromkeys(names):
        try:
            api.delete(path_of(ACCESS_GRANT.plural, name))
            say(f"grant {name} revoked")
        except StatusError as error:
            failed.append(error)
            if len(names) > 1:
                say(f"grant {name} is not revoked: {one_line(error)}")
    if len(failed) == 1 == len(names):
        raise failed[0]
    if failed:
        raise Failure(f"{len(failed)} of {len(dict.fromkeys(names))} grants are not revoked")


def what(role: str, clusters: list[str] | None, selector: str, namespaces: list[str] | None) -> dict[str, Any]:
    """Role, clusters and namespaces of a spec. Failure (usage)."""
    from skerry.cli.selecting import label_selector

    if role not in ROLES:
        raise Failure(f"role {role!r}: use one of {', '.join(ROLES)}", USAGE)
    if bool(clusters) == bool(selector):
        raise Failure("say on which clusters: --cluster C for each, or -l SEL for all with such labels", USAGE)
    where = {"selector": label_selector(selector)} if selector else {"names": list(dict.fromkeys(clusters or ()))}
    narrow = {"namespaces": list(dict.fromkeys(namespaces))} if namespaces else {}
    return {"role": role, "clusters": where, **narrow}


def end(for_: str, until: str) -> str:
    """When something ends, RFC 3339; empty for never. Failure (usage)."""
    if for_ and until:
        raise Failure("--for and --until exclude each other", USAGE)
    if for_:
        return rfc3339(time.time() + positive(for_))
    if until:
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise Failure(f"--until {until}: use a time with a zone, such as 2030-01-31T12:00:00Z", USAGE)
        return rfc3339(moment)
    return ""


LONGEST_S = 3650 * 86400


def positive(for_: str) -> float:
    """Seconds in the value of --for. Failure (usage)."""
    duration_s = seconds(for_)
    if not 1 <= duration_s <= LONGEST_S:
        raise Failure(f"--for {for_}: must be at least 1s and at most {LONGEST_S // 3600}h", USAGE)
    return duration_s


def prefix(subject: str, role: str) -> str:
    """What the name of a grant for somebody begins with: `alice-edit-`."""
    words = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")[:40].strip("-")
    return f"{words or 'grant'}-{role}-"
