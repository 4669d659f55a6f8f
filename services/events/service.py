"""The service events: what happened, told to whoever has an EventSink."""

from __future__ import annotations

from services.events.parts import EventsContext, opening
from services.events.rules import ACTIONS, EventSinkRules
from services.events.settings import EventsSettings
from skerry.api.kinds import CLUSTER, EVENT_SINK
from skerry.controller.controller import Controller
from skerry.service import Service


def sinks(context: EventsContext) -> Controller[str]:
    """Sinks are sent to as their specs say."""
    return context.follow(EVENT_SINK, context.state.deliveries.controller)


SERVICE = Service(
    name="events",
    description="events, as webhooks",
    settings=EventsSettings,
    state=opening(),
    rules={EVENT_SINK: EventSinkRules},
    actions=ACTIONS,
    controllers=(sinks,),
    tasks=(lambda context: context.state.deliveries.run,),
    needs=(CLUSTER,),
)
