"""The bus: the only package that imports nats. What it offers is here; how it works is in its modules."""

from skerry.bus.connection import (
    Connection,
    ConnectionLost,
    Credentials,
    Message,
    NoResponders,
    Settings,
    Subscription,
    connect,
)
from skerry.bus.kv import Bucket, BucketConfig, Entry, Filled, Resync, Watch
from skerry.bus.supervisor import Bus, Registration, connections

__all__ = [
    "Bucket",
    "BucketConfig",
    "Bus",
    "Connection",
    "ConnectionLost",
    "Credentials",
    "Entry",
    "Filled",
    "Message",
    "NoResponders",
    "Registration",
    "Resync",
    "Settings",
    "Subscription",
    "Watch",
    "connect",
    "connections",
]
