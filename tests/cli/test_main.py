"""Parsing, exit codes and the shape of errors: the contract with scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skerry import __version__
from skerry.api.messages import Token
from skerry.cli.__main__ import main
from skerry.cli.failure import Failure, exit_code, one_line, status
from skerry.errors import Forbidden, GatewayTimeout
from skerry.identity import jointoken

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("SKERRY_LOG_LEVEL", "info")
    for name in ("SKERRY_TOKEN_FILE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_version(capsys: Captured) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"skerry {__version__}\n"


def test_version_as_json(capsys: Captured) -> None:
    assert main(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__


@pytest.mark.parametrize(
    "words",
    [
        ["bogus"],
        ["up", "--name"],
        ["up", "--wait", "soon"],
        ["up", "--name", "Not A Name"],
        ["up", "--listen", "8443"],
        ["up", "--address", "http://host/"],
        ["up", "--nats", "tls://x"],
        ["status", "-o", "xml"],
        ["token"],
        ["token", "create"],
        ["token", "create", "m1", "--ttl", "never"],
        ["token", "create", "m1", "--pattern", "edge-*"],
        ["token", "create", "m1", "--uses", "2"],
        ["token", "create", "--uses", "2"],
        ["token", "create", "m1", "--label", "north"],
        ["token", "create", "m1", "--label", "=north"],
        ["token", "create", "m1", "-o", "xml"],
        ["kubeconfig", "--use", "m1"],
        ["kubeconfig", "--merge", "--output", "f"],
        ["completion", "tcsh"],
        ["--log-level", "loud", "version"],
        ["agent"],
        ["agent", "--name", "-bad-"],
    ],
)
def test_usage_errors_are_one_line_and_exit_2(words: list[str], capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("{}")
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_status_without_a_host_exits_3_and_says_what_to_do(capsys: Captured) -> None:
    assert main(["status"]) == 3
    assert "is not running" in capsys.readouterr().err


def test_status_as_json_is_complete_without_a_host(capsys: Captured) -> None:
    assert main(["status", "-o", "json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["ready"] is False
    assert json.loads(captured.err)["kind"] == "Status"


def test_clients_without_a_host_say_how_to_get_one(capsys: Captured) -> None:
    assert main(["clusters"]) == 1
    assert "--kubeconfig FILE" in capsys.readouterr().err


def test_a_kubeconfig_without_the_context_names_those_it_has(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "k").write_text('{"contexts": [{"name": "a", "context": {}}]}')
    assert main(["clusters", "--kubeconfig", str(tmp_path / "k"), "--context", "b"]) == 1
    assert "has no context 'b'; it has: a" in capsys.readouterr().err


def test_a_host_that_is_not_there_is_named(capsys: Captured, tmp_path: Path) -> None:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "current-context": "c",
    }
    (tmp_path / "k").write_text(json.dumps(document))
    assert main(["clusters", "--kubeconfig", str(tmp_path / "k")]) == 1
    assert "cannot reach the host at https://127.0.0.1:1: connection refused" in capsys.readouterr().err


def test_with_json_every_error_is_a_status(capsys: Captured) -> None:
    assert main(["token", "create", "-o", "json"]) == 2
    found = json.loads(capsys.readouterr().err)
    assert (found["kind"], found["reason"], found["code"]) == ("Status", "BadRequest", 400)


def test_verbose_works_after_the_command_and_adds_the_traceback(capsys: Captured) -> None:
    assert main(["clusters", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert os.environ["SKERRY_LOG_LEVEL"] == "debug"


def test_down_without_a_host_is_done(capsys: Captured) -> None:
    assert main(["down", "--purge"]) == 0
    assert capsys.readouterr().err == "the host was not running\n"


def test_help_has_examples_and_exits_0(capsys: Captured) -> None:
    for words in (["--help"], ["up", "-h"], ["agent", "--help"], ["token", "create", "--help"]):
        assert main(words) == 0
        assert "skerry" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: Captured) -> None:
    assert main(["completion", shell]) == 0
    assert "_SKERRY_COMPLETE" in capsys.readouterr().out


def test_the_completion_of_commands_works() -> None:
    env = {**os.environ, "_SKERRY_COMPLETE": "complete_bash", "COMP_WORDS": "skerry clus", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-m", "skerry.cli"], env=env, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == {"cluster", "clusters"}, done.stderr


# agent


def test_a_garbled_token_is_refused_with_what_to_do(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("skerry-join-rubbish00000000")
    assert main(["agent", "--token-file", str(tmp_path / "t")]) == 1
    assert "garbled" in capsys.readouterr().err


def test_a_token_file_that_is_missing_or_empty_is_named(capsys: Captured, tmp_path: Path) -> None:
    assert main(["agent", "--token-file", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
    (tmp_path / "empty").touch()
    assert main(["agent", "--token-file", str(tmp_path / "empty")]) == 1
    assert "is empty" in capsys.readouterr().err


def test_a_member_without_a_kubeconfig_is_a_missing_prerequisite(capsys: Captured) -> None:
    assert main(["agent", "--name", "m1"]) == 4
    assert "--kubeconfig FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [([], 2, "with --name"), (["--name", "m1"], 1, "use another --name"), (["--name", "-"], 2, "")],
)
def test_a_token_for_a_pattern_needs_a_name_that_fits(
    name: list[str], code: int, says: str, capsys: Captured, tmp_path: Path
) -> None:
    token = Token(
        host="h",
        name="",
        pattern="edge-*",
        jti="j",
        jwt="x",
        servers=[],
        ca="",
        expires=int(time.time()) + 60,
        format=2,
    )
    (tmp_path / "t").write_text(jointoken.encode(token))
    assert main(["agent", "--token-file", str(tmp_path / "t"), *name]) == code
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1


def test_an_agent_that_never_joined_needs_a_token(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("{}")
    assert main(["agent", "--name", "m1"]) == 2
    assert "--token-file" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_stopping_an_agent_that_does_not_exist_fails(capsys: Captured) -> None:
    assert main(["agent", "stop", "nobody"]) == 1
    assert "no agent 'nobody'" in capsys.readouterr().err


def test_a_unit_starts_the_agent_with_absolute_paths_and_no_secret(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("{}")
    words = ["agent", "--name", "m1", "--print-unit", "--read-only", "--namespaces", "a, b"]
    assert main(words) == 0
    unit = capsys.readouterr().out
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert line.startswith("ExecStart=/")
    assert f"--kubeconfig {tmp_path / 'kubeconfig'}" in line
    assert line.endswith("--read-only --namespaces a,b")
    assert "Type=notify" in unit


@pytest.mark.parametrize("limit", [["--read-only"], ["--no-exec"], ["--namespaces", "a"], ["--ceiling-desired", "All"]])
def test_no_ceiling_and_a_ceiling_at_once_is_usage(limit: list[str], capsys: Captured) -> None:
    assert main(["agent", "--name", "m1", "--ceiling-off", *limit]) == 2
    assert "--ceiling-off takes every limit away" in capsys.readouterr().err


# errors


def test_exit_codes_of_errors() -> None:
    assert exit_code(Failure("x", 4)) == 4
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(Forbidden("x")) == 1
    assert exit_code(GatewayTimeout("x")) == 5
    assert exit_code(OSError(2, "gone")) == 1


def test_a_bug_is_said_to_be_one() -> None:
    assert one_line(KeyError("x")).startswith("KeyError: 'x' (this is a bug")
    assert status(KeyError("x")).code == 500


def test_an_error_of_the_system_names_its_file() -> None:
    assert one_line(PermissionError(13, "Permission denied", "/f")) == "/f: Permission denied"
