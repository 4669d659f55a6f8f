"""Lists and watches of Namespaces by who has a scope in some of them: narrowed to these by one selector of ours. Pure.

The query is written anew from what the API server would read of it, so that nothing that we did not understand is left in
it: a second `labelSelector`, in whatever spelling, included. Ours stands first; requirements are joined by "and", and
nothing that comes after one can undo it.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from skerry.httpwire.query import parse_query

NAME = "kubernetes.io/metadata.name"
"""The label that every Namespace has, and that nobody can change."""
_SELECTOR = "labelSelector"


def narrowed(target: bytes, namespaces: Iterable[str]) -> bytes:
    """The raw target of a list or watch of Namespaces that shows these alone, of what the caller selects."""
    path, _, query = target.partition(b"?")
    values = parse_query(query)
    own = values.pop(_SELECTOR, [""])[0]
    terms = [f"{NAME} in ({','.join(namespaces)})", *([own] if own.strip() else [])]
    pairs = [(name, value) for name, each in values.items() for value in each]
    return path + b"?" + urlencode([*pairs, (_SELECTOR, ",".join(terms))], errors="surrogatepass").encode("ascii")
