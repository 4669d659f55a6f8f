"""The kind of the service events: where events are sent as webhooks."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.api import eventsink, v1alpha1
from skerry.api.conditions import condition_of
from skerry.api.kinds.action import Action
from skerry.api.kinds.appstore import turn_of
from skerry.api.kinds.columns import AGE, NAME, Column, condition, joined, why_not
from skerry.api.kinds.kind import EVERY_VERB, Kind, Listing, Occurrence
from skerry.api.meta import Document


def describe_sink(old: Document, new: Document) -> Iterator[Occurrence]:
    """That it is there, that it is gone, and whether its receiver takes events. Nothing of its URL, in which there may be a secret."""
    if not new:
        yield Occurrence("Removed", "removed: nothing is sent to it any more")
        return
    if not old:
        yield Occurrence("Created", "events are sent to it from now on")
    if condition_of(new, "Ready").status != "Unknown":
        yield from turn_of("Ready", old, new)


def _last(answer: Document | None) -> str:
    """The last answer: its status code, or the beginning of why there was none."""
    last = answer or {}
    return str(last.get("status") or "") or ("no answer" if last.get("time") else "")


EVENT_SINK = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="EventSink",
    labelled=True,
    plural="eventsinks",
    singular="eventsink",
    short_names=("sink",),
    owner="events",
    type=eventsink.EventSink,
    verbs=EVERY_VERB,
    actions=(
        Action(
            subresource="secret",
            verb="update",
            request=eventsink.SinkSecret,
            answer=eventsink.SinkSecret,
            description="Sign with another secret, and for a day with the one before as well.",
        ),
        Action(
            subresource="test",
            verb="create",
            request=eventsink.SinkTestRequest,
            answer=eventsink.SinkAnswer,
            timeout_s=15.0,
            description="Send a test event now, and say what the receiver answers.",
        ),
        Action(
            subresource="dead",
            verb="get",
            answer=eventsink.DeadLetterList,
            description="The events that were given up.",
        ),
        Action(
            subresource="retry",
            verb="create",
            request=eventsink.SinkRetry,
            answer=eventsink.SinkRetried,
            description="Send events again that were given up.",
        ),
    ),
    events=describe_sink,
    columns=(
        NAME,
        Column(name="URL", path="spec.url", description="Where events are sent."),
        Column(name="Types", path="spec.types", cell=lambda types: joined(types) or "*", description="Which are sent."),
        Column(name="Pending", path="status.pending", type="integer", description="Events that it has not taken yet."),
        Column(name="Last", path="status.last", cell=_last, description="Its last answer."),
        Column(name="Ready", path="status.conditions", cell=condition("Ready"), description="Whether it takes events."),
        AGE,
        Column(name="Dead", path="status.dead", type="integer", priority=1, description="Events that were given up."),
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Ready"),
            priority=1,
            description="Why it does not.",
        ),
    ),
    listing=Listing(
        command="sinks",
        help="List where events are sent as webhooks.\n\nExample: skerry sinks -o wide",
        empty="No sinks. Make one: {skerry} sink create NAME --url https://…",
    ),
)

KINDS = (EVENT_SINK,)
