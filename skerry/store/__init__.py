"""Kubernetes-style resources over one JetStream key-value bucket.

`Store` is what the owning service writes with, `Cache` is what everybody reads from, `Writes` answers the host API's
write requests with a service's own rules. The bucket's revision is the `resourceVersion`; documents stay raw from end
to end, because an older replica must not erase fields that it does not know. See `docs/` for the reasons.
"""

from __future__ import annotations

from skerry.store.cache import Cache
from skerry.store.documents import Item, decode_document, encode_document, rfc3339, seconds, utc_now
from skerry.store.recorder import Recorder, events_bucket
from skerry.store.ring import Change, Watch
from skerry.store.store import Store
from skerry.store.writes import Admitted, Rules, Writes

__all__ = [
    "Admitted",
    "Cache",
    "Change",
    "Item",
    "Recorder",
    "Rules",
    "Store",
    "Watch",
    "Writes",
    "decode_document",
    "encode_document",
    "events_bucket",
    "rfc3339",
    "seconds",
    "utc_now",
]
