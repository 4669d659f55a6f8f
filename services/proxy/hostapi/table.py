"""Representations of objects: as they are, as rows of a Table, as PartialObjectMetadata. Pure but for live cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.proxy.hostapi.negotiate import PARTIAL, PARTIAL_LIST, TABLE, Media
from skerry.api.kinds import Column, Kind
from skerry.api.kinds.columns import UNKNOWN
from skerry.errors import BadRequest
from skerry.storage import Item, decode_document

_encode = msgspec.json.Encoder().encode
_META = "meta.k8s.io"
_INCLUDE = ("Metadata", "Object", "None")
NONE = "<none>"

Render = Callable[[Item], bytes]


class Representation:
    """One way to show the objects of a kind: `one` an object, `many` a list, `event` an object inside a watch."""

    def one(self, item: Item) -> bytes:
        """A single object."""
        return item.body

    def many(self, items: Iterable[Item], revision: int, more: str = "") -> bytes:
        """A list of objects as of `revision`; `more` is the continue token if these are not all."""
        raise NotImplementedError

    def event(self, item: Item) -> bytes:
        """An object in a watch event."""
        return self.one(item)

    def bookmark(self, revision: int, annotations: Mapping[str, str]) -> bytes:
        """The object of a BOOKMARK event."""
        raise NotImplementedError


class Plain(Representation):
    """The objects themselves: the stored bytes, never decoded."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def many(self, items: Iterable[Item], revision: int, more: str = "") -> bytes:
        """`<Kind>List`."""
        head = {
            "kind": f"{self._kind.kind}List",
            "apiVersion": self._kind.api_version,
            "metadata": _list_meta(revision, more),
        }
        return _list(head, (item.body for item in items))

    def bookmark(self, revision: int, annotations: Mapping[str, str]) -> bytes:
        """An object of the kind with nothing but its resourceVersion."""
        return _bookmark(self._kind.kind, self._kind.api_version, revision, annotations)


class Partial(Representation):
    """metadata alone."""

    def __init__(self, version: str) -> None:
        self._version = f"{_META}/{version}"

    def one(self, item: Item) -> bytes:
        """PartialObjectMetadata."""
        return _encode(self._partial(item))

    def _partial(self, item: Item) -> dict[str, Any]:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": self._version,
            "metadata": item.document()["metadata"],
        }

    def many(self, items: Iterable[Item], revision: int, more: str = "") -> bytes:
        """PartialObjectMetadataList."""
        head = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": self._version,
            "metadata": _list_meta(revision, more),
        }
        return _list(head, (self.one(item) for item in items))

    def bookmark(self, revision: int, annotations: Mapping[str, str]) -> bytes:
        """PartialObjectMetadata with nothing but its resourceVersion."""
        return _bookmark("PartialObjectMetadata", self._version, revision, annotations)


class Table(Representation):
    """meta/v1 Table. In a watch the column definitions come with the first event only, as from the API server."""

    def __init__(
        self,
        kind: Kind,
        version: str,
        include: str,
        live: Callable[[str], Mapping[str, object]],
        now: Callable[[], datetime],
    ) -> None:
        self._kind = kind
        self._version = f"{_META}/{version}"
        self._include = include
        self._live = live
        self._now = now
        self._headed = False
        self._is_live = any(column.live for column in kind.columns)
        self._columns = [(column.live, column.read, column.type == "date") for column in kind.columns]

    def one(self, item: Item) -> bytes:
        """A Table of one row."""
        return self.many((item,), item.revision)

    def many(self, items: Iterable[Item], revision: int, more: str = "") -> bytes:
        """A Table."""
        return self._table(items, revision, columns=True, more=more)

    def event(self, item: Item) -> bytes:
        """A Table of one row."""
        columns, self._headed = not self._headed, True
        return self._table((item,), item.revision, columns=columns)

    def bookmark(self, revision: int, annotations: Mapping[str, str]) -> bytes:
        """A Table without rows."""
        table = decode_document(self._table((), revision, columns=False))
        table["metadata"]["annotations"] = dict(annotations)
        return _encode(table)

    def _table(self, items: Iterable[Item], revision: int, *, columns: bool, more: str = "") -> bytes:
        now = self._now()
        return _encode(
            {
                "kind": "Table",
                "apiVersion": self._version,
                "metadata": _list_meta(revision, more),
                "columnDefinitions": [_definition(column) for column in self._kind.columns] if columns else None,
                "rows": [self._row(item, now) for item in items],
            }
        )

    def _row(self, item: Item, now: datetime) -> dict[str, Any]:
        """Of thousands of rows each cell is made here: what all rows share was looked at before."""
        document = item.document()
        live = self._live(item.name) if self._is_live else {}
        cells: list[Any] = []
        for name, read, is_date in self._columns:
            value = live.get(name) if name else read(document)
            if is_date:
                value = _age(value, now)
            cells.append(NONE if value is None or value == "" else value)
        return {"cells": cells, "object": self._object(item, document)}

    def _object(self, item: Item, document: dict[str, Any]) -> Any:
        if self._include == "None":
            return None
        if self._include == "Object":
            return msgspec.Raw(item.body)
        return {"kind": "PartialObjectMetadata", "apiVersion": self._version, "metadata": document["metadata"]}


def view(
    kind: Kind, media: Media, include: str, live: Callable[[str], Mapping[str, object]], now: Callable[[], datetime]
) -> Representation:
    """The view that a negotiated media type asks for. BadRequest for an `includeObject` that there is not."""
    if media in TABLE:
        if include not in _INCLUDE:
            quoted = msgspec.json.encode(include[:40]).decode()
            raise BadRequest(
                f"Unable to convert to Table as requested: includeObject: Invalid value: {quoted}: must be 'Metadata', "
                "'Object', 'None', or empty"
            )
        return Table(kind, media.version, include, live, now)
    if media in PARTIAL or media in PARTIAL_LIST:
        return Partial(media.version)
    return Plain(kind)


def _list(head: Mapping[str, Any], bodies: Iterable[bytes]) -> bytes:
    return _encode(head)[:-1] + b',"items":[' + b",".join(bodies) + b"]}"


def _list_meta(revision: int, more: str) -> dict[str, str]:
    return {"resourceVersion": str(revision), **({"continue": more} if more else {})}


def _bookmark(kind: str, api_version: str, revision: int, annotations: Mapping[str, str]) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return _encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})


def reshaped(representation: Representation, body: bytes) -> bytes:
    """The answer to a write, an object, a list of them or a Status, as its client wants to see objects."""
    if isinstance(representation, Plain):
        return body
    document = decode_document(body)
    if document["kind"] == "Status":
        return body
    if "items" not in document:
        return representation.one(_item(document))
    listed = document["metadata"]
    items = [_item(each) for each in document["items"]]
    return representation.many(items, int(listed["resourceVersion"]), listed.get("continue", ""))


def _item(document: dict[str, Any]) -> Item:
    """What a view needs of an object that was just written; one that was not stored has no revision."""
    metadata = document["metadata"]
    return Item(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        revision=int(metadata.get("resourceVersion") or 0),
        labels=metadata.get("labels") or {},
        content=_encode(document),
    )


def _definition(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _age(value: object, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return UNKNOWN
    return human_duration((now - moment).total_seconds())


def human_duration(seconds: float) -> str:
    """A duration as kubectl prints ages: a port of k8s.io/apimachinery/pkg/util/duration.HumanDuration."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first}{first_unit}{second}{second_unit}" if second else f"{first}{first_unit}"
