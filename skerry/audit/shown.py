"""What of a request's URI and bodies may be recorded: nothing that could be a secret is, whatever a rule says.

A query keeps its names, and values of those alone that say how something is asked. Of bodies JSON is recorded, without what
other tools copied into it (managedFields, last-applied-configuration), up to a size.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from skerry.api.decode import decoded
from skerry.audit.event import encode
from skerry.httpwire.query import flag, parse_query
from skerry.httpwire.requestinfo import RequestInfo

URI = 2048
"""Characters of a URI."""
TEXT = 300
"""Characters of what a client calls itself, and of a message."""
REQUEST_BYTES, RESPONSE_BYTES = 64 * 1024, 16 * 1024
"""Of bodies."""
ARGUMENTS = 16 * 1024
"""Characters of a command."""
SHOWN = frozenset(
    (
        "allowWatchBookmarks", "container", "continue", "dryRun", "fieldManager", "fieldSelector", "fieldValidation", "follow",
        "force", "gracePeriodSeconds", "includeObject", "labelSelector", "limit", "limitBytes", "orphanDependents",
        "ports", "pretty", "previous", "propagationPolicy", "resourceVersion", "resourceVersionMatch",
        "sendInitialEvents", "sinceSeconds", "sinceTime", "stderr", "stdin", "stdout", "tailLines", "timeout",
        "timeoutSeconds", "timestamps", "tty", "watch",
    )
)  # fmt: skip
"""Parameters whose values are shown: those of Kubernetes that say how something is asked."""
_SECRET = re.compile(
    r"skerry_[A-Za-z0-9_-]{8,}|skerry-join-[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_.-]{20,}|\bS[UAOCNX][A-Z2-7]{56}\b"
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def clean(text: str) -> str:
    """`text` without what looks like a secret of ours, and of few characters."""
    return _SECRET.sub("[secret]", text[:TEXT])


def uri(target: bytes) -> str:
    """A raw target as it is recorded."""
    path, mark, query = target.partition(b"?")
    text = path.decode("latin-1")
    if mark:
        text += "?" + "&".join(_shown(pair) for pair in query[: 4 * URI].decode("latin-1").split("&") if pair)
    return _SECRET.sub("[secret]", text[:URI])


def _shown(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return pair if name in SHOWN else name + equals


def command(info: RequestInfo, query: bytes) -> bytes:
    """What somebody runs in a pod, as JSON: PodExecOptions, PodAttachOptions or PodPortForwardOptions. A command may hold a
    secret, and is shown: that is what a level above Metadata says of it."""
    values = parse_query(query)
    kind = {"exec": "PodExecOptions", "attach": "PodAttachOptions"}.get(info.subresource, "PodPortForwardOptions")
    options: dict[str, Any] = {"kind": kind, "apiVersion": "v1"}
    options |= {name: True for name in ("stdin", "stdout", "stderr", "tty") if flag(values.get(name))}
    if values.get("container", [""])[0]:
        options["container"] = values["container"][0]
    if "command" in values:
        options["command"] = _bounded(values["command"])
    if "ports" in values:
        options["ports"] = values["ports"]
    return encode(options)


def _bounded(words: list[str]) -> list[str]:
    shown, left = [], ARGUMENTS
    for word in words:
        shown.append(_SECRET.sub("[secret]", word[:left]))
        left -= len(word)
        if left <= 0:
            return [*shown, "…"]
    return shown


class Body(NamedTuple):
    """A body as it is recorded, or why it is not."""

    json: bytes
    omitted: str = ""


def body(data: bytes, content_type: str, *, whole: bool) -> Body:
    """What is recorded of a body; `whole` says whether `data` is all of it."""
    if not data and whole:
        return Body(b"")
    media = content_type.partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        return Body(b"", f"not JSON: {clean(media)}")
    if not whole:
        return Body(b"", "too large")
    try:
        return Body(encode(_pruned(decoded(data))))
    except (msgspec.DecodeError, RecursionError):
        return Body(b"", "not JSON")


def _pruned(document: Any) -> Any:
    """Without what other tools copied into it, of a list of each item."""
    if not isinstance(document, dict):
        return document
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        annotations = metadata.get("annotations")
        metadata = {key: value for key, value in metadata.items() if key != "managedFields"}
        if isinstance(annotations, dict):
            metadata["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
        document = {**document, "metadata": metadata}
    items = document.get("items")
    return {**document, "items": [_pruned(item) for item in items]} if isinstance(items, list) else document


@lru_cache(maxsize=1024)
def remembered(target: bytes) -> str:
    """`uri` of a target that comes again and again."""
    return uri(target)
