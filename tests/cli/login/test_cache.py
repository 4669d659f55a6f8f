"""Files that hold logins: private, whole, one's own, and a lock that one process has at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.login.cache import CacheError, Lock, LoginCache, StoredLogin, directory, stored

LOGIN = StoredLogin("a.b.c", 1000.0, "refresh", "u1", "alice", 5.0, "why", 1, {"issuer": "https://idp"})


@pytest.fixture
def cache(tmp_path: Path) -> LoginCache:
    return LoginCache(str(tmp_path / "skerry" / "login"), "d1")


def file_of(cache: LoginCache) -> Path:
    return Path(cache.path)


def held(cache: LoginCache, wait_s: float = 0.0) -> Lock:
    lock = cache.lock(wait_s)
    assert lock is not None
    return lock


def test_what_is_written_is_read(cache: LoginCache) -> None:
    assert cache.read() == StoredLogin()
    cache.write(LOGIN)
    assert cache.read() == LOGIN
    cache.write(StoredLogin())
    assert cache.read() == StoredLogin()
    cache.remove()
    cache.remove()
    assert cache.read() == StoredLogin()


def test_what_a_killed_process_left_is_replaced_and_forgotten(cache: LoginCache) -> None:
    left = Path(f"{cache.path}.new")
    left.parent.mkdir(mode=0o700, parents=True)
    left.write_text("half of a token")
    cache.write(LOGIN)
    assert not left.exists()
    left.write_text("half of a token")
    cache.remove()
    assert not left.exists()


def test_nobody_else_can_read_it_or_what_is_beside_it(cache: LoginCache) -> None:
    previous = os.umask(0)
    try:
        with held(cache):
            cache.write(LOGIN)
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file_of(cache).parent.iterdir()}
    assert modes == {"d1.json": 0o600, "d1.lock": 0o600}
    assert stat.S_IMODE(file_of(cache).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("left", "holds"), [(30.0, True), (29.9, False), (-1.0, False)])
def test_a_token_holds_while_half_a_minute_is_left(left: float, holds: bool) -> None:
    assert LOGIN.holds(1000.0 - left) is holds
    assert not LOGIN._replace(id_token="").holds(0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"id_token": 1},
        {"id_token": None},
        {"expires": "soon"},
        {"expires": True},
        {"expires": 5},
        {"expires": float("inf")},
        {"expires": float("nan")},
        {"expires": -1.0},
        {"failure_code": 1.5},
        {"parameters": {"issuer": 1}},
        {"parameters": []},
    ],
    ids=range(13),
)
def test_a_file_that_says_something_else_counts_as_none(cache: LoginCache, change: dict[str, Any]) -> None:
    cache.write(LOGIN)
    file = file_of(cache)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert cache.read() == StoredLogin()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"a":' * 20000, b" " * 300_000], ids=range(8)
)
def test_a_file_that_cannot_be_read_counts_as_none_and_is_written_anew(cache: LoginCache, data: bytes) -> None:
    cache.write(LOGIN)
    file_of(cache).write_bytes(data)
    assert cache.read() == StoredLogin()
    cache.write(LOGIN)
    assert cache.read() == LOGIN


def test_a_file_that_others_could_read_counts_as_none_and_is_written_anew(cache: LoginCache) -> None:
    cache.write(LOGIN)
    file_of(cache).chmod(0o644)
    assert cache.read() == StoredLogin()
    cache.write(LOGIN)
    assert stat.S_IMODE(file_of(cache).stat().st_mode) == 0o600


def test_a_file_that_has_another_name_too_counts_as_none(cache: LoginCache) -> None:
    cache.write(LOGIN)
    os.link(cache.path, file_of(cache).with_name("other"))
    assert cache.read() == StoredLogin()


@pytest.mark.parametrize("name", ["d1.json", "d1.lock"])
def test_a_symbolic_link_is_refused(cache: LoginCache, tmp_path: Path, name: str) -> None:
    cache.write(LOGIN)
    target = tmp_path / "elsewhere"
    target.write_bytes(b"precious")
    link = file_of(cache).with_name(name)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(CacheError, match="symbolic link"):
        cache.read() if name.endswith("json") else cache.lock(0.0)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["d1.json", "d1.lock"])
@pytest.mark.timeout(20)
def test_a_pipe_or_a_directory_in_its_place_is_refused_and_never_waited_for(cache: LoginCache, name: str) -> None:
    cache.write(LOGIN)
    place = file_of(cache).with_name(name)
    place.unlink(missing_ok=True)
    place.mkdir()
    with pytest.raises(CacheError):
        cache.read() if name.endswith("json") else cache.lock(0.0)
    place.rmdir()
    os.mkfifo(place, 0o600)
    if name.endswith("json"):
        with pytest.raises(CacheError, match="no file"):
            cache.read()


def _as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)


def test_what_belongs_to_another_user_is_refused(cache: LoginCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(LOGIN)
    _as_somebody_else(monkeypatch)
    for use in (cache.read, lambda: cache.write(LOGIN), lambda: cache.lock(0.0)):
        with pytest.raises(CacheError, match="another user"):
            use()


def test_a_directory_that_others_may_write_to_is_refused(cache: LoginCache) -> None:
    cache.write(LOGIN)
    file_of(cache).parent.chmod(0o777)
    with pytest.raises(CacheError, match="others may write"):
        cache.write(LOGIN)
    with pytest.raises(CacheError, match="others may write"):
        cache.lock(0.0)


def test_a_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = LoginCache(str(tmp_path / "file" / "login"), "d1")
    assert cache.read() == StoredLogin()
    with pytest.raises(CacheError, match="XDG_CACHE_HOME"):
        cache.write(LOGIN)


def test_one_has_the_lock_and_the_next_gets_it_when_it_is_free(cache: LoginCache) -> None:
    with held(cache):
        assert cache.lock(0.0) is None
    with held(cache):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(cache: LoginCache) -> None:
    code = (
        "import sys, time\nfrom skerry.cli.login.cache import LoginCache\n"
        f"lock = LoginCache({str(file_of(cache).parent)!r}, 'd1').lock(0.0)\nprint(lock is not None, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert cache.lock(0.0) is None
        process.kill()
        process.wait()
    with held(cache, 20.0):
        pass


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/skerry/login"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/skerry/login"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/skerry/login"),
        ({"HOME": "/h"}, "/h/.cache/skerry/login"),
    ],
)
def test_the_place_is_that_of_the_xdg_specification(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert directory() == expected


def test_without_a_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "nowhere")
    with pytest.raises(CacheError, match="XDG_CACHE_HOME"):
        directory()


def test_all_that_are_kept_are_found(cache: LoginCache) -> None:
    where = str(file_of(cache).parent)
    assert stored(where) == []
    cache.write(LOGIN)
    with held(cache):
        assert [each.path for each in stored(where)] == [cache.path]
    with pytest.raises(CacheError):
        stored(cache.path)
