"""The final head: strip first, set last, and never anybody without the prefix."""

from __future__ import annotations

import pytest

from skerry.api.messages import Claims
from skerry.errors import Forbidden
from skerry.httpwire.head import Headers
from skerry.member.impersonation import check, headers, identity


def claims(user: str = "skerry:alice", *groups: str, **extra: tuple[str, ...]) -> Claims:
    return Claims(member="m1", user=user, groups=groups, extra=extra, proxy="p", iat=0, exp=60)


def final(received: Headers) -> Headers:
    mine = identity(claims("skerry:alice", "skerry:view"))
    return headers(received, mine, b"Bearer agent", "11111111-2222")


@pytest.mark.parametrize(
    "user",
    ["alice", "system:admin", "", "skerry:", "skerry:a\r\nb", "skerry:a\x00", " skerry:a", "skerry:a ", "Skerry:a",
     "skerry:system:masters", "skerry:" + "a" * 300],
)  # fmt: skip
def test_a_user_without_the_prefix_is_never_impersonated(user: str) -> None:
    with pytest.raises(Forbidden):
        check(claims(user))


@pytest.mark.parametrize("group", ["system:masters", "system:nodes", "view", "skerry:system:masters", "skerry:a\n"])
def test_a_group_without_the_prefix_is_never_impersonated(group: str) -> None:
    with pytest.raises(Forbidden):
        check(claims("skerry:alice", "skerry:view", group))


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(Forbidden):
        check(claims("skerry:alice", *(f"skerry:g{n}" for n in range(65))))


def test_an_ordinary_identity_passes() -> None:
    check(claims("skerry:alice@example.com", "skerry:view", "skerry:team/a b"))


def test_exactly_one_user_every_group_and_the_one_extra() -> None:
    made = identity(claims("skerry:älice", "skerry:view", "skerry:edit", scopes=("all",)))
    assert made == [
        (b"impersonate-user", "skerry:älice".encode()),
        (b"impersonate-group", b"skerry:view"),
        (b"impersonate-group", b"skerry:edit"),
        (b"impersonate-extra-skerry.dev%2fuser", "älice".encode()),
    ]


HOSTILE = [
    (b"authorization", b"Bearer stolen"),
    (b"cookie", b"a=b"),
    (b"impersonate-user", b"system:admin"),
    (b"impersonate-group", b"system:masters"),
    (b"impersonate-uid", b"1"),
    (b"impersonate-extra-scopes", b"x"),
    (b"impersonate_user", b"system:admin"),
    (b"x-remote-user", b"system:admin"),
    (b"x_remote_group", b"system:masters"),
    (b"x-forwarded-host", b"evil"),
    (b"forwarded", b"for=1.1.1.1"),
    (b"x-real-ip", b"1.1.1.1"),
    (b"audit-id", b"forged"),
    (b"connection", b"impersonate-user, authorization, audit-id"),
    (b"transfer-encoding", b"chunked"),
    (b"content-length", b"5"),
    (b"host", b"evil"),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_the_tunnel_carried_never_speaks_for_somebody(hostile: tuple[bytes, bytes]) -> None:
    assert final([hostile, (b"accept", b"*/*")]) == final([(b"accept", b"*/*")])


def test_all_of_them_at_once_change_nothing() -> None:
    assert final([*HOSTILE, (b"accept", b"*/*")]) == final([(b"accept", b"*/*")])


def test_a_bearer_sub_protocol_is_taken_out() -> None:
    offered = (b"sec-websocket-protocol", b"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4")
    assert (b"sec-websocket-protocol", b"v5.channel.k8s.io") in final([offered])


def test_our_credential_and_the_audit_id_are_set_last() -> None:
    assert final([(b"accept", b"*/*")]) == [
        (b"accept", b"*/*"),
        (b"authorization", b"Bearer agent"),
        (b"impersonate-user", b"skerry:alice"),
        (b"impersonate-group", b"skerry:view"),
        (b"impersonate-extra-skerry.dev%2fuser", b"alice"),
        (b"audit-id", b"11111111-2222"),
    ]


def test_the_client_s_address_is_kept_if_it_is_one() -> None:
    assert (b"x-forwarded-for", b"10.1.2.3") in final([(b"x-forwarded-for", b"10.1.2.3")])
    assert not [pair for pair in final([(b"x-forwarded-for", b"<script>")]) if pair[0] == b"x-forwarded-for"]


def test_an_audit_id_that_is_none_is_left_out() -> None:
    made = headers([], [], b"", "a b")
    assert made == []
