"""How much a chart may render. Pure."""

from __future__ import annotations

import re

from services.appstore.helm.engine import HelmError
from services.appstore.helm.jail import MIB

LARGEST_MANIFEST = 8 * MIB
MOST_OBJECTS = 2000
_SEPARATOR = re.compile(rb"^---", re.MULTILINE)


def check_manifest(content: bytes) -> str:
    """The manifest as text. HelmError ResourceLimit if it is too large or has too many documents."""
    if len(content) > LARGEST_MANIFEST:
        raise HelmError(
            "ResourceLimit", f"the chart renders {len(content)} bytes, the limit is {LARGEST_MANIFEST // MIB} MiB"
        )
    documents = len(_SEPARATOR.findall(content))
    if documents > MOST_OBJECTS:
        raise HelmError("ResourceLimit", f"the chart renders {documents} objects, the limit is {MOST_OBJECTS}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise HelmError("RenderFailed", f"what the chart renders is no UTF-8 (byte {error.start})") from error
