"""The front door's certificate, which can be replaced while the process runs. No certificate library is needed."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from skerry.http.tls import server_context
from skerry.settings import SettingsError

log = logging.getLogger("skerry.proxy")


class Certificate:
    """The server's context; `reload` takes new files into it for the next handshakes."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        try:
            self._seen = self._stamp()
            self.context = server_context(chain, key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"cannot use the certificate {chain} with the key {key}: {error}") from error

    def _stamp(self) -> tuple[int, int]:
        return self._chain.stat().st_mtime_ns, self._key.stat().st_mtime_ns

    def reload(self) -> bool:
        """Load the files again if they changed; whether they did. Files that cannot be used leave the old ones."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            self.context.load_cert_chain(self._chain, self._key)
            self._seen = stamp
        except (OSError, ssl.SSLError) as error:
            log.warning("the new certificate cannot be used, the old one stays", extra={"error": str(error)})
            return False
        log.info("the certificate was replaced")
        return True
