"""Whatever happens to people, credentials, grants and workspaces: a delegation never allows what its user could not do now."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.authn import Authenticator, CachedCredential
from services.proxy.members.directory import Directory
from skerry.access import Allowed, MemberRequest, decide
from skerry.api.identities import revocation_name
from skerry.api.kinds import BUILT_IN, CREDENTIAL, KINDS, REVOCATION
from skerry.api.messages import Caller
from skerry.api.times import rfc3339
from skerry.bus import Entry, Filled
from skerry.errors import Unauthorized
from skerry.informer import Informer
from skerry.storage.documents import seal
from skerry.subjects import key
from tests.access.grants import access, grant, workspace

NOW = 1_000_000.0
USERS, PLAIN, MEMBERS = ("alice", "bob"), ("org:shop", "org:ops"), ("m1", "m2", "m3")
user, groups = st.sampled_from(USERS), st.lists(st.sampled_from((*PLAIN, *BUILT_IN)), unique=True, max_size=3)
when = st.sampled_from((NOW - 900.0, NOW - 600.0, NOW - 300.0, NOW - 1.0, NOW + 300.0))


class Own(NamedTuple):
    """A credential of a person's own; `gone`: it was deleted."""

    user: str
    groups: list[str]
    issued: float
    expires: float
    gone: bool


class Delegated(NamedTuple):
    user: str
    groups: list[str]
    changed: float
    made: float
    clusters: list[str]


own = st.builds(Own, user, groups, when, when, st.booleans())
delegations = st.builds(
    Delegated, user, groups, when.filter(lambda at: at < NOW), when.filter(lambda at: at < NOW),
    st.lists(st.sampled_from(MEMBERS), unique=True, min_size=1),
)  # fmt: skip
revocations = st.dictionaries(user, st.none() | when.filter(lambda at: at < NOW))
grants = st.lists(
    st.tuples(
        user | st.sampled_from(PLAIN), st.sampled_from(MEMBERS), st.sampled_from(("view", "edit", "admin")), when
    ),
    max_size=4,
)


class Host:
    """What a front door knows."""

    def __init__(self) -> None:
        self.informer = Informer(KINDS)
        self.informer.take(Filled(0))
        self.directory = Directory(self.informer, lambda: None)
        self.authenticator = Authenticator(
            self.directory.credential,
            lambda: NOW,
            revoked=self.directory.revoked,
            own=self.directory.own,
        )

    def store(self, kind: Any, name: str, issued: float, *, deleted: bool = False, **document: Any) -> None:
        metadata = {"name": name, "uid": name, "creationTimestamp": rfc3339(issued)}
        value = seal({"metadata": metadata, **document}, writes=(), deleted=deleted)
        self.informer.take(Entry(key(kind.group, kind.kind, "", name), value, self.informer.revision + 1, 0.0))

    def credential(self, name: str, each: Own, *, deleted: bool = False) -> None:
        spec = {"user": each.user, "groups": each.groups}
        status = {"expires": rfc3339(each.expires)}
        self.store(CREDENTIAL, name, each.issued, deleted=deleted, spec=spec, status=status)

    def known(self, name: str) -> CachedCredential | None:
        try:
            return self.authenticator.known(name)
        except Unauthorized:
            return None


def subject(name: str) -> dict[str, str]:
    return {"kind": "User" if name in USERS else "Group", "name": name}


@settings(max_examples=300, deadline=None)
@given(st.lists(own, max_size=5), delegations, revocations, grants, st.data())
def test_a_delegation_never_allows_what_its_user_could_not_do_now(
    people: list[Own], asked: Delegated, taken: dict[str, float | None], given_: list[Any], data: st.DataObject
) -> None:
    host = Host()
    of = {"kind": "AppRelease", "namespace": "shop", "name": "web", "uid": "u"}
    scope = {"of": of, "at": rfc3339(asked.changed), "clusters": asked.clusters}
    spec = {"user": asked.user, "groups": asked.groups, "delegation": scope}

    def delegate() -> None:
        host.store(CREDENTIAL, "d", asked.made, spec=spec, status={"expires": rfc3339(NOW + 600.0)})

    steps = [lambda number=number, each=each: host.credential(f"c{number}", each) for number, each in enumerate(people)]
    for step in data.draw(st.permutations([*steps, delegate])):
        step()
    for number, each in enumerate(people):
        if each.gone:
            host.credential(f"c{number}", each, deleted=True)
    for name, before in taken.items():
        wanted = {"disabled": True} if before is None else {"before": rfc3339(before)}
        host.store(REVOCATION, revocation_name(name), NOW, spec={"user": name, **wanted})
    compiled = access(
        *(
            grant(f"g{number}", subjects=[subject(who)], clusters={"names": [member]}, role=role, expires=rfc3339(ends))
            for number, (who, member, role, ends) in enumerate(given_)
        )
    )
    compiled.workspace("team", workspace())

    token = host.known("d")
    if token is None:
        return
    assert token.delegation is not None
    assert asked.user not in taken or (taken[asked.user] or NOW) < asked.changed
    now_held = {
        group
        for number, each in enumerate(people)
        for group in each.groups
        if each.user == asked.user and not each.gone and each.expires > NOW and group in BUILT_IN
        if asked.user not in taken or (taken[asked.user] or NOW + 600.0) < each.issued
    }
    plain = [group for group in asked.groups if group in PLAIN]
    person = Caller(user=asked.user, groups=(*plain, *sorted(now_held)))
    for member in MEMBERS:
        if member not in token.delegation.clusters:
            continue
        for request in (MemberRequest(member, "list", "pods", namespace="shop"), MemberRequest(member, "get", "nodes")):
            by_token, by_person = (decide(who, request, compiled, NOW) for who in (token.caller, person))
            if isinstance(by_token, Allowed):
                assert isinstance(by_person, Allowed)
                assert set(by_token.groups) <= set(by_person.groups)
                assert by_token.user == by_person.user


def test_a_credential_that_was_taken_back_founds_nothing_that_came_after() -> None:
    host = Host()
    host.credential("c", Own("alice", ["skerry:edit"], NOW - 900.0, NOW + 300.0, gone=False))
    scope = {"of": {"kind": "K", "name": "n", "uid": "u"}, "at": rfc3339(NOW - 300.0), "clusters": ["m1"]}
    spec = {"user": "alice", "groups": ["skerry:edit"], "delegation": scope}
    host.store(CREDENTIAL, "d", NOW - 1.0, spec=spec, status={"expires": rfc3339(NOW + 600.0)})
    assert host.known("d") is not None
    host.store(REVOCATION, revocation_name("alice"), NOW, spec={"user": "alice", "before": rfc3339(NOW - 600.0)})
    assert host.known("d") is None
    host.credential("new", Own("alice", ["skerry:edit"], NOW - 300.0, NOW + 300.0, gone=False))
    assert host.known("d") is not None


def test_it_is_what_it_says_and_an_unreadable_one_is_none() -> None:
    host = Host()
    host.store(CREDENTIAL, "odd", NOW, spec={"user": "alice", "delegation": {"at": "then", "clusters": []}}, status={})
    assert host.known("odd") is None
