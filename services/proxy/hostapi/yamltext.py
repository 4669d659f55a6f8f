"""YAML beside JSON: bodies that clients send, and answers for those who ask for it.

Bodies are read without aliases (a few of them can stand for gigabytes) and up to a limit, because reading YAML is slow;
so is writing it: a large answer comes in YAML's flow style, which is JSON (YAML 1.2, 1.3).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Hashable
from typing import Any, ClassVar

import msgspec
import yaml

from skerry.api.decode import decoded
from skerry.errors import BadRequest, RequestEntityTooLarge

YAML = "application/yaml"
LONGEST_YAML = 256 * 1024
"""Whoever sends more sends JSON."""
LONGEST_BLOCK = 16 * 1024
"""Bytes of JSON that are still written in YAML's block style."""

_encode = msgspec.json.Encoder().encode
_UNPRINTABLE = tuple(map(chr, (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)))
"""What JSON has in its strings as it is, and YAML does not, or reads as the end of a line."""


async def as_json(media: str, body: bytes) -> tuple[str, bytes]:
    """(media type, body), the body as JSON if it is said to be YAML. BadRequest."""
    if media.partition(";")[0].strip().lower() != YAML:
        return media, body
    return "application/json", await read(body)


async def read(body: bytes) -> bytes:
    """JSON for a document that is YAML, or JSON already (which clients send under a YAML media type). BadRequest."""
    try:
        decoded(body)
    except msgspec.DecodeError:
        if len(body) > LONGEST_YAML:
            raise RequestEntityTooLarge(
                f"the YAML document has {len(body)} bytes, the limit is {LONGEST_YAML}: send it as JSON"
            ) from None
        return await asyncio.to_thread(_parse, body)
    return body


def _parse(body: bytes) -> bytes:
    try:
        return _encode(yaml.load(body, Loader=_Loader))  # noqa: S506 - a SafeLoader with less
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
        raise BadRequest(f"error decoding YAML: {error}") from error


async def written(body: bytes) -> bytes:
    """YAML for a JSON document."""
    if len(body) <= LONGEST_BLOCK:
        return await asyncio.to_thread(_dump, body)
    return body if body.isascii() and b"\x7f" not in body else await asyncio.to_thread(_flow, body)


def _flow(body: bytes) -> bytes:
    text = body.decode()
    for each in _UNPRINTABLE:
        text = text.replace(each, f"\\u{ord(each):04x}")
    return text.encode()


def _dump(body: bytes) -> bytes:
    text: str = yaml.dump(
        msgspec.json.decode(body), Dumper=_QuotingDumper, allow_unicode=True, default_flow_style=False
    )
    return text.encode()


_GO_TOO = (
    ("bool", r"^[yYnN]$", "yYnN"),
    ("float", r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$", "-+.0123456789"),
    ("int", r"^[-+]?0o[0-7]+$", "-+0"),
)
"""What Go's reader takes for no text, and Python's does: (type, pattern, how it begins)."""


class _QuotingDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Texts that either reader takes for something else are in quotes."""


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: y and n are booleans; no aliases, no dates, keys are strings, none twice."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        number: float = super().construct_yaml_float(node)
        if not math.isfinite(number):
            raise yaml.YAMLError(f"{node.value[:40]} is no number in JSON")
        return number

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken: write the value out")
        composed: yaml.Node | None = super().compose_node(parent, index)
        return composed

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [getattr(key, "value", None) for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.YAMLError("a key is there twice")
        mapping = super().construct_mapping(node, deep=deep)
        if not all(isinstance(key, str) for key in mapping):
            raise yaml.YAMLError("keys are strings: put them in quotes")
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
for _type, _pattern, _first in _GO_TOO:
    for _reader in (_Loader, _QuotingDumper):
        _reader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(_pattern), list(_first))
