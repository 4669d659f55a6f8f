"""docs/kinds.md, made from the declarations: `make fmt` writes it, `make check` compares.

python -m skerry.api.kinds.reference
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from skerry.api.kinds.access import CLUSTER_ADMIN, EVERYBODY, HOST_VIEW, Tie
from skerry.api.kinds.action import METHODS, Action
from skerry.api.kinds.catalog import SERVED
from skerry.api.kinds.kind import Kind
from skerry.api.meta import Struct

_HEAD = """# Kinds

Made from the declarations in `skerry/api/kinds` by `make fmt`: change them, not this page. `kubectl explain` has every field.

Whoever is in the group `skerry:cluster-admin` may do everything; "may" names who else. Writes and actions are answered by
the owner of a kind, if an action does not say another service; reads and watches by any proxy.
"""


def markdown(kinds: Iterable[Kind]) -> str:
    """The page."""
    kinds = tuple(kinds)
    return "\n".join((_HEAD, *_overview(kinds), *(line for kind in kinds for line in _section(kind))))


def _overview(kinds: tuple[Kind, ...]) -> Iterator[str]:
    yield "| kind | API | scope | owner | is |\n|---|---|---|---|---|"
    for kind in kinds:
        yield f"| {kind.kind} | `{kind.api_version}` | {_scope(kind)} | {kind.owner} | {_about(kind)} |"
    yield ""


def _about(kind: Kind) -> str:
    return (kind.type.__doc__ or "").strip()


def _scope(kind: Kind) -> str:
    return "namespaced" if kind.namespaced else "cluster"


def _section(kind: Kind) -> Iterator[str]:
    yield f"## {kind.kind} ({kind.api_version})\n"
    yield f"{_about(kind)}\n"
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in _facts(kind) if value)
    if kind.actions:
        yield "\n| action | body, or query | answer | may | |\n|---|---|---|---|---|"
        yield from (_action(kind, action) for action in kind.actions)
    if kind.columns:
        yield "\n| column | is |\n|---|---|"
        for column in kind.columns:
            wide = " (with `-o wide`)" if column.priority else ""
            yield f"| {column.name.upper()} | {column.description}{wide} |"
    yield ""


def _facts(kind: Kind) -> Iterator[tuple[str, str]]:
    yield "resource", ", ".join(f"`{name}`" for name in (kind.plural, *kind.short_names))
    yield "stored", _stored(kind)
    yield "verbs", ", ".join(kind.verbs)
    yield "may", "; ".join(f"{_who(access.groups, access.ties)}: {', '.join(access.verbs)}" for access in kind.access)
    yield "shown", f"with the object at `{kind.about}`, to who may get that one" if kind.about else ""
    yield "worked on as", f"who changed it last, at `{kind.actor}`, by delegation" if kind.actor else ""
    yield "names", "DNS labels of at most 63 characters" if kind.labelled else ""
    yield "fieldSelector", ", ".join(f"`{path}`" for path in kind.selectable)
    yield "search", "`search=TEXT` of a list: the best first" if kind.searchable else ""
    yield "Events", "what happens to its objects is told" if kind.events else ""
    yield "listing", f"`skerry {kind.listing.command}`" if kind.listing else ""


def _stored(kind: Kind) -> str:
    if kind.view_of:
        base = kind.view_of.kind
        return f"never: it is a view of {base.kind} (`{base.api_version}`)"
    return f"bucket `{kind.bucket}`" if kind.bucket else "never: it is a question, answered at once"


def _who(groups: tuple[str, ...], ties: tuple[Tie, ...] = ()) -> str:
    if groups == EVERYBODY:
        return "everybody"
    named = [f"`{group}`" for group in groups if group not in (CLUSTER_ADMIN, HOST_VIEW)]
    on_host = ["who has a grant on the host"] if HOST_VIEW in groups else []
    return ", ".join([*named, *on_host, *(_tied(tie) for tie in ties)])


def _tied(tie: Tie) -> str:
    """Who is tied so to an object."""
    match tie.by:
        case "cluster":
            return "who has something on the cluster"
        case "workspace":
            return f"members of the workspace ({', '.join(tie.roles)})"
        case "pool":
            return "of the pool, who has anything"
        case "giver":
            return "whoever could give it"
        case "subjects":
            return f"whom `{tie.path}` names"
        case "user":
            return f"the user at `{tie.path}`"


def _action(kind: Kind, action: Action) -> str:
    sent = _shape(action.request, streamed=action.streams_request)
    answer = _shape(action.answer, streamed=action.streams_answer)
    if action.streams_request:
        sent = f"{sent}, at most {action.max_bytes}"
    path = f"`{METHODS[action.verb]} {kind.plural}/NAME/{action.subresource}`"
    by = f" Answered by {action.service}." if action.service else ""
    return f"| {path} | {sent} | {answer} | {_who(action.groups, action.ties)} | {action.description}{by} |"


def _shape(shape: type[Struct] | None, *, streamed: bool) -> str:
    return "bytes" if streamed else shape.__name__ if shape else ""


if __name__ == "__main__":
    sys.stdout.write(markdown(SERVED))
