"""Settings of the App Store."""

from __future__ import annotations

from skerry.settings import Settings


class AppStoreSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the App Store, besides those of every process."""
