"""TLS contexts towards the member's API server.

Made from PROTOCOL_TLS_CLIENT rather than `ssl.create_default_context`: Python 3.13 adds VERIFY_X509_STRICT there, which
refuses the authorities that many Kubernetes installers make.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from skerry.http.tls import ClientCertificate
from skerry.member.credentials import ClientCredential
from skerry.member.kubeconfig import KubeconfigError, Tls

OnCertificate = Callable[[bytes], None]
"""Is told of the certificate (DER) that a server showed."""


class _Context(ssl.SSLContext):
    """Tells of what the server of each new connection shows."""

    shown: OnCertificate


class _Handshake(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        der = self.getpeercert(binary_form=True)
        if der is not None and isinstance(self.context, _Context):
            self.context.shown(der)


_Context.sslobject_class = _Handshake


def context(tls: Tls, credential: ClientCredential, shown: OnCertificate = lambda der: None) -> ssl.SSLContext:
    """A client context that trusts `tls.ca` (or the system) and shows the credential's certificate if it has one.

    Raises KubeconfigError when a certificate or key cannot be read; an encrypted key counts as such.
    """
    tls_context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    tls_context.shown = shown
    tls_context.minimum_version = ssl.TLSVersion.TLSv1_2
    tls_context.set_alpn_protocols(["http/1.1"])
    if tls.insecure:
        tls_context.check_hostname = False
        tls_context.verify_mode = ssl.CERT_NONE
    else:
        _trust(tls_context, tls.ca)
    if credential.certificate:
        _show(tls_context, credential)
    return tls_context


def _trust(tls_context: ssl.SSLContext, ca: bytes) -> None:
    if not ca:
        tls_context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        tls_context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as e:
        raise KubeconfigError("the API server's certificate authority is not a PEM certificate") from e


def _show(tls_context: ssl.SSLContext, credential: ClientCredential) -> None:
    try:
        ClientCertificate(credential.certificate.decode(), credential.key.decode()).load(tls_context)
    except ValueError as e:
        raise KubeconfigError("the client certificate and its key cannot be loaded, or do not belong together") from e
