"""Settings of the service audit: it has none of its own."""

from __future__ import annotations

from skerry.settings import Settings


class AuditSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the service audit needs besides what every process has."""
