"""The tunnel's asyncio shells: what the proxy and the agent use. The protocol itself is in skerry/tunnel."""

from skerry.link.acceptor import Acceptor
from skerry.link.call import Call
from skerry.link.dialer import Dialer
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream

__all__ = ["Acceptor", "Call", "Dialer", "LinkSettings", "Stream"]
