"""Credentials of one NATS user: its JWT and its seed, in the `.creds` format that every NATS tool reads."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from skerry.errors import BadRequest
from skerry.identity import jwt, nkey
from skerry.identity.files import write_private

_BLOCK = re.compile(rb"-{3,}BEGIN ([A-Z ]+)-{3,}\s*([A-Za-z0-9_.=-]+)\s*-{3,}END [A-Z ]+-{3,}")


class Credentials:
    """A user JWT and its seed; `seed` is empty for a bearer (join tokens). repr shows no secret."""

    def __init__(self, user_jwt: str, seed: bytes = b"") -> None:
        self.jwt = user_jwt
        self.seed = seed

    @cached_property
    def claims(self) -> jwt.NatsClaims:
        """The claims of the JWT, not verified."""
        return jwt.decode(self.jwt)

    @property
    def public(self) -> str:
        """The user's nkey."""
        return self.claims.sub

    @property
    def account(self) -> str:
        """Public key of the account that the user is in; empty if the JWT does not name it."""
        return str(self.claims.nats.get("issuer_account", ""))

    def may_publish(self, subject: str) -> bool:
        """True if the JWT lists this very subject; wildcards are not looked into."""
        published = self.claims.nats.get("pub") or {}
        return subject in (published.get("allow") or ())

    @property
    def expires(self) -> int | None:
        """Seconds since the epoch (host time), None if they do not end."""
        return self.claims.exp or None

    @property
    def inbox(self) -> str:
        """The only inbox that the user may subscribe to: `_INBOX.<nkey>`."""
        return inbox(self.public)

    def sign(self, nonce: bytes) -> bytes:
        """The signature that the server asks for; empty for a bearer."""
        return nkey.from_seed(self.seed).sign(nonce) if self.seed else b""

    def save(self, path: Path) -> None:
        """Write the `.creds` file atomically, mode 0600."""
        write_private(path, self.text())

    def text(self) -> bytes:
        """The contents of the `.creds` file."""
        jwt_block = f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n"
        seed_block = f"-----BEGIN USER NKEY SEED-----\n{self.seed.decode()}\n------END USER NKEY SEED------\n"
        return (jwt_block + ("\n" + seed_block if self.seed else "")).encode()

    def __repr__(self) -> str:
        return f"Credentials({self.public})"


def inbox(public: str) -> str:
    """The inbox prefix of the user `public`."""
    return f"_INBOX.{public}"


def load(path: Path) -> Credentials:
    """The credentials in a `.creds` file. OSError if it cannot be read, BadRequest if it holds none."""
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, where: str) -> Credentials:
    """The credentials in the contents of a `.creds` file. BadRequest, naming `where` it was, if it holds none."""
    blocks = {kind.decode(): value for kind, value in _BLOCK.findall(data)}
    if "NATS USER JWT" not in blocks:
        raise BadRequest(f"{where} holds no NATS credentials: it is damaged, or another file")
    return Credentials(blocks["NATS USER JWT"].decode(), blocks.get("USER NKEY SEED", b""))
