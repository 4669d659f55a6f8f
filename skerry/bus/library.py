"""What the bus uses of nats-py, without what else that loads: the bus speaks TCP and TLS only, and JetStream by itself.

nats-py imports aiohttp wherever it is installed, as it is beside a Kubernetes client: 11 MiB and 0.2 s of each process.
Its JetStream client costs 0.07 s more, a sixth of what a service takes to start; it is there for who asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


class _JetStreamLater(MetaPathFinder):
    """Finds `nats.js` so that it is loaded when something of it is used."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for all other modules."""
        spec = PathFinder.find_spec(fullname, path) if fullname == "nats.js" else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


_not_loaded = "aiohttp" not in sys.modules
if _not_loaded:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # "cannot be imported", for this import alone
_finder = _JetStreamLater()
sys.meta_path.insert(0, _finder)
try:
    from nats import errors
    from nats.aio.client import DEFAULT_BUFFER_SIZE, Client
    from nats.aio.transport import TcpTransport
finally:
    sys.meta_path.remove(_finder)
    if _not_loaded:
        del sys.modules["aiohttp"]

__all__ = ["DEFAULT_BUFFER_SIZE", "Client", "TcpTransport", "errors"]
