"""The agent's state: one member's identity, kept across restarts (storage.py says where).

    seed          the agent's own nkey, written before the join is asked, so that a lost answer can be asked for again
    agent.json    whom it joined, where the bus is, what it pinned; written last: without it nothing has been joined
    rekey         empty: its own people want it to have another key
    seed.next     the key that is to take the place of `seed`, while that is not done
    user.creds    user in the member's account        renewal.creds    user there too, may only ask for a new user JWT
    ceiling.json  what the member's administrator last said that the host may do at most; outlives a membership

State without an identity is worth nothing: a directory is left empty, but for a ceiling. A Secret is shared by all replicas: who
was slower goes on with what the faster one made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from services.agent.storage import MEMBERSHIP, SEED, Outrun, StateError, Storage
from skerry.api.meta import Document
from skerry.api.v1alpha1 import Ceiling
from skerry.errors import BadRequest
from skerry.identity import creds, nkey
from skerry.identity.creds import Credentials
from skerry.identity.rekeying import WISH
from skerry.member import checks
from skerry.member.upstream import Upstream

log = logging.getLogger("skerry.agent")

FORMAT = 1
"""Version of the files. Older code refuses newer state, naming both; newer code migrates older state, after a copy."""
MIGRATIONS: Mapping[int, Callable[[Document], Document]] = {0: lambda document: {**document, "format": 1}}
"""From format N to N+1, by N. Builds before 0.1.0 wrote no number."""
USER, RENEWAL, NEXT, CEILING = "user.creds", "renewal.creds", "seed.next", "ceiling.json"
ATTEMPTS = 10
"""Of a change, while others change the same state."""

T = TypeVar("T")


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """The membership of a joined agent, which it keeps besides its credentials."""

    format: int = FORMAT
    member: str
    host: str
    """Name of the host, for people."""
    host_uid: str
    servers: list[str]
    ca: str
    """PEM of the bus's authority."""
    assertion_root: str
    """Public nkey, pinned at join."""
    assertion_roots: list[str] = []
    """All that are believed since the host said so; empty: that one."""
    cluster_uid: str
    """kube-system UID at the time of joining: another cluster behind the same kubeconfig is noticed."""
    jti: str = ""
    """Of the token that it joined with: that token is not tried again."""
    pending: bool = False
    """It waits for approval: its credentials may ask for that, and nothing is there of it yet."""
    removed: str = ""
    """Why the host said that this membership is over; empty while it is not."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The trust roots that are believed."""
        return tuple(self.assertion_roots) or (self.assertion_root,)


class NewerState(StateError):
    """A newer version wrote it."""


class AnotherMembership(StateError):
    """What is kept is of another membership than this process serves."""


