"""Ask one endpoint of a cluster one question, without a client library: is it ready, what does it hold.

Blocking, with a short timeout, standard library only: it runs in start-up loops, before there is anything to be fast for.
The caller decides from which network namespace: a socket belongs to the namespace in which it was made.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 2.0


def get(url: str, ca: Path, token: str = "") -> tuple[int, bytes]:
    """GET an https URL trusting `ca` only. Returns status and body; raises OSError or HTTPException where none came."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=str(ca))
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=context)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def why_not_ready(url: str, ca: Path, token: str = "") -> str | None:
    """None when `url` answers 200, else the reason in a few words."""
    try:
        status, body = get(url, ca, token)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    if status == http.HTTPStatus.OK:
        return None
    return f"HTTP {status}: {body[-200:].decode(errors='replace').strip()}"


def document(url: str, ca: Path, token: str) -> dict[str, Any] | None:
    """The JSON object at `url`, or None while it cannot be had (not there yet, no answer)."""
    try:
        status, body = get(url, ca, token)
    except (OSError, http.client.HTTPException):
        return None
    answer: dict[str, Any] | None = json.loads(body) if status == http.HTTPStatus.OK else None
    return answer
