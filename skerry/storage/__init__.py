"""Kubernetes-style resources over one JetStream key-value bucket: what the owning service writes with.

The bucket's revision is the `resourceVersion`; documents stay raw from end to end, because an older replica must not
erase fields that it does not know. Reading is the informer's, rules are admission's. See `docs/` for the reasons.
"""

from __future__ import annotations

from skerry.storage.buckets import make_all, make_bucket, make_store
from skerry.storage.documents import Item, decode_document, encode_document, utc_now
from skerry.storage.store import Store

__all__ = [
    "Item",
    "Store",
    "decode_document",
    "encode_document",
    "make_all",
    "make_bucket",
    "make_store",
    "utc_now",
]
