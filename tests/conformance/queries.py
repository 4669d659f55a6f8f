"""Queries and headers of generated requests: good ones, spoilt now and then. Texts are as they go over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from hypothesis import strategies as st

from tests.conformance.choices import pick, some, upto

Options = Mapping[str, tuple[str, ...]]
Drawn = tuple[str, tuple[str, ...]]
"""A query or a header's value, and in words what is odd about it."""

_TRUTH = ("true", "false", "1", "0", "", "True", "x", "t", "null")
_NUMBERS = ("0", "1", "2", "-1", "+1", "", "x", "1.5", "1e1", "0x1", "2147483648", "9223372036854775807", "9223372036854775808", " 1")  # fmt: skip
_REVISIONS = ("0", "VERSION", "", "x", "-1", "1.5", "+1", "18446744073709551616")
LABELS = (
    "a=1", "a==1", "a!=1", "a", "!a", "a in (1,2)", "a notin (1)", "a in ()", "a in (1", "a in 1", "a>0", "a<5", "a>x", "a=", "=1",
    "a=1,b=2", "a=1,", ",a=1", "a,,b", "a = 1", " a ", "a=1=2", "(a)", "a b", "!!a", "x/y=z", "X/y=z", "/y=z", "x/y/z=1", "a=b c",
    "é=1", "a=é", "a=1;b=2", "a=\"1\"", "a in (1,1)", "a in (,1)", "in", "notin", "in in (in)", "a=-", "-a=1", "a=" + "b" * 63,
    "a=" + "b" * 64, "b" * 64 + "=1", "a\n=1", "a=1\\", "a>1.5", "a>-1", "a>9223372036854775808", "a gt 1", "a lt 1", "!a=1", "a!", "a=!",
    "a in(1)", "a notin(1)", "a in (1) b", "a,!b,c in (d)",
)  # fmt: skip
FIELDS = (
    "metadata.name=NAME", "metadata.name==NAME", "metadata.name!=NAME", "metadata.name=", "metadata.name", "metadata.name=a,metadata.name=b",
    "metadata.namespace=", "metadata.namespace=x", "metadata.namespace!=x", "metadata.uid=x", "spec.displayName=Team", "name=x", "=",
    "metadata.name=a=b", "metadata.name=a\\=b", "metadata.name=a\\,b", "metadata.name=a\\b", "metadata.name=a\\", " metadata.name=NAME",
    "metadata.name =NAME", "metadata.name= NAME", ",", "metadata.name=NAME,", ",metadata.name=NAME", "metadata.name in (a)", "é=1",
    "metadata.name=é", "metadata.name===x", "metadata.name=!x", "metadata.labels.a=1", "METADATA.NAME=NAME",
)  # fmt: skip
CONTINUE = ("", "x", "e30", "!!!", "TOKEN", "TOKEN", "TOKENx")
"""TOKEN is one that the side gave: what is in it is its own business."""
WATCHING = ("watch=1", "watch=true", "watch", "watch=", "watch=x")

COMMON: Options = {"pretty": ("true", "false", "x", ""), "unknown": ("x", "")}
GET: Options = {**COMMON, "resourceVersion": _REVISIONS, "resourceVersionMatch": ("Exact", "x")}
LIST: Options = {
    **COMMON,
    "labelSelector": LABELS,
    "fieldSelector": FIELDS,
    "limit": _NUMBERS,
    "continue": CONTINUE,
    "resourceVersion": _REVISIONS,
    "resourceVersionMatch": ("Exact", "NotOlderThan", "", "x", "exact"),
    "timeoutSeconds": _NUMBERS,
    "allowWatchBookmarks": _TRUTH,
    "sendInitialEvents": _TRUTH,
    "watch": ("false", "0", "False"),
    "timeout": ("1s", "x", "1", "", "-1s", "1h"),
}
_DRY = ("All", "", "all", "None", "All,All", "x")
_MANAGER = ("m", "", "é", "a b", "a%07b", "m" * 128, "m" * 129, "é" * 64, "é" * 65)
_VALIDATION = ("Ignore", "Warn", "Strict", "", "strict", "x")
WRITE: Options = {
    **COMMON,
    "dryRun": _DRY,
    "fieldManager": _MANAGER,
    "fieldValidation": _VALIDATION,
    "timeout": ("1s", "x", "", "1"),
}
PATCH: Options = {**WRITE, "force": _TRUTH}
DELETE: Options = {
    **COMMON,
    "dryRun": _DRY,
    "gracePeriodSeconds": _NUMBERS,
    "orphanDependents": _TRUTH,
    "propagationPolicy": ("Background", "Foreground", "Orphan", "", "background", "x"),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("false", "x", ""),
    "preconditions": ("x",),
}
DELETE_ALL: Options = {**LIST, **DELETE}
del DELETE_ALL["watch"]  # type: ignore[attr-defined]

