"""Settings of the service events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from skerry.settings import Settings, about
from skerry.storage.sealed import Keyring, keyring_of


class EventsSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the service events, besides those of every process."""

    events_secrets_key_file: Annotated[
        Path | None, about("Key of the host's secrets, of which that of the sinks' secrets is derived.")
    ] = None
    events_key_file: Annotated[Path | None, about("Instead: the key of the sinks' secrets.")] = None

    def keyring(self, service: str) -> Keyring:
        """What the secrets of sinks are sealed with. SettingsError unless one of both keys is named; InternalError as of Keyring."""
        return keyring_of(service, "events", self.events_key_file, self.events_secrets_key_file)
