"""How much a chart may render. Pure."""

from __future__ import annotations

import re

from services.appstore.helm.engine import HelmError
from services.appstore.helm.jail import MIB

LARGEST_MANIFEST = 8 * MIB
MOST_OBJECTS = 2000
_SEPARATOR = re.compile(rb"^---", re.MULTILINE)
_LIST = re.compile(rb"""\bkind["']?:\s*["']?[A-Za-z]*List\b""")


def check_manifest(content: bytes | bytearray) -> str:
    """The manifest as text. HelmError ResourceLimit if it is too large or has too many objects.

    It is not read for that: documents are counted, and where there is a List, what could be objects in it.
    """
    if len(content) > LARGEST_MANIFEST:
        raise HelmError(
            "ResourceLimit", f"the chart renders {len(content)} bytes, the limit is {LARGEST_MANIFEST // MIB} MiB"
        )
    objects = len(_SEPARATOR.findall(content))
    if _LIST.search(content):
        objects = max(objects, content.count(b"apiVersion") // 2)  # an object may have another one in it
    if objects > MOST_OBJECTS:
        raise HelmError("ResourceLimit", f"the chart renders {objects} objects, the limit is {MOST_OBJECTS}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise HelmError("RenderFailed", f"what the chart renders is no UTF-8 (byte {error.start})") from error
