"""The host's API as a client sees it. http.client and ssl from the standard library: small, and quick to import.

Every error of the host arrives as the StatusError that it is; what happens before there is an answer becomes a Failure that
says which address, why, and what to do next.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, urlsplit

import msgspec

from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.api.v1alpha1 import API_VERSION
from skerry.cli.failure import Failure
from skerry.cli.kubeconfig import KubeContext
from skerry.cli.term import program, say
from skerry.errors import Forbidden, NotFound, StatusError, from_body
from skerry.httpwire.names import server_name

TIMEOUT_S = 30.0
QUIET_S = 150.0
"""A watch sends bookmarks every minute: one that is silent for longer is dead."""
WARNING = 1024
"""Characters of a warning that are shown."""
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"(?: ".*")?')


class Api:
    """A client of one host, as one identity."""

    def __init__(self, context: KubeContext, timeout_s: float = TIMEOUT_S) -> None:
        self.context = context
        self._url = urlsplit(context.server)
        self._timeout_s = timeout_s
        self._idle: list[http.client.HTTPSConnection] = []
        """Connections that wait for the next request: most commands make several."""
        if self._url.scheme != "https" or not self._url.hostname:
            raise Failure(
                f"context {context.name} in {context.where} has server {context.server!r}: it must be https://"
            )

    def get(self, path: str, *, accept: str = "application/json") -> Document:
        """GET `path`, a path with query below the host."""
        return self._request("GET", path, None, accept)

    def find(self, path: str) -> Document | None:
        """The same; None where there is nothing, or nothing for us."""
        try:
            return self.get(path)
        except (Forbidden, NotFound):
            return None

    def post(self, path: str, body: Document) -> Document:
        """POST a document."""
        return self._request("POST", path, body, "application/json")

    def put(self, path: str, body: Document) -> Document:
        """PUT a document."""
        return self._request("PUT", path, body, "application/json")

    def patch(self, path: str, body: Document) -> Document:
        """PATCH with a merge patch (RFC 7386)."""
        return self._request("PATCH", path, body, "application/json", "application/merge-patch+json")

    def delete(self, path: str) -> Document:
        """DELETE."""
        return self._request("DELETE", path, None, "application/json")

    def send(self, path: str, content: bytes, content_type: str) -> Document:
        """POST bytes; the document that is answered."""
        headers = {**self._headers("application/json"), "Content-Type": content_type}
        return self._document(*self._exchange("POST", self._url.path + path, content, headers))

    def fetch(self, path: str) -> bytes:
        """GET bytes, whatever they are."""
        status, answer = self._exchange("GET", self._url.path + path, None, self._headers("*/*"))
        if status >= 400:
            raise _error(status, answer, self.context)
        return answer

    def watch(self, path: str, *, accept: str = "application/json") -> Iterator[Document]:
        """The events of a watch, until the host ends it. Raises what the host answers instead of a watch."""
        try:
            for line in self.lines(path, accept=accept, quiet_s=QUIET_S):
                if line != b"\n":  # says that the answer lives
                    yield json.loads(line)
        except TimeoutError:
            return
        except ValueError as error:
            raise Failure(f"the watch at {self.context.server} broke off: {_why(error)}") from error

    def lines(self, path: str, *, accept: str = "*/*", quiet_s: float | None = TIMEOUT_S) -> Iterator[bytes]:
        """The lines of an answer as they come. TimeoutError if none came for `quiet_s`, and what the host answers instead."""
        connection = self._connection()
        try:
            connection.request("GET", self._url.path + path, headers=self._headers(accept))
            if connection.sock is not None:
                connection.sock.settimeout(quiet_s)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _error(answer.status, answer.read(), self.context)
            while line := answer.readline():
                yield line
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"the answer of {self.context.server} broke off: {_why(error)}") from error
        finally:
            connection.close()

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": "skerry"}
        if self.context.token:
            headers["Authorization"] = f"Bearer {self.context.token}"
        return headers

    def shows(self, name: str) -> bool:
        """True if who asks for `name` in TLS at the host's address is shown a certificate that this context trusts."""
        if self._url.path:
            return False  # what takes paths off has ended TLS before the host
        tls = _tls(self.context)
        tls.check_hostname, tls.verify_mode = True, ssl.CERT_REQUIRED
        address = (self._url.hostname or "", self._url.port or 443)
        try:
            with (
                socket.create_connection(address, self._timeout_s) as plain,
                tls.wrap_socket(plain, server_hostname=name),
            ):
                return True
        except OSError:
            return False

    def _connection(self) -> http.client.HTTPSConnection:
        return _NamedConnection(self.context, self._url.hostname or "", self._url.port or 443, self._timeout_s)

    def _request(
        self, method: str, path: str, body: Document | None, accept: str, content_type: str = "application/json"
    ) -> Document:
        headers = self._headers(accept)
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = content_type
        return self._document(*self._exchange(method, self._url.path + path, data, headers))

    def _document(self, status: int, answer: bytes) -> Document:
        if status >= 400:
            raise _error(status, answer, self.context)
        try:
            document: Document = json.loads(answer)
        except ValueError as error:
            raise Failure(f"{self.context.server} did not answer with JSON: is it a skerry host?") from error
        return document

    def _exchange(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection, is_kept = self._kept() or self._connection(), False
        try:
            connection.request(method, path, body=data, headers=dict(headers))
            answer = connection.getresponse()
            content, is_kept = answer.read(), not answer.will_close
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"cannot reach the host at {self.context.server}: {_why(error)}") from error
        finally:
            if is_kept:
                self._idle.append(connection)
            else:
                connection.close()
        said = () if answer.status >= 400 else answer.headers.get_all("Warning") or ()  # an error says it again itself
        for each in warnings(said):
            say(f"Warning: {each}")
        return answer.status, content

    def _kept(self) -> http.client.HTTPSConnection | None:
        """A connection of a request before, if the host has it still: an idle one on which there is something to read it closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def close(self) -> None:
        """Close its connections; the next request makes another one."""
        while self._idle:
            self._idle.pop().close()

    __del__ = close


class _NamedConnection(http.client.HTTPSConnection):
    """Asks in TLS for the name that its context says, if it says one."""

    def __init__(self, context: KubeContext, host: str, port: int, timeout_s: float) -> None:
        self._tls, self._name = _tls(context), context.server_name or host
        super().__init__(host, port, timeout=timeout_s, context=self._tls)

    def connect(self) -> None:
        """TCP, then TLS."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _tls(context: KubeContext) -> ssl.SSLContext:
    tls = ssl.create_default_context(cadata=context.ca.decode() if context.ca else None)
    if context.insecure:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if context.client_certificate:
        from skerry.http.tls import ClientCertificate

        own = ClientCertificate(
            context.client_certificate.decode(errors="replace"), context.client_key.decode(errors="replace")
        )
        try:
            own.load(tls)
        except ValueError as error:
            raise Failure(f"context {context.name} in {context.where}: {error}") from error
    return tls


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not the host's that this kubeconfig knows ({error.verify_message}): "
            "fetch a new kubeconfig, or check the address"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused: is it running? {program()} status, {program()} up"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _error(status: int, body: bytes, context: KubeContext) -> Exception:
    with contextlib.suppress(msgspec.DecodeError):
        error = from_body(body)
        if status == 401:
            error = StatusError(
                f"the host at {context.server} does not know the credential in {context.where}, or it ended"
            )
            error.code, error.reason = 401, "Unauthorized"
        return error
    return Failure(f"{context.server} answered {status} without a Status: is it a skerry host?")


