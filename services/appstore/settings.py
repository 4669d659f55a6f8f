"""Settings of the App Store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from services.appstore.network import DEADLINE_S
from skerry.settings import Settings, about
from skerry.storage.sealed import Keyring, keyring_of


class AppStoreSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the App Store, besides those of every process."""

    app_store_secrets_key_file: Annotated[
        Path | None, about("Key of the host's secrets, of which the App Store's own is derived.")
    ] = None
    app_store_key_file: Annotated[Path | None, about("Instead: the App Store's own key.")] = None
    app_store_fetch_s: Annotated[float, about("Seconds that one download from a repository may take.")] = DEADLINE_S
    app_store_look_s: Annotated[
        float, about("Seconds between looks at an app on a cluster where nothing is on its way, or that refuses us.")
    ] = 60.0
    app_store_front_door: Annotated[
        str, about("https:// address of the host's front door, through which releases are worked on members.")
    ] = ""
    app_store_front_door_ca_file: Annotated[
        Path | None, about("Authority that signed the front door's certificate; default: those of the system.")
    ] = None
    app_store_workers: Annotated[int, about("Operations of Helm at once, each in up to 192 MiB.")] = 2
    helm: Annotated[str, about("The helm program, 4.2.2 or newer; default: looked for (PATH, skerry's cache).")] = ""

    def keyring(self, service: str) -> Keyring:
        """What the service seals with. SettingsError unless one of both keys is named; InternalError as of Keyring."""
        return keyring_of(service, "app_store", self.app_store_key_file, self.app_store_secrets_key_file)
