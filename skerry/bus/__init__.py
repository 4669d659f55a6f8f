"""The bus: the only package that imports nats. What it offers is here; how it works is in its modules."""

from skerry.bus.connection import Connection, Credentials, NoResponders, Settings
from skerry.bus.delivery import ConnectionLost, Handler, Message, Subscription
from skerry.bus.dial import connect
from skerry.bus.kv import Bucket, BucketConfig
from skerry.bus.services import Endpoint, Metadata
from skerry.bus.supervisor import Bus, ConnectionPairs, Registration, Source, connections
from skerry.bus.watch import Entry, Event, Filled, Resync, Watch

__all__ = [
    "Bucket",
    "BucketConfig",
    "Bus",
    "Connection",
    "ConnectionLost",
    "ConnectionPairs",
    "Credentials",
    "Endpoint",
    "Entry",
    "Event",
    "Filled",
    "Handler",
    "Message",
    "Metadata",
    "NoResponders",
    "Registration",
    "Resync",
    "Settings",
    "Source",
    "Subscription",
    "Watch",
    "connect",
    "connections",
]
