"""`clusters/<name>/approve` and `clusters/<name>/deny`: somebody decides on a cluster that waits. No kind of its own."""

from __future__ import annotations

from typing import Annotated

from skerry.api.meta import Struct
from skerry.api.v1alpha1 import API_VERSION, described


class ClusterDecision(Struct, frozen=True, kw_only=True):
    """The body of POST on `clusters/<name>/approve` and `clusters/<name>/deny`."""

    api_version: str = API_VERSION
    kind: str = "ClusterDecision"
    reason: Annotated[str, described("Why, for people: it stands in the Event, and a denied agent is told.")] = ""
