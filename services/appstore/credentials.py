"""Credentials of repositories: sealed in the bucket `appstore` under the uid of their AppRepository, and nowhere else.

A credential is for the place (scheme, host, port) that the repository had when it was given: who may change the address of a
repository could otherwise have the password of whoever set it sent to themselves.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import msgspec

from services.appstore.network import MOST_PEM
from skerry.api.appstore import RepositoryCredential
from skerry.api.decode import decoded
from skerry.bus import Bucket
from skerry.errors import AlreadyExists, BadRequest, Conflict, NotFound
from skerry.http.tls import ClientCertificate
from skerry.storage.sealed import Keyring, Unreadable

PREFIX = "repository."
LONGEST = 4096
"""Characters of a user, a password or a token; some tokens are JWTs with everybody's groups in them."""
Place = tuple[str, str, int]
"""Scheme, host and port."""


class KeptCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed."""

    place: Place
    credential: RepositoryCredential

    def __repr__(self) -> str:
        return f"KeptCredential({self.place})"


class Credentials:
    """The sealed credentials. StatusError of the bus."""

    def __init__(self, bucket: Bucket, keyring: Keyring) -> None:
        self._bucket, self._keyring = bucket, keyring

    async def revision(self, uid: str) -> int:
        """Another number for each that is kept; 0 while there is none."""
        entry = await self._bucket.get(PREFIX + uid)
        return 0 if entry is None or entry.value is None else entry.revision

    async def find(self, uid: str) -> KeptCredential | None:
        """That of the AppRepository with this uid, or None. Unreadable if no key opens it."""
        entry = await self._bucket.get(PREFIX + uid)
        if entry is None or entry.value is None:
            return None
        try:
            return decoded(self._keyring.opened(entry.key, entry.value).value, KeptCredential)
        except msgspec.DecodeError as error:
            raise Unreadable(f"the credential {entry.key} is of another version of skerry") from error

    async def keep(self, uid: str, kept: KeptCredential) -> None:
        """Store it in place of what is there."""
        key = PREFIX + uid
        while True:
            entry = await self._bucket.get(key)
            value = self._keyring.seal(key, msgspec.json.encode(kept))
            try:
                if entry is None or entry.value is None:
                    await self._bucket.create(key, value)
                else:
                    await self._bucket.update(key, value, entry.revision)
            except (Conflict, AlreadyExists):
                continue
            return

    async def drop(self, uid: str) -> None:
        """Forget it. Idempotent."""
        while True:
            entry = await self._bucket.get(PREFIX + uid)
            if entry is None or entry.value is None:
                return
            try:
                await self._bucket.purge(entry.key, entry.revision)
            except NotFound:
                return
            except Conflict:
                continue

    async def uids(self) -> list[str]:
        """The uids of AppRepositories that have one."""
        uids: dict[str, None] = {}
        after, more = 0, True
        while more:
            page = await self._bucket.changes(f"{PREFIX}>", after)
            more = page.more
            for entry in page.entries:
                after = entry.revision
                uid = entry.key.removeprefix(PREFIX)
                if entry.value is None:
                    uids.pop(uid, None)
                else:
                    uids[uid] = None
        return list(uids)


def check(credential: RepositoryCredential) -> None:
    """BadRequest for one that no server can be shown. No value is in the message."""
    for problem in _problems(credential):
        raise BadRequest(f"this credential cannot be used: {problem}")


def _problems(credential: RepositoryCredential) -> Iterator[str]:
    texts = (credential.username, credential.password, credential.token)
    if not (any(texts) or credential.certificate or credential.key):
        yield "it is empty; give username and password, or token, or certificate and key; or delete it"
    if any(len(each) > LONGEST for each in texts):
        yield f"username, password and token have at most {LONGEST} characters"
    yield from _shown(*texts)
    yield from _certificate(credential.certificate, credential.key)


def _shown(username: str, password: str, token: str) -> Iterator[str]:
    if token and (username or password):
        yield "it has a token and a user: one of the two is shown"
    if password and not username:
        yield "it has a password without a username"
    if ":" in username or not username.isprintable() or not password.isprintable():
        yield "username and password must print, and a username has no colon (RFC 7617)"
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        yield "a token is printable ASCII without blanks (RFC 6750)"


def _certificate(certificate: str, key: str) -> Iterator[str]:
    if bool(certificate) != bool(key):
        yield "a client certificate needs its key, and the key its certificate"
        return
    if len(certificate) > MOST_PEM or len(key) > MOST_PEM:
        yield f"certificate and key have at most {MOST_PEM} bytes"
        return
    if certificate:
        try:
            ClientCertificate(certificate, key).load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except ValueError as error:
            yield str(error)


def type_of(credential: RepositoryCredential) -> str:
    """What kind it is, for people: basic, token, certificate, or two of them."""
    parts = (
        ("basic", credential.username),
        ("token", credential.token),
        ("certificate", credential.certificate),
    )
    return "+".join(name for name, value in parts if value)
