"""Paths of the host's API below its address, for kinds, or for what of a kind a path needs. The standard library alone, and little of it."""

from __future__ import annotations

from skerry.api.names import API_VERSION

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from typing import Protocol

    class Resource(Protocol):
        """What paths and names of objects of a kind are made of."""

        @property
        def plural(self) -> str: ...
        @property
        def singular(self) -> str: ...
        @property
        def namespaced(self) -> bool: ...


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
"""What to accept where rows are to be printed."""
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""Stand for themselves everywhere (RFC 3986, 2.3)."""


class ResourceNames:
    """A kind by its names alone: all that a path needs, without the Structs of a `Kind`."""

    def __init__(self, singular: str, *, namespaced: bool = True) -> None:
        self.singular, self.plural, self.namespaced = singular, f"{singular}s", namespaced


APPS = ResourceNames("app")
APP_VERSIONS = ResourceNames("appversion")
APP_RELEASES = ResourceNames("apprelease")
APP_INSTANCES = ResourceNames("appinstance")
APP_STORES = ResourceNames("appstore", namespaced=False)


def path_in(kind: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    """Path of a collection in a namespace (all of them if that is empty), of one object, or of what is below it."""
    place = f"/namespaces/{quoted(namespace)}" if kind.namespaced and namespace else ""
    parts = "".join(f"/{quoted(part)}" for part in (name, subresource) if part)
    return f"/apis/{API_VERSION}{place}/{kind.plural}{parts}"


def query(path: str, **parameters: str) -> str:
    """`path` with those parameters that are not empty."""
    chosen = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in parameters.items() if value)
    return f"{path}?{chosen}" if chosen else path


def quoted(text: str) -> str:
    """`text` as one part of a path or a query: whatever could mean something else there is percent-encoded."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())
