"""Every object of some kinds in memory, and the last changes of each kind, so that reads and watches ask no bus."""

from __future__ import annotations

from skerry.informer.cache import Cache
from skerry.informer.ring import Change, Watch

__all__ = ["Cache", "Change", "Watch"]