def path_of(plural: str, name: str = "") -> str:
    """Path of a collection, or of one object, of our group."""
    return f"/apis/{API_VERSION}/{plural}" + (f"/{quote(name, safe='')}" if name else "")


def warnings(headers: Iterable[str]) -> list[str]:
    """Texts of Warning headers (RFC 7234, 5.5) that the host sends beside an answer; others are left out."""
    matches = (_WARNING.fullmatch(each.strip()) for each in headers)
    texts = [re.sub(r"\\(.)", r"\1", match[1]) for match in matches if match is not None]
    return [clean(text.encode("latin-1", "replace").decode("utf-8", "replace"), WARNING) for text in texts]


def clusters(api: Api) -> list[Document]:
    """All Cluster objects."""
    items: list[Document] = api.get(path_of("clusters")).get("items", [])
    return items


def members(clusters: list[Document]) -> list[str]:
    """Names of the clusters that can be reached through the host."""
    return [
        str(item["metadata"]["name"])
        for item in clusters
        if item.get("spec", {}).get("connection", {}).get("mode") != "none"
    ]


def named_by(api: Api, clusters: list[Document]) -> str:
    """The UID of the host by which its members have names in TLS (docs/adr/0016); "" if such names do not get there: the host
    is older, or something before it ends TLS.
    """
    uids = [
        str(item.get("status", {}).get("uid", "")) for item in clusters if item.get("spec", {}).get("role") == "host"
    ]
    return uids[0] if uids and uids[0] and api.shows(server_name("host", uids[0])) else ""
