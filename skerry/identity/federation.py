"""The authority of one federation: its keys, and every NATS account and user that they vouch for.

Isolation is by account: `SYS`, `HOST` for all services, one account per member and one per join token. HOST exports
`up.*.>` and `down.*.>`, each `token_req`; a member's account imports only its own slice of both, with activation tokens for
that slice. Replies of a publish are never permission-checked, and limits of connections are an account's: so nobody shares
one, tricks with reply subjects stay inside the account of whoever plays them, and who fills one fills nobody else's
(docs/adr/0025). `JOIN`, which bearers and renewals once shared, is for agents that have not renewed since, and for nobody new.

Keys: the operator's root seed signs the operator JWT at bootstrap and is kept apart (`root/`), never loaded again.
Everything else is signed by *signing* keys, which can be replaced one by one.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import msgspec

from skerry import inspected, subjects
from skerry.errors import StatusError
from skerry.identity import jwt, nkey, permissions, users
from skerry.identity.creds import Credentials
from skerry.identity.files import write_private
from skerry.identity.jwt import AccountLimits, Export, Import, Permissions, Subjects
from skerry.identity.keyfiles import NAMES, KeyFiles, Public, believed, kind_of, make_secrets_key, operator_jwt
from skerry.identity.nkey import KeyPair, KeyType
from skerry.identity.trust import make_statement

SERVICE_TTL_S = 24 * 3600
AGENT_TTL_S = 30 * 24 * 3600
MEMBER_CONNECTIONS = 16
"""Replicas x classes x generations; half-open ghosts count too."""
MEMBER_SUBSCRIPTIONS = 32
"""Per connection: an agent needs four."""
JOIN_CONNECTIONS = 4096
BEARER_SUBSCRIPTIONS = 4
BEARER_PAYLOAD = 64 * 1024
"""Of who joins or renews: a request is a kilobyte."""
BEARER_CONNECTIONS, MOST_BEARERS = 2, 32
"""Of a token's account: for a token that works once, and at most."""
REPLY_THRESHOLD_NS = 5_000_000_000
"""Reply entries are server memory that a member can fill; unanswered ones go after this time."""

_CLAIMS = ("$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST")
_SERVER = (
    "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.*", "$SYS.REQ.SERVER.*.RELOAD", "$SYS.REQ.ACCOUNT.*.*",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
)  # fmt: skip


class MemberAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one member: `public` is its identity, `seed` its signing key's, `jwt` is what servers get."""

    name: str
    public: str
    seed: bytes
    jwt: str

    def __repr__(self) -> str:
        return f"MemberAccount({self.name}, {self.public})"


