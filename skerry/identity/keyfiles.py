"""The files of an authority: a seed for each of its keys, and `authority.json`, which says who is believed beside them.

A key is replaced in four steps, each one file that is exchanged whole, so that every process which reads them between two
steps, or after a cut at any of them, has keys that are believed (docs/adr/0026):

    begin      the new seed lies in `<name>.next.nk`, and authority.json says that old and new are believed
    use        the new seed becomes `<name>.nk`: whoever signs signs with it. Not before everybody was told of `begin`
    disbelieve authority.json says that the old one is not believed any more. Not before nothing is signed with it
    end        authority.json forgets the replacement. Not before everybody was told of `disbelieve`
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from skerry.errors import BadRequest, Conflict
from skerry.identity import jwt, nkey, trust
from skerry.identity.files import sync, write_private
from skerry.identity.nkey import KeyPair, KeyType

FORMAT = 1
SECRETS_KEY = "secrets.key"
"""File of the key of what services seal (skerry/storage/sealed.py)."""
SECRETS_KEY_BYTES = 32
ROOTS = "trust-roots"
"""The file of the trust roots that services of the host believe."""
NAMES = ("signing", "sys", "host", "join", "assertion")


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is being replaced. `old` and `new` are public keys."""

    began: float
    """Unix time."""
    old: str
    new: str
    disbelieved: bool = False
    """Whether the old one is not to be believed any more."""
    statement: str = ""
    """Of `assertion`: that both are to be believed, signed by the old one (skerry/identity/trust.py)."""
    operator_jwt: str = ""
    """Of `signing`: what the operator's JWT becomes when the old one is not believed any more; the root seed is not needed again."""


class Public(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of an authority, as `authority.json` keeps it."""

    format: int = FORMAT
    name: str
    operator: str
    operator_jwt: str
    sys: str
    host: str
    join: str
    replacements: dict[str, Replacement] = {}
    """By the name of the key."""


def kind_of(name: str) -> KeyType:
    """Of the key of this name."""
    return KeyType.OPERATOR if name == "signing" else KeyType.ACCOUNT


def operator_jwt(root: KeyPair, name: str, signing: list[str], system_account: str) -> str:
    """The operator's JWT, with the keys that sign accounts."""
    nats = {
        "signing_keys": signing,
        "system_account": system_account,
        "strict_signing_key_usage": True,
        "type": "operator",
        "version": jwt.VERSION,
    }
    return jwt.encode(root, root.public, name, nats)


def believed(public: Public, name: str, active: str) -> tuple[str, ...]:
    """The public keys that are believed as the key of this name: one, or while it is replaced the old and the new one. `active`
    is the one that signs."""
    replacement = public.replacements.get(name)
    if replacement is None:
        return (active,)
    return (replacement.new,) if replacement.disbelieved else (replacement.old, replacement.new)


def make_secrets_key(directory: Path) -> None:
    """Make the key of what services seal, where there is none: once in the life of a host."""
    path = directory / SECRETS_KEY
    if not path.exists():
        write_private(path, os.urandom(SECRETS_KEY_BYTES))


class KeyFiles:
    """The files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._watched = [directory / "authority.json", *(directory / f"{name}.nk" for name in NAMES)]

    @property
    def stamp(self) -> object:
        """Another one when a file is."""
        return tuple(_stamp(path) for path in self._watched)

    def made(self, name: str) -> float:
        """When the seed in use was made, Unix time."""
        return (self.directory / f"{name}.nk").stat().st_mtime

    def public(self) -> Public:
        """BadRequest: there is none; Conflict: a newer skerry wrote it."""
        public = msgspec.json.decode(_read(self._watched[0]), type=Public)
        if public.format > FORMAT:
            raise Conflict(
                f"the keys in {self.directory} have format {public.format}, this skerry reads up to {FORMAT}: upgrade it"
            )
        return public

    def keys(self) -> dict[str, KeyPair]:
        """The keys that sign. BadRequest naming what is missing."""
        return {name: nkey.from_seed(_read(self.directory / f"{name}.nk")) for name in NAMES}

    def save(self, public: Public) -> None:
        """Write authority.json, and beside it the trust roots that services are to believe; on disk when this returns."""
        write_private(self._watched[0], msgspec.json.format(msgspec.json.encode(public)))
        self._tell_roots(public)

    def tell_roots(self) -> None:
        """Have the file of trust roots as the keys are."""
        self._tell_roots(self.public())

    def _tell_roots(self, public: Public) -> None:
        roots = believed(public, "assertion", nkey.from_seed(_read(self.directory / "assertion.nk")).public)
        text = "".join(f"{root}\n" for root in roots).encode()
        path = self.directory / ROOTS
        if not path.exists() or path.read_bytes() != text:
            write_private(path, text)

    # Replacing

    def begin(self, name: str, root: Callable[[], KeyPair], now: float) -> None:
        """The first step; nothing if it was done. `root` gives the operator's root, and is asked for `signing` alone."""
        public = self.public()
        if name in public.replacements:
            self.tell_roots()
            return
        key, new = nkey.from_seed(_read(self.directory / f"{name}.nk")), nkey.create(kind_of(name))
        old = key.public
        replacement = Replacement(began=now, old=old, new=new.public)
        if name == "assertion":
            statement = trust.make_statement((old, new.public), key.sign)
            replacement = msgspec.structs.replace(replacement, statement=statement)
        if name == "signing":
            by = root()
            after = operator_jwt(by, public.name, [new.public], public.sys)
            replacement = msgspec.structs.replace(replacement, operator_jwt=after)
            both = operator_jwt(by, public.name, [old, new.public], public.sys)
            public = msgspec.structs.replace(public, operator_jwt=both)
        write_private(self._next(name), new.seed)
        self._put(public, name, replacement)

    def used(self, name: str) -> bool:
        """Whether the second step was done of the replacement that is open."""
        return not self._next(name).exists()

    def used_at(self, name: str) -> float:
        """When the second step was done last, Unix time."""
        return (self.directory / f"{name}.nk").stat().st_ctime

    def use(self, name: str) -> None:
        """The second step; nothing if it was done."""
        if not self.used(name):
            self._next(name).replace(self.directory / f"{name}.nk")
            sync(self.directory)

    def disbelieve(self, name: str) -> None:
        """The third step; nothing if it was done."""
        public = self.public()
        replacement = public.replacements[name]
        if not replacement.disbelieved:
            if replacement.operator_jwt:
                public = msgspec.structs.replace(public, operator_jwt=replacement.operator_jwt)
            replacement = msgspec.structs.replace(replacement, disbelieved=True)
        self._put(public, name, replacement)

    def end(self, name: str) -> None:
        """The last step; nothing if it was done."""
        public = self.public()
        left = {each: replacement for each, replacement in public.replacements.items() if each != name}
        self.save(msgspec.structs.replace(public, replacements=left))

    def _put(self, public: Public, name: str, replacement: Replacement) -> None:
        self.save(msgspec.structs.replace(public, replacements={**public.replacements, name: replacement}))

    def _next(self, name: str) -> Path:
        return self.directory / f"{name}.next.nk"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as e:
        raise BadRequest(f"{e.filename} is missing: these are not the keys of a host, or not all of them") from e


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - asked often
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