class _Format(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 0


class _Ceiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ceiling.json. What it does not know it must not drop in silence: it may be a limit."""

    format: int = FORMAT
    read_only: bool
    no_exec: bool
    namespaces: list[str]
    desired: Literal["All", "Access", "None"]


class AgentStore:
    """The state of one agent. Nothing is made before there is something to keep."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self._storage.place

    @property
    def is_shared(self) -> bool:
        """Whether other replicas may have the same identity."""
        return self._storage.is_shared

    @property
    def _anew(self) -> str:
        return f"{self._storage.remedy} and join again with a new token"

    async def open(self, upstream: Upstream) -> None:
        """Read it, and bring it to this version's format. A Secret that was copied from another cluster, by a backup for example, is
        not this one's: StateError, which says so. StatusError."""
        await self._storage.reload()
        await self._update(self._migrated)
        membership = self.membership() if self._storage.is_shared else None
        if membership is None or membership.removed:
            return
        uid = await checks.identity_of(upstream, "")
        if uid != membership.cluster_uid:
            raise StateError(
                f"{self.place} is of cluster {membership.member!r} with kube-system UID {membership.cluster_uid}, and this "
                f"cluster's is {uid}: it was copied here; {self._anew}"
            )

    def _migrated(self) -> Mapping[str, bytes]:
        """The membership in this version's format, and a copy of it as it was; nothing if it is of this one, or cannot be read."""
        data = self._storage.read(MEMBERSHIP)
        try:
            version, forwarded = _forwarded(data or b"")
        except msgspec.DecodeError:
            return {}
        if version >= FORMAT:
            return {}
        copy = f"{MEMBERSHIP}.format-{version}"
        log.warning(
            "the agent's state is migrated", extra={"from": version, "to": FORMAT, "copy": self._storage.path(copy)}
        )
        return {copy: data or b"", MEMBERSHIP: forwarded}

    async def _update(self, change: Callable[[], Mapping[str, bytes | None]]) -> None:
        """Keep what `change` gives; it is asked anew when another pod was faster, and gives nothing if all is well by then."""
        for _ in range(ATTEMPTS):
            changes = change()
            if not changes:
                return
            try:
                await self._storage.write(changes)
            except Outrun as e:
                log.info("another pod was faster", extra={"reason": str(e)})
            else:
                return
        raise StateError(f"{self.place} is changed all the time: look who else writes there")

    async def refresh(self) -> bool:
        """Look whether somebody else changed what is kept. True: another replica did, and what is read now is its word.

        What was emptied or damaged is written back from memory. StateError: the state is another membership's now, or newer
        than this version reads. StatusError.
        """
        if not self._storage.is_shared:
            return False
        ours, joined = self._storage.files(), self.membership()
        if not await self._storage.reload():
            return False
        try:
            now = self.membership()
            if now is not None and self.has_key:
                self.key()
                self.user()
                self.renewal()
                if joined is not None and _identity(now) != _identity(joined):
                    raise AnotherMembership(
                        f"{self.place} is of another membership now: this agent starts anew with it"
                    )
                return True
        except (NewerState, AnotherMembership):
            raise
        except (BadRequest, StateError) as e:
            log.warning("the agent's state is damaged", extra={"reason": str(e)})
        if joined is None:
            return True
        log.warning("the agent's state was emptied or damaged, and is written back", extra={"place": self.place})
        await self._storage.write(ours)
        return False

    # Membership

    def membership(self) -> Membership | None:
        """The membership, or None. Raises StateError for a newer format or a damaged file."""
        return self._decoded(MEMBERSHIP, Membership, self._anew)

    async def joined(self, membership: Membership, user: Credentials, renewal: Credentials) -> None:
        """Keep a membership: credentials first, agent.json last."""
        files = {
            SEED: user.seed + b"\n", USER: user.text(), RENEWAL: renewal.text(), MEMBERSHIP: _encoded(membership),
        }  # fmt: skip
        await self._update(lambda: files)

    async def believe(self, roots: tuple[str, ...]) -> None:
        """Keep other trust roots with the membership. StateError, StatusError, OSError."""

        def change() -> Mapping[str, bytes]:
            membership = self.membership()
            if membership is None:
                raise StateError(f"{self.place} holds no membership any more")
            after = msgspec.structs.replace(membership, assertion_root=roots[0], assertion_roots=list(roots))
            return {MEMBERSHIP: _encoded(after)}

        await self._update(change)

    async def removed(self, membership: Membership, why: str) -> None:
        """Remember that the host ended the membership: a restart says so at once, a new token may replace it."""

        def change() -> Mapping[str, bytes]:
            now = self.membership() or membership
            is_another = _identity(now) != _identity(membership)
            return {} if is_another else {MEMBERSHIP: _encoded(msgspec.structs.replace(now, removed=why))}

        await self._update(change)

    async def forget(self) -> None:
        """Drop key, credentials and membership, not the ceiling: before a join with a new token, or after a refused one."""
        copies = (f"{MEMBERSHIP}.format-{version}" for version in MIGRATIONS)
        names = (MEMBERSHIP, USER, RENEWAL, WISH, NEXT, SEED, *copies)
        await self._update(lambda: dict.fromkeys(names))

    # Key and credentials

    def user(self) -> Credentials:
        """In the member's account. BadRequest if there are none that can be read."""
        return self._credentials(USER)

    def renewal(self) -> Credentials:
        """For asking a new user JWT. BadRequest."""
        return self._credentials(RENEWAL)

    async def renewed(self, user: Credentials, renewal: Credentials | None) -> None:
        """Keep other credentials of the same key. Of a key that another replica replaced meanwhile they are worth nothing."""

        def change() -> Mapping[str, bytes]:
            if self.key().public != user.public:
                return {}
            return {USER: user.text(), **({RENEWAL: renewal.text()} if renewal else {})}

        await self._update(change)

    @property
    def has_key(self) -> bool:
        """Whether there is a key, of a membership or of a join that was not answered."""
        return self._storage.read(SEED) is not None

    def key(self) -> nkey.KeyPair:
        """The agent's own key. StateError if there is none, or it is damaged."""
        seed = self._storage.read(SEED)
        if seed is None:
            raise StateError(f"{self._storage.path(SEED)} is missing: {self._anew}")
        try:
            return nkey.from_seed(seed.strip())
        except BadRequest as e:
            raise StateError(f"{self._storage.path(SEED)} is damaged: {self._anew}") from e

    async def own_key(self) -> nkey.KeyPair:
        """The agent's own key; made and stored if there is none."""
        pair = nkey.create(nkey.KeyType.USER)
        await self._update(lambda: {} if self.has_key else {SEED: pair.seed + b"\n"})
        return self.key()

    @property
    def wants_rekey(self) -> bool:
        """Whether its own people want another key, or one was not finished. What cannot be looked at is not wanted."""
        try:
            return any(self._storage.read(name) is not None for name in (WISH, NEXT))
        except StateError:
            return False

    async def next_key(self) -> nkey.KeyPair:
        """The key that is to take the place of the agent's own; made and stored if there is none."""
        pair = nkey.create(nkey.KeyType.USER)

        def change() -> Mapping[str, bytes | None]:
            wish: dict[str, bytes | None] = {} if self._storage.read(WISH) is None else {WISH: None}
            return wish if self._next() is not None else {NEXT: pair.seed + b"\n", **wish}

        await self._update(change)
        return self._next() or pair

    def _next(self) -> nkey.KeyPair | None:
        try:
            return nkey.from_seed((self._storage.read(NEXT) or b"").strip())
        except BadRequest:
            return None

    async def rekeyed(self, user: Credentials, renewal: Credentials) -> None:
        """Keep the credentials of the next key, which is the agent's own from then on: those for renewal first, because who
        finds the others there needs no more."""

        def change() -> Mapping[str, bytes | None]:
            new = self._next()
            if new is None or new.public != user.public:
                return {}
            return {RENEWAL: renewal.text(), USER: user.text(), SEED: new.seed + b"\n", NEXT: None}

        await self._update(change)

    async def finish_rekey(self) -> None:
        """Have the next key be the agent's own where its credentials are there: also what somebody who died left so. OSError."""

        def change() -> Mapping[str, bytes | None]:
            new = self._next()
            try:
                stored = self.user().public
            except BadRequest:
                return {}
            return {SEED: new.seed + b"\n", NEXT: None} if new is not None and stored == new.public else {}

        await self._update(change)

    # Ceiling

    def ceiling(self) -> Ceiling | None:
        """The ceiling that was said last, or None. StateError if it cannot be read: an agent must not guess that it is open."""
        remedy = (
            "what this agent may let through is not known: say the whole ceiling anew (--read-only, --no-exec, "
            "--namespaces, --ceiling-desired), or --ceiling-off"
        )
        stored = self._decoded(CEILING, _Ceiling, remedy)
        if stored is None:
            return None
        return Ceiling(
            read_only=stored.read_only, no_exec=stored.no_exec, namespaces=stored.namespaces, desired=stored.desired
        )

    async def keep_ceiling(self, ceiling: Ceiling) -> None:
        """Keep what holds, for starts that say nothing of it. Also that nothing is forbidden: it was said once."""
        data = _encoded(msgspec.convert(msgspec.structs.asdict(ceiling), _Ceiling))
        await self._update(lambda: {} if self._storage.read(CEILING) == data else {CEILING: data})

    # Files

    def _credentials(self, name: str) -> Credentials:
        try:
            return creds.parse(self._storage.read(name) or b"", self._storage.path(name))
        except StateError as e:
            raise BadRequest(str(e)) from e

    def _decoded(self, name: str, kind: type[T], remedy: str) -> T | None:
        """A file of ours, None if there is none. StateError: it cannot be read, is of another format, or damaged."""
        path = self._storage.path(name)
        try:
            data = self._storage.read(name)
            if data is None:
                return None
            version, data = _forwarded(data)
            if version > FORMAT:
                raise NewerState(
                    f"{path} has format {version}; this version of skerry reads format {FORMAT}: use a newer skerry"
                )
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as e:
            raise StateError(f"{path} is damaged ({e}): {remedy}") from e


def _forwarded(data: bytes) -> tuple[int, bytes]:
    """The format of a file, and the file in this version's; a newer one as it is. DecodeError for what is none."""
    version = written = msgspec.json.decode(data, type=_Format).format
    if version >= FORMAT:
        return written, data
    document: Document = msgspec.json.decode(data)
    while version < FORMAT:
        if version not in MIGRATIONS:
            raise msgspec.DecodeError(f"nothing was ever of format {version}")
        document, version = MIGRATIONS[version](document), version + 1
    return written, msgspec.json.format(msgspec.json.encode(document))


def _encoded(document: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document))


def _identity(membership: Membership) -> tuple[str, str, str]:
    return membership.member, membership.host_uid, membership.jti