class Authority:
    """All keys of a federation but the root. Made by `create` or `load`; one that was loaded signs with what lies in its
    directory at that moment, so that a key which is replaced is replaced in every process."""

    def __init__(
        self, public: Public, keys: dict[str, KeyPair], root: KeyPair | None = None, files: KeyFiles | None = None
    ) -> None:
        self._public, self._keys, self._root, self._files = public, keys, root, files
        self._stamp = None if files is None else files.stamp

    @staticmethod
    def create(name: str = "skerry", root: KeyPair | None = None) -> Authority:
        """A new federation, with a new root or with that. The seeds of the accounts themselves are thrown away: signing keys do
        their work."""
        root = root or nkey.create(KeyType.OPERATOR)
        keys = {key: nkey.create(kind_of(key)) for key in NAMES}
        sys, host, join = (nkey.create(KeyType.ACCOUNT).public for _ in range(3))
        text = operator_jwt(root, name, [keys["signing"].public], sys)
        public = Public(name=name, operator=root.public, operator_jwt=text, sys=sys, host=host, join=join)
        return Authority(public, keys, root)

    def save(self, directory: Path) -> None:
        """Write all keys (0600 in 0700) below `directory`, with that of what services seal, if it has none; the root seed, if it
        is there, in `root/`."""
        for name, key in self._keys.items():
            write_private(directory / f"{name}.nk", key.seed)
        if self._root is not None:
            write_private(directory / "root" / "operator.nk", self._root.seed)
        make_secrets_key(directory)
        KeyFiles(directory).save(self._public)

    @staticmethod
    def load(directory: Path) -> Authority:
        """The authority kept in `directory`, without its root. BadRequest naming what is missing, Conflict if it is too new."""
        files = KeyFiles(directory)
        return Authority(files.public(), files.keys(), files=files)

    def _look(self) -> None:
        """Take the files as they are. While one cannot be read, what was read before holds."""
        if self._files is None or self._files.stamp == self._stamp:
            return
        stamp = self._files.stamp
        with contextlib.suppress(StatusError, OSError, msgspec.DecodeError):
            self._public, self._keys = self._files.public(), self._files.keys()
            self._stamp = stamp

    @property
    def public(self) -> Public:
        """The public half."""
        self._look()
        return self._public

    def _key(self, name: str) -> KeyPair:
        """The key that signs."""
        self._look()
        return self._keys[name]

    def believed(self, name: str) -> tuple[str, ...]:
        """The public keys that are believed as the key of this name: one, or while it is replaced the old and the new one."""
        return believed(self.public, name, self._key(name).public)

    def trust_roots(self) -> tuple[str, ...]:
        """What is believed as the trust root."""
        return self.believed("assertion")

    def trust_statement(self) -> str:
        """For an agent that believes other roots: which it is to believe. Signed by the old one while that is believed, later by
        the new one, which means nothing to who was away so long."""
        roots, replacement = self.trust_roots(), self.public.replacements.get("assertion")
        if replacement is not None and not replacement.disbelieved:
            return replacement.statement
        return make_statement(roots, self.assertion_root.sign)

    @property
    def issuers(self) -> tuple[str, ...]:
        """The public keys of those that accounts are made with: another value, and accounts are to be made anew."""
        return tuple(self.active(name) for name in ("signing", "host"))

    def active(self, name: str) -> str:
        """The public key of the one that signs."""
        return self._key(name).public

    @property
    def assertion_root(self) -> KeyPair:
        """Signs the records of the proxies' keys; agents pin its public half at join."""
        return self._key("assertion")

    # Accounts that exist once.

    @property
    def sys_jwt(self) -> str:
        """Account SYS. Its signing key is scoped: whoever holds it can push account JWTs and ask servers, no more."""
        rights = Permissions(pub=Subjects(allow=_CLAIMS + _SERVER), sub=Subjects(allow=("_INBOX.{{subject()}}.>",)))
        template = {**users.fields(rights), "subs": -1, "data": -1, "payload": -1}
        scopes = [
            {"kind": "user_scope", "key": key, "role": "resolver", "template": template} for key in self.believed("sys")
        ]
        exports = [Export(name=s, subject=s, type="stream", token_req=True) for s in _PRESENCE]
        return self.account(self.public.sys, "SYS", signing=scopes, exports=exports)

    @property
    def host_jwt(self) -> str:
        """Account HOST: JetStream, the exports to members, tokens and JOIN, the presence events of SYS."""
        exports = [
            _service("members-up", "up.*.>"),
            Export(name="members-down", subject="down.*.>", type="stream", token_req=True),
            _service("join", subjects.JOINS),
            _service("renew", subjects.OLD_RENEWALS),
            *(_service(each, each, response_type="Stream") for each in inspected.ASKED),
            *(Export(name=each, subject=each, type="stream", token_req=True) for each in inspected.HEARD),
        ]
        imports = [self.imported("sys", self.public.sys, self.public.host, s, "stream") for s in _PRESENCE]
        limits = AccountLimits(mem_storage=-1, disk_storage=-1, streams=-1, consumer=-1)
        return self.account(
            self.public.host,
            "HOST",
            signing=[*self.believed("host")],
            exports=exports,
            imports=imports,
            limits=limits,
        )

    @property
    def join_jwt(self) -> str:
        """Account JOIN: bearers and renewal credentials that were made when all shared it; each may publish one subject."""
        imports = [
            self.imported("host", self.public.host, self.public.join, subject, "service")
            for subject in (subjects.JOINS, subjects.OLD_RENEWALS)
        ]
        limits = AccountLimits(
            conn=JOIN_CONNECTIONS,
            subs=BEARER_SUBSCRIPTIONS,
            payload=BEARER_PAYLOAD,
            imports=len(imports),
            exports=0,
            disallow_bearer=False,
        )
        return self.account(
            self.public.join, "JOIN", signing=[self._key("join").public], imports=imports, limits=limits
        )

    # Members.

    def member_account(
        self,
        name: str,
        *,
        known: MemberAccount | None = None,
        revoked: dict[str, int] | None = None,
        pending: bool = False,
        held: bool = False,
    ) -> MemberAccount:
        """The account of member `name`: a new one, or the JWT of a `known` one made anew. While it is `pending` it may ask
        whether it was approved, and nothing else, whatever its users may.

        `revoked`: user nkey -> seconds since the epoch; JWTs of that user issued up to then are refused and cut. While it is
        `held` servers take no connection of it, and cut those that there are.
        BadRequest if `name` is not a DNS label: a `*` would make the imports a wildcard over other members.
        """
        subjects.member(name)
        signing = nkey.create(KeyType.ACCOUNT) if known is None else nkey.from_seed(known.seed)
        public = nkey.create(KeyType.ACCOUNT).public if known is None else known.public
        whole = ((subjects.up(name), "service"), (subjects.down(name), "stream"), (subjects.renew(name), "service"))
        slices = ((subjects.approval(name), "service"),) if pending else whole
        imports = [self.imported("host", self.public.host, public, subject, kind) for subject, kind in slices]
        conn = 0 if held else MEMBER_CONNECTIONS
        limits = AccountLimits(conn=conn, subs=MEMBER_SUBSCRIPTIONS, imports=len(imports), exports=0, wildcards=False)
        if pending:
            limits = msgspec.structs.replace(limits, payload=BEARER_PAYLOAD)
        text = self.account(public, name, signing=[signing.public], imports=imports, limits=limits, revoked=revoked)
        return MemberAccount(name=name, public=public, seed=signing.seed, jwt=text)

    def member_user(self, account: MemberAccount, public: str, ttl_s: int = AGENT_TTL_S) -> str:
        """User JWT in the member's own account, for the agent's nkey `public`. BadRequest if that is not a user key."""
        allowed = permissions.member(account.name, users.user_key(public))
        return users.user(nkey.from_seed(account.seed), account.public, public, account.name, allowed, ttl_s)

    def tombstone(self, name: str, public: str) -> str:
        """The JWT that evicts the account `public`: no connections, no imports, every user revoked until now.

        Keep it pushed: with CLAIMS.DELETE a server that was down brings the account back.
        """
        limits = AccountLimits(conn=0, subs=0, imports=0, exports=0, wildcards=False)
        return self.account(public, name, limits=limits, revoked={"*": int(time.time())})

    def anew(self, account_jwt: str) -> str:
        """The JWT of an account as it is, signed by the key that signs now."""
        claims = jwt.decode(account_jwt)
        return jwt.encode(self._key("signing"), claims.sub, claims.name, claims.nats, expires=claims.exp)

    def deletion(self, publics: list[str]) -> str:
        """The request of `$SYS.REQ.CLAIMS.DELETE` for accounts that every server is known to hold a tombstone of."""
        nats = {"accounts": publics, "type": "generic", "version": jwt.VERSION}
        signing = self._key("signing")
        return jwt.encode(signing, signing.public, "delete", nats)

    # Join tokens.

    def token_account(self, jti: str) -> str:
        """Public key of the account of a join token. It follows from the token's id, so nothing of it is kept."""
        return self.derived("account", jti).public

    def join_account(self, jti: str, expires: int, uses: int = 1) -> str:
        """The JWT of a join token's account: it may ask on `join.<jti>`, and ends by itself at `expires`, Unix seconds."""
        public = self.token_account(jti)
        imports = [self.imported("host", self.public.host, public, subjects.join(jti), "service")]
        limits = AccountLimits(
            conn=min(BEARER_CONNECTIONS - 1 + uses, MOST_BEARERS),
            subs=BEARER_SUBSCRIPTIONS,
            payload=BEARER_PAYLOAD,
            imports=len(imports),
            exports=0,
            wildcards=False,
            disallow_bearer=False,
        )
        signing = [self.derived("signing", jti).public]
        return self.account(public, f"join {jti}", signing=signing, imports=imports, limits=limits, expires=expires)

    def token_tombstone(self, jti: str) -> str:
        """The JWT that ends a join token's account, and cuts who uses it."""
        return self.tombstone(f"join {jti}", self.token_account(jti))

    def derived(self, purpose: str, token: str) -> KeyPair:
        """The key of an account that follows from an id, which is a token of a subject: nothing of it is kept. BadRequest."""
        return nkey.derived(self._key("join"), f"{purpose} {subjects.token(token)}", KeyType.ACCOUNT)

    # Users.

    def join_bearer(self, jti: str, ttl_s: int) -> str:
        """Bearer JWT in a token's account: may publish `join.<jti>`, and hear the answer."""
        public = nkey.create(KeyType.USER).public
        allowed = permissions.single(subjects.join(jti), public)
        account = self.token_account(jti)
        return users.user(self.derived("signing", jti), account, public, f"join {jti}", allowed, ttl_s, bearer=True)

    def renewal_user(self, account: MemberAccount, public: str) -> str:
        """User JWT in the member's own account for an agent's nkey: may ask for a new user JWT only; it does not end itself,
        the account's tombstone ends it."""
        allowed = permissions.renewal(account.name, users.user_key(public))
        return users.user(nkey.from_seed(account.seed), account.public, public, f"renew {account.name}", allowed, 0)

    def pending_user(self, account: MemberAccount, public: str) -> str:
        """The same, which may ask whether the member was approved only."""
        allowed = permissions.pending(account.name, users.user_key(public))
        return users.user(nkey.from_seed(account.seed), account.public, public, f"pending {account.name}", allowed, 0)

    def service_user(self, service: str, public: str, ttl_s: int = SERVICE_TTL_S) -> str:
        """User JWT of a service in HOST, with the permissions of `permissions.service`."""
        allowed = permissions.service(service, users.user_key(public))
        return users.user(self._key("host"), self.public.host, public, service, allowed, ttl_s)

    def service_credentials(self, service: str, ttl_s: int = SERVICE_TTL_S) -> Credentials:
        """Credentials of a service with a new key."""
        key = nkey.create(KeyType.USER)
        return Credentials(self.service_user(service, key.public, ttl_s), key.seed)

    def archivist_credentials(self, *, restoring: bool, ttl_s: int = 3600) -> Credentials:
        """Credentials of one backup or one restore, for the command that runs on the host's machine."""
        key = nkey.create(KeyType.USER)
        allowed = permissions.archivist(key.public, restoring=restoring)
        name = "restore" if restoring else "backup"
        return Credentials(users.user(self._key("host"), self.public.host, key.public, name, allowed, ttl_s), key.seed)

    @property
    def own_accounts(self) -> frozenset[str]:
        """The host's accounts: all others are members'."""
        return frozenset((self.public.sys, self.public.host, self.public.join))

    def system_credentials(self, ttl_s: int = SERVICE_TTL_S) -> Credentials:
        """Credentials in SYS with a new key; the scope of the signing key gives the permissions."""
        key = nkey.create(KeyType.USER)
        user = {"issuer_account": self.public.sys, "type": "user", "version": jwt.VERSION}
        return Credentials(
            jwt.encode(self._key("sys"), key.public, "resolver", user, expires=users.expiry(ttl_s)), key.seed
        )

    def account(
        self,
        public: str,
        name: str,
        *,
        signing: list[Any] | None = None,
        exports: list[Export] | None = None,
        imports: list[Import] | None = None,
        limits: AccountLimits | None = None,
        revoked: dict[str, int] | None = None,
        expires: int = 0,
    ) -> str:
        """The JWT of the account `public`; `revoked` as of a member, `expires` in Unix seconds, 0 for never."""
        nats: dict[str, Any] = {"limits": limits or AccountLimits(), "type": "account", "version": jwt.VERSION}
        parts = {"signing_keys": signing, "exports": exports, "imports": imports, "revocations": revoked}
        nats.update({key: value for key, value in parts.items() if value})
        return jwt.encode(self._key("signing"), public, name, nats, expires=expires)

    def imported(self, issuer: str, account: str, importer: str, subject: str, kind: str) -> Import:
        """What the account `importer` takes from `account`, with a token signed by the key `issuer` of that."""
        nats = {
            "subject": subject,
            "kind": kind,
            "issuer_account": account,
            "type": "activation",
            "version": jwt.VERSION,
        }
        token = jwt.encode(self._key(issuer), importer, subject, nats)
        return Import(name=subject, subject=subject, account=account, token=token, type=kind)


_PRESENCE = (subjects.CONNECTS, subjects.DISCONNECTS)


def _service(name: str, subject: str, response_type: str = "Singleton") -> Export:
    return Export(
        name=name,
        subject=subject,
        type="service",
        token_req=True,
        response_type=response_type,
        response_threshold=REPLY_THRESHOLD_NS,
    )


__all__ = ["AGENT_TTL_S", "SERVICE_TTL_S", "Authority", "MemberAccount", "Public"]
