"""The front door's certificates, which can be replaced while the process runs. No certificate library is needed.

One serves all names, unless there is another for the names of members: those are signed by the host's own authority,
while the front door may have a certificate of somebody else's.
"""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path

from services.proxy.authn import REFUSED, CachedCredential, certified
from services.proxy.routes import member_by_name
from services.proxy.settings import ProxySettings, addresses
from skerry.errors import Unauthorized
from skerry.http.tls import names, server_context
from skerry.settings import SettingsError

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))

log = logging.getLogger("skerry.proxy")


class ServerCertificate:
    """One context; `reload` takes new files into it for the next handshakes."""

    def __init__(self, chain: Path, key: Path, client_ca: Path | None = None) -> None:
        self._chain = chain
        self._key = key
        try:
            self._seen = self._stamp()
            self.context = server_context(chain, key, client_ca=client_ca)
            self.names = names(chain)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"cannot use the certificate {chain} with the key {key}: {error}") from error

    def _stamp(self) -> tuple[int, int]:
        return _stamp(self._chain), _stamp(self._key)

    def trust(self, client_ca: Path) -> None:
        """Ask for client certificates of other authorities from now on. OSError, ssl.SSLError."""
        self.context = server_context(self._chain, self._key, client_ca=client_ca)

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
        self._client_ca = settings.client_ca_file
        self.authority = 1
        """Counts the authorities of client certificates that there have been."""
        self._usual = _of(settings.tls_cert_file, settings.tls_key_file, "SKERRY_TLS", self._client_ca)
        self._members = _of(settings.members_cert_file, settings.members_key_file, "SKERRY_MEMBERS", self._client_ca)
        if self._client_ca is not None:
            if self._usual is None:
                raise SettingsError(
                    "SKERRY_CLIENT_CA_FILE needs SKERRY_TLS_CERT_FILE: client certificates are a part of TLS"
                )
            self._trusted = _stamp(self._client_ca)
        if self._usual is None and any(host not in LOOPBACK for host, _ in addresses(settings.listen)):
            raise SettingsError(
                "without SKERRY_TLS_CERT_FILE only loopback may be listened on: tokens would be readable"
            )

    @property
    def context(self) -> ssl.SSLContext | None:
        """The usual one; None: no TLS."""
        return self._usual.context if self._usual else None

    def by_name(self, name: str) -> ssl.SSLContext | None:
        """The one of members, if it is another than the usual and a client asks for the name of one, or for a name that it alone
        has, as the host's own services do."""
        if self._members is not None and (member_by_name(name, self._uid) is not None or self._has_alone(name)):
            return self._members.context
        return self._usual.context if self._usual is not None and self._client_ca is not None else None

    def _has_alone(self, name: str) -> bool:
        usual = self._usual.names if self._usual is not None else ()
        return self._members is not None and name.lower() in self._members.names and name.lower() not in usual

    def client(self, connection: ssl.SSLObject | None) -> CachedCredential | None:
        """Whom the client certificate of a connection names; None if it shows none. Unauthorized for one that names nobody, or
        whose authority is another now.
        """
        fields = None if connection is None or self._client_ca is None else connection.getpeercert()
        if not fields or connection is None:
            return None
        contexts = [each.context for each in (self._usual, self._members) if each is not None]
        if not any(connection.context is each for each in contexts):
            raise Unauthorized(REFUSED)
        der = connection.getpeercert(binary_form=True) or b""
        return certified(fields, der, self.authority, time.time())

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
        if self._client_ca is not None:
            self._trust(self._client_ca)

    def _trust(self, client_ca: Path) -> None:
        """Take another file of authorities: what the old ones signed holds no more. One that cannot be used changes nothing."""
        try:
            stamp = _stamp(client_ca)
            if stamp == self._trusted:
                return
            self._trusted = stamp
            for certificate in (self._usual, self._members):
                if certificate is not None:
                    certificate.trust(client_ca)
        except (OSError, ssl.SSLError) as error:
            log.warning(
                "the new authority of client certificates cannot be used, the old one stays",
                extra={"error": str(error)},
            )
            return
        self.authority += 1
        log.info("the authority of client certificates was replaced")


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns


def _of(chain: Path | None, key: Path | None, prefix: str, client_ca: Path | None) -> ServerCertificate | None:
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise SettingsError(f"{prefix}_CERT_FILE and {prefix}_KEY_FILE belong together: set both or none")
    return ServerCertificate(chain, key, client_ca)
