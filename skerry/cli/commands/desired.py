"""desired: what the host's services want on members, and what became of each; and waiting until all of it is in place."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from skerry.api.conditions import DESIRED_APPLIED, condition_of
from skerry.api.desired import State
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION
from skerry.cli import output
from skerry.cli.commands.clients import ClusterName, ContextName, Kubeconfig, Style, cluster_names, connect
from skerry.cli.failure import FAILED, TIMED_OUT, USAGE, Failure
from skerry.cli.term import out, progress, say, seconds

if TYPE_CHECKING:
    from skerry.cli.api import Api

COLUMNS = ("CLUSTER", "OWNER", "KIND", "NAMESPACE", "NAME", "STATE", "REVISION", "SINCE")
WIDE = ("BECAUSE", "MESSAGE")
WATCH_S, WAIT_S = 2.0, 0.5
"""Between two looks."""
_GOING_ON = (State.PENDING, State.WAITING)
"""States that end by themselves, so that it is worth waiting."""


class _Group(TyperGroup):
    """Without a command it lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """`skerry desired m1` is `skerry desired list m1`."""
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


desired = typer.Typer(
    cls=_Group,
    help="What the host's services want on members, and what became of it. Without a command: list.\n\n"
    "Examples: skerry desired, skerry desired m1 --problems -o wide, skerry desired wait m1 --timeout 2m",
)


def _clusters(incomplete: str) -> list[str]:
    return [*cluster_names(incomplete), *(word for word in ("wait",) if word.startswith(incomplete))]


def _owners(incomplete: str) -> list[str]:
    from skerry.desired.owners import OWNERS

    return [name for name in OWNERS if name.startswith(incomplete)]


def _states(incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{state}" for state in State if state.startswith(last)]


OwnerOption = Annotated[
    str, typer.Option("--owner", metavar="SERVICE", help="Only what this service wants.", autocompletion=_owners)
]


@desired.command("list")
def list_(
    cluster: Annotated[str, typer.Argument(help="Only on this one.", autocompletion=_clusters)] = "",
    owner: OwnerOption = "",
    state: Annotated[
        str,
        typer.Option("--state", metavar="STATE[,STATE]", help="Only in these states.", autocompletion=_states),
    ] = "",
    problems: Annotated[bool, typer.Option("--problems", help="Only what is not in place.")] = False,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="After listing, follow changes.")] = False,
    style: Style = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List what the host's services want on members, entry by entry, and what became of it; not what is in it.

    Examples: skerry desired m1, skerry desired --problems -o wide, skerry desired m1 --owner tenancy --state Conflict -w
    """
    output.check_format(style)
    if problems and state:
        raise Failure("--problems and --state exclude each other", USAGE)
    chosen = _chosen(state, problems=problems)
    api = connect(kubeconfig, context)
    if watch:
        _follow(api, cluster, owner, chosen, style)
        return
    _print([each for each in _entries(api, cluster, owner) if _is_chosen(each, chosen)], style, cluster)


@desired.command("wait")
def wait(
    cluster: ClusterName,
    owner: OwnerOption = "",
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait.")] = "60s",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Wait until all that is wanted on a cluster is in place there.

    Exit 1: something cannot be brought in place by waiting; it is printed. Exit 5: the time is over, or the cluster away.

    Example: skerry desired wait m1 --timeout 2m
    """
    timeout_s = seconds(timeout)
    api = connect(kubeconfig, context)
    deadline = time.monotonic() + timeout_s
    with progress() as shown:
        while True:
            entries = _entries(api, cluster, owner)
            open_ = [each for each in entries if each["state"] != State.APPLIED]
            stuck = [each for each in open_ if each["state"] not in _GOING_ON]
            if not open_ or stuck or time.monotonic() >= deadline:
                break
            shown.show(f"waiting for cluster {cluster}: {len(open_)} of {len(entries)} entries are not in place")
            time.sleep(min(WAIT_S, max(0.0, deadline - time.monotonic())))
    if open_:
        _table(open_, wide=True)
        raise _not_in_place(api, cluster, open_, stuck, timeout)
    say(f"cluster {cluster}: {len(entries)} entries are in place" if entries else _nothing(cluster))


def _not_in_place(api: Api, cluster: str, open_: list[Document], stuck: list[Document], timeout: str) -> Failure:
    from skerry.cli.api import path_of

    if stuck:
        return Failure(
            f"cluster {cluster}: {len(stuck)} entries cannot be brought in place: the messages say why", FAILED
        )
    condition = condition_of(api.get(path_of(CLUSTER.plural, cluster)), DESIRED_APPLIED)
    why = f": {condition.message}" if condition.status != "True" and condition.message else ""
    return Failure(f"cluster {cluster}: {len(open_)} entries are not in place after {timeout}{why}", TIMED_OUT)


# What the host answers


def _chosen(text: str, *, problems: bool) -> tuple[str, ...]:
    """The states that are asked for; none for all. Failure (usage) for one that does not exist."""
    from skerry.api.desiredlist import UNKNOWN

    known = (*(str(state) for state in State), UNKNOWN)
    if problems:
        return tuple(state for state in known if state not in (State.APPLIED, State.WITHDRAWN))
    by_name = {state.lower(): state for state in known}
    words = [each.strip() for each in text.split(",") if each.strip()]
    for word in words:
        if word.lower() not in by_name:
            raise Failure(f"--state {word}: use one of {', '.join(known)}", USAGE)
    return tuple(by_name[word.lower()] for word in words)


