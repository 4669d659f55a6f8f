"""The status of an AppInstance, and what the machine keeps in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import msgspec

from services.appstore.helm.leftovers import Leftover, Why
from services.appstore.helm.releases import Revision
from services.appstore.releases.machine import WORKING, Phase, Progress
from services.appstore.releases.specs import Place
from skerry.api.apprelease import INSTANCE_PHASES, HelmRelease, InstanceObjects, LeftObject
from skerry.api.meta import Document
from skerry.api.times import rfc3339, seconds

LONGEST_MESSAGE = 2000
LONGEST_NOTES = 8 * 1024
STAYS: dict[Why, str] = {
    "Volumes": "Kubernetes keeps the volumes of a StatefulSet",
    "CustomResources": "Helm deletes no CRD of a chart: all objects of its kind would go with it",
    "Kept": "the chart says helm.sh/resource-policy: keep",
    "Hook": "it is of a hook, which Helm does not count to the release",
    "Namespace": "it may hold what is somebody else's",
}


def progress_of(status: Document) -> Progress:
    """What was done so far, as a status has it."""
    error = _mapping(status.get("error"))
    phase = status.get("phase")
    return Progress(
        revision=_number(status.get("revision")),
        phase=cast(Phase, phase) if phase in INSTANCE_PHASES else "Pending",
        since=moment(status.get("since")),
        attempt=_number(error.get("attempt")),
        reason=str(error.get("reason") or ""),
        again=moment(error.get("next")),
        placed=_number(status.get("deployedRevision")),
    )


def with_progress(status: Document, progress: Progress, message: str) -> Document:
    """A status with what was done, and what is to be said of it: of a failure, why it failed."""
    after = {name: value for name, value in status.items() if name not in ("error", "message")}
    after |= {"revision": progress.revision, "phase": progress.phase, "since": rfc3339(progress.since)}
    after["deployedRevision"] = progress.placed
    message = message[:LONGEST_MESSAGE]
    if progress.reason:
        after["error"] = {"reason": progress.reason, "message": message, "attempt": progress.attempt}
        if progress.again:
            after["error"]["next"] = rfc3339(progress.again)
    if message:
        after["message"] = message
    return after


def with_waiting(status: Document, message: str) -> Document:
    """A status that says what an operation waits for, until it begins; one of which the operation has ended is left as it is."""
    if status.get("phase") not in WORKING or status.get("error") or status.get("message", "") == message:
        return status
    rest = {name: value for name, value in status.items() if name != "message"}
    return {**rest, "message": message[:LONGEST_MESSAGE]} if message else rest


def error_message(status: Document) -> str:
    """Why it failed, if it did."""
    return str(_mapping(status.get("error")).get("message") or "")


def with_helm(status: Document, place: Place, revision: Revision | None, *, by_hand: bool = False) -> Document:
    """A status that says what Helm has there. `by_hand`: somebody else put it there."""
    if revision is None:
        return {name: value for name, value in status.items() if name not in ("helm", "objects", "notes")}
    helm = HelmRelease(
        namespace=place.namespace,
        name=place.name,
        revision=revision.entry.revision,
        chart=f"{revision.chart}-{revision.chart_version}",
        status=revision.entry.status,
        by_hand=by_hand,
    )
    return {**status, "helm": _built(helm), "notes": revision.notes[:LONGEST_NOTES]}


def with_objects(status: Document, health: str, objects: InstanceObjects) -> Document:
    """A status that says how the objects are."""
    return {**status, "health": health, "objects": _built(objects)}


def with_leftovers(status: Document, leftovers: Iterable[Leftover]) -> Document:
    """A status that says what an uninstall leaves."""
    after = {name: value for name, value in status.items() if name != "stays"}
    stays = [LeftObject(object=each.what, because=STAYS[each.why], command=each.command) for each in leftovers]
    return {**after, "stays": [_built(each) for each in stays]} if stays else after


def _built(value: Any) -> Document:
    built: Document = msgspec.to_builtins(value)
    return built


def _mapping(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def moment(text: Any) -> float:
    """Seconds since the epoch of a time in a status; 0 for none."""
    with suppress(ValueError):
        return seconds(text) if isinstance(text, str) and text else 0.0
    return 0.0
