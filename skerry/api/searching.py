"""What is asked of the owner of a kind whose objects can be searched, and what it answers. It ranks; what is shown is the front
door's to decide. Pure.
"""

from __future__ import annotations

from skerry.api.messages import Message

LONGEST_TEXT = 256
"""Characters."""
MOST = 500
"""Objects of one answer."""


class SearchRequest(Message, frozen=True, kw_only=True):
    """A question, in the body of a Write."""

    text: str
    namespace: str = ""
    """Of a kind that is namespaced; empty: all of them."""
    limit: int = MOST


class SearchAnswer(Message, frozen=True, kw_only=True, omit_defaults=False):
    """Objects that match, the best first."""

    keys: list[str] = []
    """`namespace/name`, or the name alone."""
