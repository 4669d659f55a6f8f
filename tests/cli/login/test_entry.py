"""The quick path of kubectl's plugin: it says the token that is there, or nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skerry.api.times import seconds
from skerry.cli import __main__ as command
from skerry.cli.login.cache import LoginCache, StoredLogin, directory
from skerry.cli.login.entry import at_hand
from skerry.cli.login.parameters import LoginParameters, parameters


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginParameters:
    """A login whose token is good for an hour."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    known = parameters("https://idp.example.com", "skerry", "email")
    keep(known, 3600.0)
    return known


def keep(known: LoginParameters, left_s: float) -> None:
    LoginCache(directory(), known.digest).write(StoredLogin("a.b.c", time.time() + left_s))


def test_a_token_that_is_there_is_all_that_stands_on_stdout(
    known: LoginParameters, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.time()
    assert command.main(known.arguments()) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    until = answer["status"].pop("expirationTimestamp")
    assert answer == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "a.b.c"},
    }
    assert -1 <= seconds(until) - (before + 3600) <= 60
    assert (out.count("\n"), err) == (1, "")


@pytest.mark.parametrize("left_s", [29.0, -1.0])
def test_one_that_ends_soon_is_not_said(known: LoginParameters, left_s: float) -> None:
    assert at_hand(known.arguments())
    keep(known, left_s)
    assert at_hand(known.arguments()) == ""


@pytest.mark.parametrize("more", ["--what", "--flow=Guess", "x"])
def test_what_is_no_such_call_is_left_to_the_command(known: LoginParameters, more: str) -> None:
    assert at_hand([*known.arguments(), more]) == ""
    assert at_hand(["login"]) == ""


def test_a_cache_that_is_refused_is_left_to_the_command(known: LoginParameters, tmp_path: Path) -> None:
    path = Path(LoginCache(directory(), known.digest).path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert at_hand(known.arguments()) == ""


def test_who_asked_and_left_is_no_reason_for_a_traceback(known: LoginParameters) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "skerry.cli", *known.arguments()], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_nothing_is_loaded_for_it_that_is_not_needed(known: LoginParameters) -> None:
    code = (
        "import sys; from skerry.cli.__main__ import main; code = main(sys.argv[1:]); "
        "heavy = {'msgspec', 'typer', 'rich', 'ssl', 'asyncio', 'http.client', 'skerry.cli.failure', 'pathlib'} & set(sys.modules); "
        "sys.exit(f'{code} {sorted(heavy)}')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *known.arguments()], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.strip() == "0 []"
