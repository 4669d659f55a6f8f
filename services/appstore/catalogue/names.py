"""Names of Apps and AppVersions, made of charts' and versions'. Pure.

An App is called `<repository>.<chart>`, one that was uploaded `<chart>`, a published one `<workspace>.<app>`; a version `<app>-<version>`.
The names of objects take less than versions may have: no capitals, no +, 253 characters. Where something is lost on the way, a
digest of the whole stands behind, so that two versions never have one name.
"""

from __future__ import annotations

import re
from hashlib import sha256

LONGEST = 253
"""Characters of an object's name (a DNS subdomain)."""
_JOINTS = re.compile(r"[-.]*\.[-.]*")
"""Where labels meet: a label neither begins nor ends with a dash, and is not empty."""


def app_name(source: str, chart: str) -> str:
    """The App of a chart that is from a repository, or of an app that is from a workspace; `source` empty: uploaded."""
    return _fitting(f"{source}.{chart}" if source else chart)


def version_name(app: str, version: str) -> str:
    """The AppVersion of a version of an app."""
    return _fitting(f"{app}-{version}")


def _fitting(name: str) -> str:
    plain = _JOINTS.sub(".", name.lower().replace("+", "-")).strip("-.")
    if plain == name and len(name) <= LONGEST:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: LONGEST - 9].rstrip('-.')}-{digest}"
