"""What the bus uses of nats-py, without what that loads for WebSocket: the bus speaks TCP and TLS only.

nats-py imports aiohttp wherever it is installed, as it is beside a Kubernetes client: 11 MiB and 0.2 s of each process.
"""

from __future__ import annotations

import sys

_not_loaded = "aiohttp" not in sys.modules
if _not_loaded:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # "cannot be imported", for this import alone
try:
    from nats import errors
    from nats.aio.client import DEFAULT_BUFFER_SIZE, Client
    from nats.aio.transport import TcpTransport
finally:
    if _not_loaded:
        del sys.modules["aiohttp"]

__all__ = ["DEFAULT_BUFFER_SIZE", "Client", "TcpTransport", "errors"]
