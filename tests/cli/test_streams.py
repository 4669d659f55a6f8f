"""What a shell gives and takes: no words at all, odd words, streams that are closed or end early, an interrupt."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from skerry.cli.__main__ import main

SKERRY = [sys.executable, "-m", "skerry.cli"]
DEADLINE_S = 60.0


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "SKERRY_STATE": str(tmp_path / "state"), "KUBECONFIG": str(tmp_path / "kubeconfig")}


def _run(env: dict[str, str], *words: str | bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*SKERRY, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
    )


def _shell(env: dict[str, str], redirect: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """The command with the redirection of a POSIX shell, such as `>&-`."""
    script = f'exec "$@" {redirect}'
    return subprocess.run(
        ["sh", "-c", script, "sh", *SKERRY, *words], env=env, capture_output=True, timeout=DEADLINE_S, check=False
    )


@pytest.mark.parametrize(
    ("words", "usage", "help_"),
    [
        ((), b"Usage: skerry [OPTIONS]", b"skerry --help"),
        (("-v",), b"Usage: skerry [OPTIONS]", b"skerry --help"),
        (("token",), b"Usage: skerry token ", b"skerry token --help"),
        (("credential",), b"Usage: skerry credential ", b"skerry credential --help"),
        (("cluster",), b"Usage: skerry cluster ", b"skerry cluster --help"),
    ],
)
def test_without_a_command_the_help_is_shown_and_the_code_is_2(
    env: dict[str, str], words: tuple[str, ...], usage: bytes, help_: bytes
) -> None:
    done = _run(env, *words)
    assert done.returncode == 2
    assert usage in done.stdout
    assert done.stderr.splitlines()[0] == b"error: a command is missing: %b lists them" % help_
    assert ("-v" in words) == (b"Traceback" in done.stderr)


@pytest.mark.parametrize("style", [("-o", "json"), ("-ojson",), ("-o=json",), ("--output", "json"), ("--output=json",)])
def test_an_error_is_a_status_however_json_was_asked_for(
    env: dict[str, str], style: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SKERRY_STATE", "KUBECONFIG"):
        monkeypatch.setenv(name, env[name])
    for words in (style, ("token", *style), ("clusters", *style)):
        assert main(list(words)) in (1, 2)
        assert json.loads(capsys.readouterr().err)["kind"] == "Status"


@pytest.mark.parametrize("word", [b"", b"\xff", "…".encode(), b"-", b"--", b"-o", b"x" * 100_000])
def test_any_word_is_refused_in_one_line(
    env: dict[str, str], word: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SKERRY_STATE", "KUBECONFIG"):
        monkeypatch.setenv(name, env[name])
    text = os.fsdecode(word)
    for words in ([text], ["clusters", text], [text, "-o", "json"]):
        assert main(words) in (1, 2), words
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1, err
        assert "bug" not in err


def test_a_word_that_is_no_text_is_refused_in_one_line(env: dict[str, str]) -> None:
    done = _run(env, b"\xff")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, b"", 1), done.stderr


@pytest.mark.parametrize("words", [("version",), ("version", "-o", "json"), ("--help",), ("completion", "bash")])
def test_a_reader_that_has_left_is_not_an_error_of_ours(env: dict[str, str], words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*SKERRY, *words], env=env, stdout=writing, stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("words", [("version",), ("version", "-o", "json"), ("--help",)])
def test_a_closed_stdout_is_nobody_who_reads(env: dict[str, str], words: tuple[str, ...]) -> None:
    done = _shell(env, ">&-", *words)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_one_line(env: dict[str, str]) -> None:
    done = _shell(env, ">/dev/full", "version")
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


def test_a_closed_stderr_changes_no_exit_code(env: dict[str, str]) -> None:
    assert _shell(env, "2>&-", "bogus").returncode == 2
    assert _shell(env, ">&- 2>&-", "bogus").returncode == 2


def test_a_closed_stdin_is_an_empty_one(env: dict[str, str]) -> None:
    done = _shell(env, "<&-", "agent", "--token-file", "-")
    assert done.returncode == 1
    assert b"is empty" in done.stderr


def test_a_token_on_stdin_that_is_not_text_is_one_line(env: dict[str, str]) -> None:
    done = subprocess.run(
        [*SKERRY, "agent", "--token-file", "-"],
        env={**env, "PYTHONIOENCODING": "utf-8"},
        input=b"\xff\xfe",
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert b"bug" not in done.stderr


def test_an_interrupt_is_130_and_needs_no_words(env: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        document = {
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{silent.getsockname()[1]}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            "current-context": "c",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(document))
        words = [*SKERRY, "clusters", "--kubeconfig", str(tmp_path / "kubeconfig")]
        with subprocess.Popen(words, env=env, stderr=subprocess.PIPE) as process:
            silent.settimeout(DEADLINE_S)
            with silent.accept()[0] as accepted:
                accepted.recv(1)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert err == b""
