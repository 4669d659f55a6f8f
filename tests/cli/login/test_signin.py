"""The order of things: what is kept, then the refresh token, then asking; and one process that does so for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.cli.failure import FAILED, INTERRUPTED, TIMED_OUT, Failure
from skerry.cli.login.cache import LoginCache, StoredLogin
from skerry.cli.login.oidc import SignedIn, TokenAnswer, signed_in
from skerry.cli.login.provider import Provider
from skerry.cli.login.signin import QUIET_S, ended, token
from tests.cli.login.standin import Form, Said, Standin

GONE = (400, {"error": "invalid_grant"})


class People:
    """Who is asked, and what they do."""

    def __init__(self, standin: Standin, error: BaseException | None = None, pause: float = 0.0) -> None:
        self.asked = 0
        self.error = error
        self._standin, self._pause = standin, pause

    def __call__(self, provider: Provider) -> SignedIn:
        self.asked += 1
        time.sleep(self._pause)
        if self.error is not None:
            raise self.error
        answer = TokenAnswer(id_token=self._standin.id_token(), refresh_token="asked")
        return signed_in(answer, provider.parameters, time.time())


def nobody(provider: Provider) -> SignedIn:
    raise AssertionError("somebody was asked")


def kept(standin: Standin, left_s: float, refresh_token: str = "old") -> StoredLogin:
    return StoredLogin(standin.id_token(left_s), time.time() + left_s, refresh_token, "u1", "alice")


def test_a_token_that_is_kept_is_given_without_a_question(standin: Standin, cache: LoginCache) -> None:
    login = kept(standin, 60)
    cache.write(login)
    assert token(standin.parameters, cache, nobody) == login
    assert standin.asked == []


@pytest.mark.parametrize("left_s", [29.0, -3600.0])
def test_one_that_ends_is_replaced_by_the_refresh_token(standin: Standin, cache: LoginCache, left_s: float) -> None:
    cache.write(kept(standin, left_s))
    standin.answer("/token", {"id_token": standin.id_token(), "refresh_token": "new"}, {"id_token": standin.id_token()})
    login = token(standin.parameters, cache, None)
    assert (login.refresh_token, login.holds(time.time()), cache.read()) == ("new", True, login)
    assert standin.forms("/token") == [{"client_id": "skerry", "grant_type": "refresh_token", "refresh_token": "old"}]
    cache.write(login._replace(expires=1.0))
    assert token(standin.parameters, cache, None).refresh_token == "new", "one that is not replaced stays"


def test_a_token_about_somebody_else_is_not_taken(standin: Standin, cache: LoginCache) -> None:
    cache.write(kept(standin, 0))
    standin.answer("/token", {"id_token": standin.id_token(sub="u2")})
    people = People(standin)
    assert token(standin.parameters, cache, people).refresh_token == "asked"
    assert people.asked == 1


def test_a_provider_that_describes_another_one_costs_no_refresh_token(standin: Standin, cache: LoginCache) -> None:
    cache.write(kept(standin, 0))
    standin.describe(issuer="https://evil")
    with pytest.raises(Failure, match="calls itself"):
        token(standin.parameters, cache, nobody)
    assert cache.read().refresh_token == "old"


@pytest.mark.parametrize(
    "said", [GONE, (400, {"error": "invalid_request"}), (200, {})], ids=["ended", "refused", "no ID token"]
)
def test_when_the_refresh_token_ended_somebody_is_asked(standin: Standin, cache: LoginCache, said: object) -> None:
    cache.write(kept(standin, 0))
    standin.answer("/token", said)
    people = People(standin)
    assert token(standin.parameters, cache, people).refresh_token == "asked"
    assert people.asked == 1


def test_where_nobody_can_be_asked_one_line_says_what_to_run(standin: Standin, cache: LoginCache) -> None:
    cache.write(kept(standin, 0))
    standin.answer("/token", GONE)
    for _ in range(2):
        with pytest.raises(Failure, match=rf"^you are not logged in at {standin.issuer}: run \S+ login") as caught:
            token(standin.parameters, cache, None)
        assert (caught.value.code, "\n" in str(caught.value)) == (FAILED, False)
    assert len(standin.forms("/token")) == 1, "a refresh token that ended is not tried again"


def test_while_the_provider_is_away_what_is_left_is_used_and_nothing_forgotten(
    standin: Standin, cache: LoginCache
) -> None:
    login = kept(standin, 20)
    cache.write(login)
    standin.answer("/token", (503, b""), {"id_token": standin.id_token()})
    assert token(standin.parameters, cache, nobody) == login
    standin.answer("/token", (503, b""), {"id_token": standin.id_token()})
    cache.write(login._replace(expires=1.0))
    with pytest.raises(Failure, match="503: try again"):
        token(standin.parameters, cache, nobody)
    assert token(standin.parameters, cache, nobody).refresh_token == "old"


def together(count: int, ask: Callable[[], object]) -> list[object]:
    """What each of so many gets who begin at the same moment."""
    results: list[object] = [None] * count
    begin = threading.Barrier(count)

    def run(index: int) -> None:
        begin.wait()
        try:
            results[index] = ask()
        except Failure as error:
            results[index] = (error.code, error.message)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_of_many_that_begin_together_one_asks_and_all_get_its_token(standin: Standin, cache: LoginCache) -> None:
    people = People(standin, pause=0.3)
    results = together(20, lambda: token(standin.parameters, cache, people, plugin=True).id_token)
    assert (people.asked, len(set(results))) == (1, 1)


def test_a_token_that_lives_for_seconds_is_shared_too(standin: Standin, cache: LoginCache) -> None:
    def brief(provider: Provider) -> SignedIn:
        asked.append(provider)
        time.sleep(0.3)
        return signed_in(TokenAnswer(id_token=standin.id_token(25.0)), provider.parameters, time.time())

    asked: list[Provider] = []
    results = together(5, lambda: token(standin.parameters, cache, brief).id_token)
    assert (len(asked), len(set(results))) == (1, 1)


@pytest.mark.parametrize("error", [Failure("no, thanks"), Failure("nobody", TIMED_OUT)], ids=["refused", "unanswered"])
def test_of_many_that_begin_together_one_asks_and_all_get_its_failure(
    standin: Standin, cache: LoginCache, error: Failure
) -> None:
    people = People(standin, error, pause=0.3)
    results = together(10, lambda: token(standin.parameters, cache, people, plugin=True))
    assert (people.asked, set(results)) == (1, {(error.code, error.message)})


def test_many_whose_token_ended_refresh_once(standin: Standin, cache: LoginCache) -> None:
    def slow(form: Form) -> Said:
        time.sleep(0.2)
        return 200, b'{"id_token": "%s", "refresh_token": "new"}' % standin.id_token().encode()

    standin.answer("/token", slow)
    cache.write(kept(standin, 0))
    results = together(10, lambda: token(standin.parameters, cache, None).id_token)
    assert (len(set(results)), len(standin.forms("/token"))) == (1, 1)


def test_a_login_that_nobody_answered_is_not_tried_again_by_plugins_for_some_time(
    standin: Standin, cache: LoginCache
) -> None:
    now = [time.time()]
    people = People(standin, Failure("nobody", TIMED_OUT))

    def once(*, plugin: bool = True) -> None:
        token(standin.parameters, cache, people, plugin=plugin, now=lambda: now[0])

    with pytest.raises(Failure, match="nobody"):
        once()
    now[0] += QUIET_S - 1
    with pytest.raises(Failure, match="nobody answered the last time: run") as caught:
        once()
    assert (people.asked, caught.value.code) == (1, FAILED)
    with pytest.raises(Failure):
        once(plugin=False)
    assert people.asked == 2
    now[0] += QUIET_S
    people.error = None
    once()
    assert (people.asked, cache.read().failed) == (3, 0.0)


def test_one_that_was_refused_may_be_tried_again_at_once(standin: Standin, cache: LoginCache) -> None:
    people = People(standin, Failure("no, thanks"))
    with pytest.raises(Failure):
        token(standin.parameters, cache, people, plugin=True)
    people.error = None
    assert token(standin.parameters, cache, people, plugin=True).id_token


def test_an_interrupt_ends_the_login_for_those_that_wait_too(standin: Standin, cache: LoginCache) -> None:
    with pytest.raises(KeyboardInterrupt):
        token(standin.parameters, cache, People(standin, KeyboardInterrupt()))
    assert cache.read().failure_code == INTERRUPTED


def test_a_login_elsewhere_is_waited_for_and_not_for_ever(standin: Standin, cache: LoginCache) -> None:
    lock = cache.lock(0.0)
    assert lock is not None
    with lock:
        with pytest.raises(Failure, match="another process has been logging in") as caught:
            token(standin.parameters, cache, nobody, wait_s=0.1)
        assert caught.value.code == TIMED_OUT
        with pytest.raises(Failure, match="end it first"):
            ended(cache)


def test_a_cache_that_is_refused_is_a_failure(standin: Standin, cache: LoginCache) -> None:
    cache.write(StoredLogin())
    path = Path(cache.path)
    path.unlink()
    path.symlink_to("/dev/null")
    for use in (lambda: token(standin.parameters, cache, nobody), lambda: ended(cache)):
        with pytest.raises(Failure, match="symbolic link"):
            use()


# Logging out


def test_the_provider_ends_what_is_forgotten(standin: Standin, cache: LoginCache) -> None:
    token(standin.parameters, cache, People(standin))
    standin.answer("/revocation", b"")
    assert ended(cache) == ""
    assert cache.read() == StoredLogin()
    assert standin.forms("/revocation") == [
        {"client_id": "skerry", "token": "asked", "token_type_hint": "refresh_token"}
    ]
    assert ended(cache) == ""
    assert len(standin.forms("/revocation")) == 1


def test_a_provider_that_cannot_is_told_and_it_is_forgotten_here(standin: Standin, cache: LoginCache) -> None:
    for change, said, told in (
        ({"revocation_endpoint": None}, (200, b""), "offers no way"),
        ({}, (503, b""), "answered with 503"),
        ({"token_endpoint": None}, (200, b""), "was not told"),
    ):
        standin.describe()
        token(standin.parameters, cache, People(standin))
        standin.describe(**change)
        standin.answer("/revocation", said)
        assert told in ended(cache)
        assert cache.read() == StoredLogin()
