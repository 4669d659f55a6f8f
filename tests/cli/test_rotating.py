"""skerry agent rotate: a wish in an agent's directory, and the wait for what it leaves there."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.cli.__main__ import main
from skerry.identity import jwt, nkey
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyPair, KeyType

Captured = pytest.CaptureFixture[str]


def credentials(key: KeyPair) -> Credentials:
    return Credentials(jwt.encode(nkey.create(KeyType.ACCOUNT), key.public, "m1", {"type": "user"}), key.seed)


@pytest.fixture
def old() -> KeyPair:
    return nkey.create(KeyType.USER)


@pytest.fixture
def directory(tmp_path: Path, old: KeyPair) -> Path:
    found = tmp_path / "agents" / "m1"
    credentials(old).save(found / "user.creds")
    return found


@pytest.fixture
def running(directory: Path) -> Iterator[None]:
    """Somebody holds the directory."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def rotate(directory: Path, *words: str) -> int:
    return main(["agent", "rotate", directory.name, "--state", str(directory.parent.parent), *words])


@pytest.mark.usefixtures("running")
def test_it_waits_until_the_agent_has_other_credentials(directory: Path, old: KeyPair, capsys: Captured) -> None:
    new, wished = nkey.create(KeyType.USER), threading.Event()

    def agent() -> None:
        while not (directory / "rekey").exists():
            wished.wait(0.01)
        credentials(new).save(directory / "user.creds")

    thread = threading.Thread(target=agent)
    thread.start()
    assert rotate(directory) == 0
    thread.join()
    said = f"agent m1 has another key: {new.public[:10]} in the place of {old.public[:10]}\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.usefixtures("running")
def test_an_agent_that_cannot_do_it_in_time_goes_on_trying(directory: Path, capsys: Captured) -> None:
    assert rotate(directory, "--wait", "0.2s") == 5
    assert "agent m1 has no other key after 0.2 s: it goes on trying" in capsys.readouterr().err
    assert (directory / "rekey").exists()


def test_one_that_does_not_run_finds_the_wish_when_it_starts(directory: Path, capsys: Captured) -> None:
    assert rotate(directory) == 5
    assert "agent m1 does not run: it gets another key when it starts" in capsys.readouterr().err
    assert (directory / "rekey").exists()


def test_one_that_never_joined_has_no_key(directory: Path, capsys: Captured) -> None:
    (directory / "user.creds").unlink()
    assert rotate(directory) == 1
    assert "agent m1 has no credentials in" in capsys.readouterr().err
    assert not (directory / "rekey").exists()


@pytest.mark.parametrize("name", ["nobody", "../agents/m1"])
def test_an_agent_that_is_not_there_is_said_so(directory: Path, name: str, capsys: Captured) -> None:
    assert main(["agent", "rotate", name, "--state", str(directory.parent.parent)]) == 1
    assert f"there is no agent {name!r} in" in capsys.readouterr().err
