"""TLS of the front door: HTTP/1.1 only, and a certificate that can be replaced while the process runs.

Clients without ALPN or SNI are accepted: SPDY dialers send neither. Nothing here needs a certificate library.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from skerry.settings import SettingsError

log = logging.getLogger("skerry.proxy")


class Certificate:
    """The server's context; `reload` takes new files into it for the next handshakes."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        try:
            self._seen = self._load()
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"cannot use the certificate {chain} with the key {key}: {error}") from error

    def _load(self) -> tuple[int, int]:
        seen = self._stamp()
        self.context.load_cert_chain(self._chain, self._key)
        return seen

    def _stamp(self) -> tuple[int, int]:
        return self._chain.stat().st_mtime_ns, self._key.stat().st_mtime_ns

    def reload(self) -> bool:
        """Load the files again if they changed; whether they did. Files that cannot be used leave the old ones."""
        try:
            if self._stamp() == self._seen:
                return False
            self._seen = self._load()
        except (OSError, ssl.SSLError) as error:
            log.warning("the new certificate cannot be used, the old one stays", extra={"error": str(error)})
            return False
        log.info("the certificate was replaced")
        return True