_RAW = (
    "%zz=1",
    "a=%zz",
    "a=%",
    ";",
    "a;b",
    "&&",
    "=",
    "=x",
    "&",
    "%00=1",
    "a=%ff",
    "?",
    "a=b=c",
    "LIMIT=x",
    "+=+",
    "%C3%A9=1",
)
"""Pieces that are no plain name and value; what stands before and behind them must count all the same, or not."""


def query(draw: st.DrawFn, options: Options, fixed: str = "", *, most: int = 2) -> Drawn:
    """Up to `most` options; rarely one of them twice, or a piece that cannot be read."""
    names = some(draw, sorted(options), most)
    pieces, odd = [fixed] if fixed else [], []
    for name in names:
        value = pick(draw, options[name])
        safe = "%" if "%" in value else ""
        pieces.append(f"{name}={quote(value, safe=safe)}")
        odd.append(f"{name}={value[:70]}")
    if upto(draw, 11) == 0:
        raw = pick(draw, _RAW)
        pieces.insert(upto(draw, len(pieces)), raw)
        odd.append(f"query: {raw}")
    return "&".join(pieces), tuple(odd)


PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
JSON = "application/json"
ACCEPT = (
    "*/*", "", "application/*", "text/html", "application/yaml", "application/vnd.kubernetes.protobuf", PARTIAL, PARTIALS,
    "application/json;q=0.1,application/yaml;q=0.9", "application/json;q=0", "text/html,application/json", "text/html, */*;q=0.8",
    "application/vnd.kubernetes.protobuf,application/json", f"{PARTIAL},application/json", "application/json;as=Odd;v=v1;g=meta.k8s.io",
    "application/json;as=Odd;v=v1;g=meta.k8s.io,application/json", "application/json;charset=utf-8", "application/json;charset=utf-16", "APPLICATION/JSON", ";", ";;;", ",",
    "application/json;pretty=1", "application/json; as=PartialObjectMetadata; g=meta.k8s.io; v=v1", "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v9;g=meta.k8s.io", "application/json;as=PartialObjectMetadata", "application", "application/json/x", "application/json;q=x",
    "application/json;v=v1", "application/cbor", "application/json;stream=watch",
)  # fmt: skip
CONTENT = (
    "", "application/json; charset=utf-8", "application/json;charset=utf-16", "application/json;charset=latin-1", "APPLICATION/JSON",
    "application/yaml", "text/plain", "application/x-www-form-urlencoded", "application/json;", "application/json;;x", "*/*", "application/json, text/plain",
    "application/json;q=0.5", "x", "application/json;as=Table", "text/json", "application/merge-patch+json", "application/octet-stream",
    "application/json; charset=\"utf-8\"", "application/json; charset", "application/x-yaml",
)  # fmt: skip
_MORE = (
    ("if-match", '"x"'), ("if-match", "*"), ("if-none-match", "*"), ("content-encoding", "identity"), ("accept-encoding", "gzip"),
    ("accept-language", "xx"), ("x-http-method-override", "DELETE"), ("content-language", "é"), ("user-agent", ""),
    ("user-agent", "a b/1"), ("user-agent", "é/1"), ("user-agent", "x" * 200), ("user-agent", "/1"),
)  # fmt: skip

Headers = tuple[tuple[str, str], ...]


def headers(draw: st.DrawFn, media: str = "", *, odd: bool = True) -> tuple[Headers, tuple[str, ...]]:
    """Accept, Content-Type if there is a body of type `media`, and rarely another one."""
    found: dict[str, str] = {"accept": JSON, "user-agent": "conformance/1.0"}
    words = []
    if media:
        found["content-type"] = media
    if odd and upto(draw, 5) == 0:
        found["accept"] = pick(draw, ACCEPT)
        words.append(f"accept: {found['accept']}")
    if odd and media and upto(draw, 7) == 0:
        found["content-type"] = pick(draw, CONTENT)
        words.append(f"content-type: {found['content-type']}")
    if odd and upto(draw, 15) == 0:
        name, value = pick(draw, _MORE)
        found[name] = value
        words.append(f"{name}: {value[:40]}")
    return tuple(sorted(found.items())), tuple(words)
