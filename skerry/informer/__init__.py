"""Every object of some kinds in memory, and the last changes of each kind, so that reads and watches ask no bus.

One `Informer` a process holds the kinds that its services name; each service reads through a `View` of its own.
"""

from __future__ import annotations

from skerry.informer.informer import Informer
from skerry.informer.ring import Change, RingCursor
from skerry.informer.view import NotNeeded, View

__all__ = ["Change", "Informer", "NotNeeded", "RingCursor", "View"]
