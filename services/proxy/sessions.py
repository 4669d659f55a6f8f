"""Live requests of this process: counted against limits, and cut when what allowed them ends.

Every request is entered here before it is opened and leaves when it ends. A revoked or expired credential, a removed
member and a shutdown cut sessions through the one callable that the carrier of the request sets: level-triggered from
the cache, so that a lost message cannot leave a stream alive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from skerry.access import Touched, keys_of
from skerry.api.messages import Caller
from skerry.errors import Forbidden, ServiceUnavailable, StatusError, TooManyRequests, Unauthorized

CutSession = Callable[[StatusError], None]


class SessionLimits(Protocol):
    """The numbers that are enforced here: see services/proxy/settings.py."""

    @property
    def streams(self) -> int: ...
    @property
    def streams_per_user(self) -> int: ...
    @property
    def streams_per_member(self) -> int: ...
    @property
    def opens_per_second(self) -> int: ...


class Rests(NamedTuple):
    """What a live request rests on."""

    caller: Caller
    again: Callable[[], StatusError | float]
    """Decide again: why it is to be cut, or until when it holds, as below."""
    until: float
    """Unix seconds: then it is decided again, whatever changed."""


class Session:
    """One live request. `cut` ends it at once; the carrier sets it, and `was_cut` tells it why it ended."""

    __slots__ = ("credential", "cut", "endless", "expires", "member", "rests", "uid", "user", "was_cut")

    def __init__(self, user: str, credential: object, expires: float, member: str, uid: str) -> None:
        self.user = user
        self.credential = credential
        """What allowed it: `review` asks whether it holds."""
        self.expires = expires
        self.member = member
        self.uid = uid
        self.endless = False
        """A watch: it never ends by itself, so a grace would only delay its resumption elsewhere."""
        self.rests: Rests | None = None
        """Set once it was decided; a request that ends at once may go without."""
        self.was_cut: StatusError | None = None
        self.cut: CutSession | None = None

    def end(self, error: StatusError) -> None:
        """Cut this session because of `error`; the first reason stays."""
        if self.was_cut is None:
            self.was_cut = error
            if self.cut is not None:
                self.cut(error)


class Sessions:
    """The table of live requests. `now` is Unix time in seconds."""

    def __init__(self, limits: SessionLimits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._live: set[Session] = set()
        self._of_user: Counter[str] = Counter()
        self._of_member: Counter[str] = Counter()
        self._second = 0
        self._opens: Counter[str] = Counter()
        self.draining = False

    def __len__(self) -> int:
        return len(self._live)

    def enter(self, user: str, credential: object, expires: float, member: str = "", uid: str = "") -> Session:
        """A new session; `member` is empty for the host API, `uid` is that of its Cluster object.

        TooManyRequests names the limit that is reached.
        """
        if self.draining:
            raise ServiceUnavailable("this host is shutting down; repeat the request", retry_after_s=1)
        self._check(user, member)
        session = Session(user, credential, expires, member, uid)
        self._live.add(session)
        self._of_user[user] += 1
        self._of_member[member] += 1
        return session

    def leave(self, session: Session) -> None:
        """The session has ended. Idempotent."""
        if session in self._live:
            self._live.discard(session)
            _less(self._of_user, session.user)
            _less(self._of_member, session.member)

    def _check(self, user: str, member: str) -> None:
        limits = self._limits
        if len(self._live) >= limits.streams:
            raise TooManyRequests(f"this host carries {limits.streams} requests already, its limit; repeat it later")
        if self._of_user[user] >= limits.streams_per_user:
            raise TooManyRequests(
                f"user {user!r} has {limits.streams_per_user} requests open already, the limit of one user; close some"
            )
        if member and self._of_member[member] >= limits.streams_per_member:
            raise TooManyRequests(
                f"cluster {member!r} has {limits.streams_per_member} requests open already, the limit of one cluster"
            )
        self._count_open(user)

    def _count_open(self, user: str) -> None:
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._opens.clear()
        self._opens[user] += 1
        if self._opens[user] > self._limits.opens_per_second:
            raise TooManyRequests(
                f"user {user!r} opened more than {self._limits.opens_per_second} requests in one second, the limit; "
                "repeat it in a second",
                retry_after_s=1,
            )

    def review(self, credentials: Callable[[Any], bool], members: Callable[[str], str]) -> list[Session]:
        """Cut what is no longer allowed: expired, revoked (`credentials`), or of a removed member.

        `members` gives the uid of a member's Cluster object, so that a removed member that joined again is not taken
        for the same. Returns those that were cut.
        """
        now = self._now()
        return [session for session in tuple(self._live) if self._review(session, now, credentials, members)]

    def _review(
        self, session: Session, now: float, credentials: Callable[[Any], bool], members: Callable[[str], str]
    ) -> bool:
        if session.was_cut is not None:
            return False
        error = self._why_cut(session, now, credentials, members)
        if error is None:
            return False
        session.end(error)
        return True

    @staticmethod
    def _why_cut(
        session: Session, now: float, credentials: Callable[[Any], bool], members: Callable[[str], str]
    ) -> StatusError | None:
        if session.expires <= now:
            return Unauthorized("the credential expired while the request ran; ask for a new one")
        if not credentials(session.credential):
            return Unauthorized("the credential was revoked while the request ran")
        if session.member and members(session.member) != session.uid:
            return Forbidden(f"cluster {session.member!r} was removed from the host while the request ran")
        if session.rests is not None and session.rests.until <= now:
            return _decided_again(session, session.rests)
        return None

    def reconsider(self, touched: Touched) -> int:
        """Decide again what may rest on what changed, and cut what is not allowed any more. Returns how many were cut."""
        return sum(self._reconsider(session, touched) for session in tuple(self._live))

    @staticmethod
    def _reconsider(session: Session, touched: Touched) -> bool:
        rests = session.rests
        if rests is None or session.was_cut is not None:
            return False
        if session.member not in touched.clusters and touched.subjects.isdisjoint(keys_of(rests.caller)):
            return False
        error = _decided_again(session, rests)
        if error is None:
            return False
        session.end(error)
        return True

    def drain(self) -> None:
        """From now on nothing enters; watches are cut at once, so that their clients resume elsewhere."""
        self.draining = True
        error = ServiceUnavailable("this host is shutting down; resume the watch")
        for session in [session for session in self._live if session.endless]:
            session.end(error)


def _decided_again(session: Session, rests: Rests) -> StatusError | None:
    """Why a session is to be cut; where it is not, it holds from now on as long as what it rests on now: a grant that still allows
    it may end sooner than it did, or later."""
    decision = rests.again()
    if isinstance(decision, StatusError):
        return decision
    session.rests = rests._replace(until=decision)
    return None


def _less(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
