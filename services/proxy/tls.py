"""The front door's certificates, which can be replaced while the process runs. No certificate library is needed.

One serves all names, unless there is another for the names of members: those are signed by the host's own authority,
while the front door may have a certificate of somebody else's.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from services.proxy.routes import member_by_name
from services.proxy.settings import ProxySettings, addresses
from skerry.http.tls import names, server_context
from skerry.settings import SettingsError

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))

log = logging.getLogger("skerry.proxy")


class Certificate:
    """One context; `reload` takes new files into it for the next handshakes."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        try:
            self._seen = self._stamp()
            self.context = server_context(chain, key)
            self.names = names(chain)
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
            self.names = names(self._chain)
            self._seen = stamp
        except (OSError, ssl.SSLError) as error:
            log.warning("the new certificate cannot be used, the old one stays", extra={"error": str(error)})
            return False
        log.info("the certificate was replaced")
        return True


class Certificates:
    """The certificates of the front door, and which is for whom. SettingsError for what cannot be used."""

    def __init__(self, settings: ProxySettings) -> None:
        self._uid = settings.host_uid
        self._usual = _of(settings.tls_cert_file, settings.tls_key_file, "SKERRY_TLS")
        self._members = _of(settings.members_cert_file, settings.members_key_file, "SKERRY_MEMBERS")
        if self._usual is None and any(host not in LOOPBACK for host, _ in addresses(settings.listen)):
            raise SettingsError(
                "without SKERRY_TLS_CERT_FILE only loopback may be listened on: tokens would be readable"
            )

    @property
    def context(self) -> ssl.SSLContext | None:
        """The usual one; None: no TLS."""
        return self._usual.context if self._usual else None

    def by_name(self, name: str) -> ssl.SSLContext | None:
        """The one of members, if a client asks for the name of one and it is another than the usual."""
        if self._members is None or member_by_name(name, self._uid) is None:
            return None
        return self._members.context

    def ours(self, host: str, server_name: str, local: str) -> bool:
        """True if the authority of an absolute target is ours: a name of a certificate, what the client asked for in TLS, or
        the address that it reached. It never decides where a request goes, so the name of a member is ours only where
        the connection came for that member.
        """
        if (member := member_by_name(host, self._uid)) is not None:
            return member == member_by_name(server_name, self._uid)
        if host in (server_name, local) or (host in LOOPBACK and local in LOOPBACK):
            return True
        wild = "*." + host.partition(".")[2]
        certified = [each.names for each in (self._usual, self._members) if each is not None]
        return any(host in known or wild in known for known in certified)

    def reload(self) -> None:
        """Take new files for the next handshakes."""
        for certificate in (self._usual, self._members):
            if certificate is not None:
                certificate.reload()


def _of(chain: Path | None, key: Path | None, prefix: str) -> Certificate | None:
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise SettingsError(f"{prefix}_CERT_FILE and {prefix}_KEY_FILE belong together: set both or none")
    return Certificate(chain, key)
