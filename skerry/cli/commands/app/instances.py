"""A release as it is on its clusters: the table that install, upgrade, rollback and status end with, and what their exit codes mean."""

from __future__ import annotations

from skerry.api.names import DEFAULT
from skerry.cli import listing, output
from skerry.cli.failure import FAILED, MISSING, TIMED_OUT, USAGE, Failure
from skerry.cli.paths import APP_INSTANCES, APP_RELEASES, path_in, query
from skerry.cli.term import program, say

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from threading import Event

    from skerry.api.meta import Document
    from skerry.cli.watching import Host

STYLES = ("", "wide", "json", "yaml")
AWAY = ("Waiting", "Orphaned")
BAD = ("Failed", "Blocked")
EMPTY = "Nothing is installed. Install an app: {skerry} app install NAME APP --cluster C"


class ReleaseInstances:
    """A release, and what it is on its clusters."""

    def __init__(self, release: Document, instances: list[Document]) -> None:
        self.release, self.instances = release, instances

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReleaseInstances) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def revision(self) -> int:
        """The one that is wanted."""
        return int((self.release.get("status") or {}).get("revision", 0))


def read(api: Host, namespace: str, name: str) -> ReleaseInstances:
    """As it is now. NotFound."""
    release = api.get(path_in(APP_RELEASES, namespace, name))
    listed = api.get(query(path_in(APP_INSTANCES, namespace), fieldSelector=f"spec.release={name}"))
    instances = listed.get("items", [])
    return ReleaseInstances(release, sorted(instances, key=lambda each: str(each["spec"].get("cluster"))))


def report(api: Host, *, name: str, workspace: str = "", style: str = "") -> None:
    """`app status`: a release on each of its clusters, and whether there is a newer version. Failure, as its state says."""
    check_style(style)
    state = read(api, workspace or DEFAULT, name)
    show(state, style)
    available = (state.release.get("status") or {}).get("available") or {}
    if available.get("version") and not style:
        mends = ", which has security fixes" if available.get("securityUpdates") else ""
        say(
            f"version {available['version']} is available{mends}: {program()} app upgrade {name} --version {available['version']}"
        )
    verdict(state, name, settled(state))


def every(api: Host, *, workspace: str = "", everywhere: bool = False, style: str = "") -> None:
    """`app list`: the releases of a workspace, or of all."""
    listing.show_in(api, APP_RELEASES, "" if everywhere else workspace or DEFAULT, style, EMPTY)


def phase(instance: Document) -> str:
    """What is being done."""
    return str((instance.get("status") or {}).get("phase", "Pending"))


def in_place(instance: Document, revision: int) -> bool:
    """True if a revision is healthy there."""
    status = instance.get("status") or {}
    return phase(instance) == "Deployed" and status.get("health") == "Healthy" and status.get("revision") == revision


def settled(state: ReleaseInstances) -> bool:
    """True if nothing is to be waited for: in place, failed for good, or away. The host has seen the release. Pure."""
    if not condition(state.release, "Accepted").get("reason") or not state.revision:
        return False
    desired = (_status(state.release).get("clusters") or {}).get("desired")
    if desired is None or desired > len(state.instances):
        return False
    return all(
        in_place(each, state.revision)
        or (_rests(each) and _status(each).get("observedChanges") == _status(state.release).get("changes"))
        for each in state.instances
    )


def _rests(instance: Document) -> bool:
    """True if nothing happens there until somebody does something, or its cluster is back."""
    error = _error(instance)
    waits_for_somebody = not error.get("next") or error.get("reason") == "EngineMissing"
    return phase(instance) in AWAY or (phase(instance) in BAD and waits_for_somebody)


def _status(document: Document) -> Document:
    return document.get("status") or {}


def _error(instance: Document) -> Document:
    return _status(instance).get("error") or {}