def _entries(api: Api, cluster: str, owner: str) -> list[Document]:
    """Entries of one cluster, or of all members, in order. StatusError for a cluster that does not exist."""
    from skerry.cli.api import clusters, members
    from skerry.errors import NotFound

    if cluster:
        return sorted(_pages(api, cluster, owner), key=_order)
    entries: list[Document] = []
    for name in members(clusters(api)):
        try:
            entries += _pages(api, name, owner)
        except NotFound:
            continue  # it was removed meanwhile
    return sorted(entries, key=_order)


def _pages(api: Api, cluster: str, owner: str) -> Iterator[Document]:
    from skerry.cli.api import path_of
    from skerry.cli.paths import query

    behind = ""
    while True:
        path = query(f"{path_of(CLUSTER.plural, cluster)}/desired", owner=owner, **{"continue": behind})
        answer = api.get(path)
        yield from answer.get("items", [])
        behind = (answer.get("metadata") or {}).get("continue", "")
        if not behind:
            return


def _order(entry: Document) -> tuple[str, ...]:
    _, _, group, kind, namespace, name = _parts(entry)
    return entry["cluster"], entry["owner"], kind, group, namespace, name


def _parts(entry: Document) -> tuple[str, ...]:
    """Member, owner, group, kind as it is written, namespace, and name."""
    from skerry.desired.owners import OWNERS
    from skerry.subjects import desired_key

    key = desired_key(entry["key"])
    proper = {kind.lower(): kind for row in OWNERS.values() for _, kind in row.kinds}
    return (*key[:3], proper.get(key.kind, key.kind), *key[4:])


# Printing


def _print(entries: list[Document], style: str, cluster: str) -> None:
    if style in ("json", "yaml"):
        output.document({"apiVersion": API_VERSION, "kind": "DesiredEntryList", "items": entries}, style)
        return
    if not entries:
        say(_nothing(cluster))
    elif style == "name":
        for entry in entries:
            out(entry["key"])
    else:
        _table(entries, wide=style == "wide")


def _nothing(cluster: str) -> str:
    return f"No such entries on cluster {cluster}." if cluster else "No such entries on any cluster."


def _table(entries: Iterable[Document], *, wide: bool, widths: list[int] | None = None) -> list[int]:
    rows = [_row(entry, wide=wide) for entry in entries]
    return output.columns([*COLUMNS, *(WIDE if wide else ())], rows, widths=widths or (), head=widths is None)


def _row(entry: Document, *, wide: bool) -> list[str]:
    _, owner, _, kind, namespace, name = _parts(entry)
    cells = [
        entry["cluster"],
        owner,
        kind,
        namespace or "<none>",
        name,
        entry["state"],
        str(entry["revision"]),
        output.age(entry["since"]),
    ]
    if wide:
        because = [f"{each['kind']}/{each['name']}" for each in entry.get("because") or []]
        more = [f"{entry['more']} more"] if entry.get("more") else []
        cells += [",".join(because + more) or "<none>", entry.get("message") or "<none>"]
    return cells


def _follow(api: Api, cluster: str, owner: str, chosen: tuple[str, ...], style: str) -> None:
    """Print what is there, then what changes, until interrupted."""
    printed: dict[str, Document] = {}
    widths = _print_changes(_changes(printed, _entries(api, cluster, owner), chosen), style, None)
    if not printed:
        say(_nothing(cluster))
    while True:
        time.sleep(WATCH_S)
        widths = _print_changes(_changes(printed, _entries(api, cluster, owner), chosen), style, widths)


def _changes(printed: dict[str, Document], entries: list[Document], chosen: tuple[str, ...]) -> list[Document]:
    """The lines to print now; `printed` follows. What was printed is so once more when it is in another state, or gone."""
    keys = {entry["key"] for entry in entries}
    gone = [printed.pop(key) for key in list(printed) if key not in keys]
    changed = [
        entry
        for entry in entries
        if _differs(printed.get(entry["key"]), entry) and (entry["key"] in printed or _is_chosen(entry, chosen))
    ]
    for entry in changed:
        if _is_chosen(entry, chosen):
            printed[entry["key"]] = entry
        else:
            del printed[entry["key"]]
    return [*changed, *({**entry, "state": str(State.WITHDRAWN), "message": ""} for entry in gone)]


def _is_chosen(entry: Document, chosen: tuple[str, ...]) -> bool:
    return not chosen or entry["state"] in chosen


def _differs(before: Document | None, after: Document) -> bool:
    return before is None or any(before[field] != after[field] for field in ("revision", "state", "message"))


def _print_changes(entries: list[Document], style: str, widths: list[int] | None) -> list[int] | None:
    if style in ("", "wide"):
        return _table(entries, wide=style == "wide", widths=widths) if entries else widths
    for entry in entries:
        if style == "name":
            out(entry["key"])
        else:
            output.document(entry, style)
            if style == "yaml":
                out("---")
    return widths
