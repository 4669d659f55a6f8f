"""The bus: the only package that imports nats. What it offers is here; how it works is in its modules."""

from skerry.bus.connection import Connection, Credentials, NoResponders, Settings
from skerry.bus.consumers import Consumer, ConsumerConfig, ConsumerState, Delivery
from skerry.bus.delivery import ConnectionLost, Message, MessageHandler, Subscription
from skerry.bus.dial import connect
from skerry.bus.kv import Bucket, BucketConfig
from skerry.bus.objectinfo import ObjectInfo
from skerry.bus.objects import ObjectStore, Part, StoreConfig
from skerry.bus.services import EndpointHandler, Metadata
from skerry.bus.streams import MESSAGE_ID, Page, PubAck, StoredMessage, Stream, StreamConfig
from skerry.bus.supervisor import Bus, ConnectionPairs, CredentialsSource, Registration, connections
from skerry.bus.tracer import BusTracer
from skerry.bus.watch import Entry, Filled, Resync, Watch, WatchEvent

__all__ = [
    "MESSAGE_ID",
    "Bucket",
    "BucketConfig",
    "Bus",
    "BusTracer",
    "Connection",
    "ConnectionLost",
    "ConnectionPairs",
    "Consumer",
    "ConsumerConfig",
    "ConsumerState",
    "Credentials",
    "CredentialsSource",
    "Delivery",
    "EndpointHandler",
    "Entry",
    "Filled",
    "Message",
    "MessageHandler",
    "Metadata",
    "NoResponders",
    "ObjectInfo",
    "ObjectStore",
    "Page",
    "Part",
    "PubAck",
    "Registration",
    "Resync",
    "Settings",
    "StoreConfig",
    "StoredMessage",
    "Stream",
    "StreamConfig",
    "Subscription",
    "Watch",
    "WatchEvent",
    "connect",
    "connections",
]
