"""The host API: Kubernetes' conventions over any declared kind.

    api = HostApi(cache, Forwarder(bus, sign), SERVED, live)
    await api.handle(exchange, caller, authorize)

Reads and watches come from the cache, writes go to the owning service over the bus. No handler knows a kind by name:
what differs between kinds is in their declarations (skerry/api/kinds.py) and in the rules of their owners.
"""

from __future__ import annotations

from services.proxy.hostapi.api import HostApi
from services.proxy.hostapi.attributes import Attributes, Authorize, Explain, Live, Rule
from services.proxy.hostapi.forward import Forwarder

__all__ = ["Attributes", "Authorize", "Explain", "Forwarder", "HostApi", "Live", "Rule"]
