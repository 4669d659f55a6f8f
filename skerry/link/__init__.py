"""The tunnel's asyncio shells: what the proxy and the agent use. The protocol itself is in skerry/tunnel."""

from skerry.link.acceptor import Acceptor
from skerry.link.contract import (
    AgentAway,
    Answer,
    AnswerComplete,
    Headers,
    OpenRequest,
    OutcomeUnknown,
    StreamClass,
    StreamReset,
)
from skerry.link.dialer import Dialer
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream
from skerry.tunnel.codes import ResetCode

__all__ = [
    "Acceptor",
    "AgentAway",
    "Answer",
    "AnswerComplete",
    "Dialer",
    "Headers",
    "LinkSettings",
    "OpenRequest",
    "OutcomeUnknown",
    "ResetCode",
    "Stream",
    "StreamClass",
    "StreamReset",
]
