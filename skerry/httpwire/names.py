"""Names of members in TLS: `<member>.clusters.<UID of the host>` (docs/adr/0016-one-member-one-name.md).

The name chooses the member, so that its API lies at `/`. Whatever ends in `clusters.<a UID>` came for a member: if not
for one of this host, then for none, and never for the host's own API.
"""

from __future__ import annotations

import re

_ZONE = "clusters."
_SHAPE = re.compile(r"(?:(.*)\.)?clusters\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.?", re.DOTALL)


def server_name(member: str, uid: str) -> str:
    """The name of `member` of the host `uid`; `*` for the certificate of all of them."""
    return f"{member}.{_ZONE}{uid}"


def member_of(name: str, uid: str) -> str | None:
    """The member that a client asked for by `name` (lower case); None: no member, but the host `uid` itself.

    What cannot be a member's name (of another host, without or with several labels) is given as it is: nobody has it.
    """
    match = _SHAPE.fullmatch(name)
    if match is None:
        return None
    return match[1] if match[1] and match[2] == uid else name
