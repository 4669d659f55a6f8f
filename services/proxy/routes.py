"""Where each request goes: to a member, by its name in TLS or by its path; or to what the table has for the host's paths.

The list of paths at `/`, the rules of a SelfSubjectRulesReview and the table in docs/host-api.md are made from TABLE.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Literal, NamedTuple

from skerry.api.kinds.access import AUDITOR, CLUSTER_ADMIN, MONITOR
from skerry.httpwire.names import member_of
from skerry.httpwire.target import split_cluster


class Path(NamedTuple):
    """One path of the host, answered by the handler of that name."""

    path: str
    handler: Literal[
        "audit", "event_log", "health", "host_api", "index", "members", "metrics", "readiness", "recordings", "version"
    ]
    about: str
    """For the documentation."""
    credential: bool = True
    """Whether a caller must be known; without one the answer is 401, whatever is below the path."""
    subtree: bool = False
    """Whether everything below it belongs to it too."""
    lists: tuple[str, ...] = ()
    """What `/` names for it, if not the path itself."""
    groups: tuple[str, ...] = ()
    """Who may, besides host administrators: members of one of these groups of the host; empty: every caller."""

    @property
    def paths(self) -> tuple[str, ...]:
        """As a rule for nonResourceURLs has it."""
        return (self.path, f"{self.path}/*") if self.subtree else (self.path,)


TABLE = (
    Path("/", "index", "the list of these paths"),
    Path("/api", "host_api", "the host's own API: Events and Namespaces as Kubernetes has them", subtree=True),
    Path("/apis", "host_api", "the host's own API: Clusters, Workspaces and all other kinds", subtree=True),
    Path(
        "/audit",
        "audit",
        "records of requests, as JSON lines; `/audit/batches` is the log as it is stored; for `skerry:auditor`",
        subtree=True,
        groups=(AUDITOR,),
    ),
    Path(
        "/audit/sessions",
        "recordings",
        "recorded sessions, and below each its recording; for `skerry:auditor`",
        subtree=True,
        groups=(AUDITOR,),
    ),
    Path("/clusters", "members", "`/clusters/NAME/…`: the API of a member, as its own API server has it", subtree=True),
    Path(
        "/events",
        "event_log",
        "what happened and, with `?follow`, what happens: CloudEvents as lines of JSON (events.md); for `skerry:monitor`",
        groups=(MONITOR,),
    ),
    Path("/healthz", "health", "`ok` while the process answers", credential=False),
    Path("/livez", "health", "the same, by its newer name", credential=False),
    Path(
        "/metrics",
        "metrics",
        "metrics of this process, in the text format of Prometheus; for `skerry:monitor`",
        groups=(MONITOR,),
    ),
    Path(
        "/openapi", "host_api", "the schema of the host's own API", subtree=True, lists=("/openapi/v2", "/openapi/v3")
    ),
    Path("/readyz", "readiness", "`ok`, or 503 while something that requests need is missing", credential=False),
    Path("/version", "version", "which Kubernetes this API is like, and which Skerry answers", credential=False),
)
_EXACT = {row.path.encode(): row for row in TABLE}
_SUBTREES = {row.path.encode(): row for row in TABLE if row.subtree}


def path_of(path: bytes) -> Path | None:
    """The row for a path of the host, without its query; None if there is none."""
    row = _EXACT.get(path)
    if row is not None or (below := path.find(b"/", 1)) < 0:
        return row
    deeper = path.find(b"/", below + 1)
    return (_SUBTREES.get(path[:deeper]) if deeper > 0 else None) or _SUBTREES.get(path[:below])


def open_to(groups: Collection[str]) -> tuple[str, ...]:
    """The paths that a member of these groups of the host may get, as those of an RBAC rule for nonResourceURLs."""
    own = [row for row in TABLE if row.handler not in ("index", "members") and may(row, groups)]
    return tuple(path for row in own for path in row.paths)


def may(row: Path, groups: Collection[str]) -> bool:
    """True if a member of these groups of the host may get what is at a row's path."""
    return not row.groups or CLUSTER_ADMIN in groups or any(group in groups for group in row.groups)


def listed() -> tuple[str, ...]:
    """The paths that `/` names."""
    return tuple(path for row in TABLE if row.path != "/" for path in row.lists or (row.path,))


REMEMBERED = 512
"""Bytes of a target whose route may be remembered: 1,024 of these are at most 1 MiB."""

member_by_name = lru_cache(maxsize=1024)(member_of)


class Route(NamedTuple):
    """A request for a member."""

    member: str
    """Its name, as it was asked for; it need not exist."""
    target: bytes
    """The raw target as the member gets it."""
    base: bytes
    """What the client has in front of the member's paths: nothing, or `/clusters/<name>`."""


def route_of(server_name: str, uid: str, target: bytes) -> Route | None:
    """The route to a member, None for the host `uid` itself.

    A connection that came for a member by name stays with it whatever its paths say: there, `/clusters/other/` is a path
    like any other. Only a connection without such a name may choose by path.
    """
    return (_known if len(target) <= REMEMBERED else _route)(server_name, uid, target)


def _route(server_name: str, uid: str, target: bytes) -> Route | None:
    member = member_by_name(server_name, uid) if server_name else None
    if member is not None:
        return Route(member, target, b"")
    route = split_cluster(target)
    return None if route is None else Route(*route, b"/clusters/" + route[0].encode("latin-1"))


_known = lru_cache(maxsize=1024)(_route)
