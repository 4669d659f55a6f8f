"""Settings of the App Store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from services.appstore.network import DEADLINE_S
from skerry.settings import Settings, about


class AppStoreSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the App Store, besides those of every process."""

    app_store_secrets_key_file: Annotated[
        Path, about("Key of the host's secrets, of which the App Store's own is derived; made if absent.")
    ]
    app_store_fetch_s: Annotated[float, about("Seconds that one download from a repository may take.")] = DEADLINE_S