def told(state: ReleaseInstances) -> str:
    """What is being done, for the line of progress. Pure."""
    doing = [
        f"{each['spec'].get('cluster')} {phase(each)}" for each in state.instances if not in_place(each, state.revision)
    ]
    return ", ".join(doing[:4]) + (f" and {len(doing) - 4} more" if len(doing) > 4 else "") or "waiting for the host"


def check_style(style: str) -> None:
    """Failure (usage) for what `show` does not know."""
    if style not in STYLES:
        raise Failure(f"-o {style}: use one of {', '.join(filter(None, STYLES))}", USAGE)


def show(state: ReleaseInstances, style: str) -> None:
    """The table, or the document `{release, instances}`."""
    if style in ("json", "yaml"):
        output.document({"release": state.release, "instances": state.instances}, style)
        return
    rows = [_row(each, wide=style == "wide") for each in state.instances]
    if rows:
        output.columns(["CLUSTER", "PHASE", "HEALTH", "REVISION", "CHART", "MESSAGE"], rows)
    else:
        say(condition(state.release, "Ready").get("message") or "it is wanted on no cluster")


def condition(release: Document, name: str) -> Document:
    """One that the host wrote, {} if it has not; `skerry.api.conditions` takes longer to import than to ask the host."""
    conditions = (release.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == name), {})


def _row(instance: Document, *, wide: bool) -> list[str]:
    status, error = _status(instance), _error(instance)
    message = str(error.get("message") or status.get("message") or "")
    return [
        str(instance["spec"].get("cluster", "")),
        phase(instance),
        str(status.get("health", "Unknown")),
        str(status.get("revision", 0)),
        str((status.get("helm") or {}).get("chart", "")),
        message if wide or len(message) <= 100 else message[:99] + "…",
    ]


def changed(api: Host, namespace: str, name: str) -> AbstractContextManager[Event]:
    """Set whenever a release changes on one of its clusters."""
    from skerry.cli.apps import changes

    return changes(api, APP_INSTANCES, namespace, fieldSelector=f"spec.release={name}")


def follow(api: Host, namespace: str, name: str, wait_s: float, style: str) -> None:
    """Wait until a release is settled, show it, and end as its state says. Failure: one failed or is blocked; not in time."""
    if not wait_s:
        show(read(api, namespace, name), style)
        return
    state, done = _settled(api, namespace, name, wait_s)
    show(state, style)
    verdict(state, name, done)


def _settled(api: Host, namespace: str, name: str, wait_s: float) -> tuple[ReleaseInstances, bool]:
    """A release when it is settled, or when the time is over; and whether it is."""
    from skerry.cli.apps import wait_for

    state = read(api, namespace, name)

    def look() -> Document:
        nonlocal state
        state = read(api, namespace, name)
        return state.release

    if settled(state):
        return state, True
    with changed(api, namespace, name) as event:
        _, done = wait_for(look, lambda _: settled(state), lambda _: told(state), wait_s, event)
    return state, done


def verdict(state: ReleaseInstances, name: str, done: bool) -> None:
    """How a command ends that waited. Failure."""
    accepted = condition(state.release, "Accepted")
    if accepted.get("status") == "False":
        raise Failure(f"release {name} is not accepted: {accepted.get('reason')}: {accepted.get('message')}", FAILED)
    away = [str(each["spec"].get("cluster")) for each in state.instances if phase(each) in AWAY]
    if away:
        say(f"waits for {', '.join(away)}, and goes on by itself when they are back")
    for error in map(_error, state.instances):
        if error.get("reason") == "EngineMissing":
            raise Failure(f"release {name}: {error.get('message')}", MISSING)
    bad = [f"{each['spec'].get('cluster')} is {phase(each)}" for each in state.instances if phase(each) in BAD]
    if bad:
        raise Failure(f"release {name}: {', '.join(bad)}: {program()} app status {name} -o wide says why", FAILED)
    if not done:
        raise Failure(
            f"release {name} is not healthy yet on all clusters, and the host goes on: {program()} app status {name} --watch",
            TIMED_OUT,
        )
