"""Errors as HTTP: a Status body, and its message again in a Warning header.

On discovery, the first call of most commands, kubectl drops the text of a Status but prints warnings (rule 10).
"""

from __future__ import annotations

from skerry.api.text import clean
from skerry.errors import StatusError
from skerry.httpwire.head import Headers

_WARNING_LIMIT = 1024


def warning(message: str, agent: bytes = b"skerry") -> bytes:
    """The value of a Warning header (RFC 7234, 5.5) for `message`: one line of printable text, quoted.

    `agent` says who warns; an API server, whose answers the host API gives, calls itself `-`.
    """
    quoted = clean(message, _WARNING_LIMIT).replace("\\", "\\\\").replace('"', '\\"')
    return b'299 %b "%b"' % (agent, quoted.encode("utf-8", "replace"))


def error_answer(error: StatusError) -> tuple[int, Headers, bytes]:
    """Status code, headers and body of `error`. Retry-After only if the error carries one (rule 5)."""
    headers: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
    headers.append((b"warning", warning(error.message)))
    if error.code == 401:
        headers.append((b"www-authenticate", b'Bearer realm="skerry"'))
    if error.details.retry_after_seconds:
        headers.append((b"retry-after", b"%d" % error.details.retry_after_seconds))
    return error.code, headers, error.body()
