"""Commands that are answered without the tree: what they load, what they take, and that everything else runs as always."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from skerry.cli import app, asking, quick, state
from skerry.cli.__main__ import main
from skerry.cli.asking import NotQuick
from skerry.cli.login.cache import LoginCache, StoredLogin, directory
from skerry.cli.login.parameters import parameters
from skerry.identity import x509
from tests.cli.quickhost import INSTANCE, STORE, Host, write

Captured = pytest.CaptureFixture[str]
SLOW = ("typer", "msgspec", "asyncio", "yaml", "http.client", "pathlib", "urllib.parse", "shutil", "typing")

INSTALL = ("app", "install", "web", "web", "--cluster", "m1", "-n", "shop", "--set", "color=red")


@pytest.fixture(scope="module")
def authority() -> x509.X509KeyPair:
    return x509.create_ca("test")


@pytest.fixture
def host(authority: x509.X509KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    pair = x509.issue_server(authority, ("127.0.0.1",))
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    with Host(tmp_path / "crt", tmp_path / "key") as server:
        write(tmp_path, server, authority.certificate)
        monkeypatch.setenv("SKERRY_STATE", str(tmp_path / "state"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def change(directory: Path, **changes: Any) -> None:
    """Other content for the cluster and the user of that kubeconfig."""
    admin = directory / "state" / "host" / "admin.kubeconfig"
    config = json.loads(admin.read_text())
    config["clusters"][0]["cluster"] |= changes.get("cluster", {})
    config["users"][0]["user"] = changes.get("user", config["users"][0]["user"])
    admin.write_text(json.dumps(config))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which tells on its last line of stderr what it has loaded."""
    code = (
        "import os, sys; from skerry.cli.__main__ import main; end = os._exit;"
        "os._exit = lambda code: (print(*sys.modules, file=sys.stderr, flush=True), end(code));"
        f"sys.argv[1:] = {list(words)}; code = main(); os._exit(code)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", [("app", "status", "web"), ("app", "list"), INSTALL], ids=" ".join)
def test_nothing_that_takes_long_is_loaded(words: tuple[str, ...], host: Host) -> None:
    bare = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True)
    done = run(*words)
    assert "web" in done.stdout
    loaded = set(done.stderr.splitlines()[-1].split()) - set(bare.stdout.split())
    assert not loaded & set(SLOW)


def test_a_release_is_shown_as_ever(host: Host, capsys: Captured) -> None:
    assert main(["app", "status", "web", "-w", "shop"]) == 0
    quickly, asked = capsys.readouterr(), [*host.asked]
    host.asked.clear()
    assert main(["-v", "app", "status", "web", "-w", "shop"]) == 0
    assert capsys.readouterr() == quickly
    assert host.asked == asked
    assert asked[0] == ("/apis/skerry.dev/v1alpha1/namespaces/shop/appreleases/web", "Bearer secret")
    assert quickly.out.splitlines()[1].split() == ["m1", "Deployed", "Healthy", "2", "web-1.0.0"]


@pytest.mark.parametrize("words", [[], ["-A"], ["-o", "json"], ["-oname"], ["--output=wide"]], ids=" ".join)
def test_what_is_installed_is_listed_as_ever(words: list[str], host: Host, capsys: Captured) -> None:
    assert main(["app", "list", *words]) == 0
    quickly = capsys.readouterr()
    assert main(["-v", "app", "list", *words]) == 0
    assert capsys.readouterr() == quickly
    assert len(host.asked) == 2


def test_an_app_is_installed_as_ever(host: Host, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("size: 2\n")
    words = [*INSTALL, "--cluster", "m2", "--create-namespace", "-f", str(tmp_path / "more.yaml"), "--timeout", "1m"]
    assert main(words) == 0
    quickly = capsys.readouterr()
    assert main(["-v", *words]) == 0
    assert capsys.readouterr() == quickly
    assert quickly.out.splitlines()[1].split() == ["m1", "Deployed", "Healthy", "2", "web-1.0.0"]
    for each in host.posted:
        each["spec"].setdefault("overrides", [])
    assert host.posted[0] == host.posted[1]
    assert host.posted[0]["spec"] == {
        "app": "skerry-apps/web",
        "version": "1.0.0",
        "clusters": {"names": ["m1", "m2"]},
        "values": {"size": 2, "color": "red"},
        "targetNamespace": "shop",
        "createNamespace": True,
        "timeout": "60s",
        "overrides": [],
    }


def test_who_installs_hears_of_changes(host: Host, capsys: Captured) -> None:
    host.pending = 2
    assert main([*INSTALL]) == 0
    assert len([path for path, _ in host.asked if "watch=1" in path]) == 1
    assert "Deployed" in capsys.readouterr().out


def test_what_was_made_is_not_made_again_where_its_state_is_not_plain(host: Host, capsys: Captured) -> None:
    host.breaks_off = True
    assert main([*INSTALL]) == 0
    assert len(host.posted) == 1
    said = capsys.readouterr()
    assert "Deployed" in said.out
    assert "Warning: it is late" in said.err


def test_a_release_that_is_refused_is_told_by_who_can(host: Host, capsys: Captured) -> None:
    host.post_status = 409
    assert main([*INSTALL]) == 1
    assert capsys.readouterr().err == "error: no web here\n"
    assert len(host.posted) == 2, "nothing was made, so it may be asked again"


@pytest.mark.parametrize(("status", "said"), [(0, "look whether it was done"), (504, "no web here")])
def test_what_may_have_been_made_is_not_made_again(status: int, said: str, host: Host, capsys: Captured) -> None:
    host.post_status = status
    assert main([*INSTALL]) == 1
    assert said in capsys.readouterr().err
    assert len(host.posted) == 1


def test_warnings_of_what_was_made_are_shown(host: Host, capsys: Captured) -> None:
    host.post_heads = {"Warning": '299 - "values: password is plain"'}
    assert main([*INSTALL, "--wait", "0s"]) == 0
    assert "Warning: values: password is plain\n" in capsys.readouterr().err
    assert len(host.posted) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--on-failure", "x"], "--on-failure x: use keep or rollback"),
        (["-o", "name"], "-o name: use one of wide, json, yaml"),
        (["--wait", "soon"], "'soon' is not a duration"),
        (["--set", "a"], "a key has no value"),
        (["-f", "/nowhere"], "-f /nowhere: No such file or directory"),
        (["--version", "9"], "app skerry-apps/web has no version 9; there are 1.0.0"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrong_words_make_nothing(more: list[str], said: str, host: Host, capsys: Captured) -> None:
    assert main([*INSTALL, *more]) == 2
    assert said in capsys.readouterr().err
    assert main(["-v", *INSTALL, *more]) == 2
    assert said in capsys.readouterr().err
    assert host.posted == []


def test_an_app_that_is_not_there_and_a_host_without_helm(
    host: Host, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["app", "install", "web", "other", "--cluster", "m1"]) == 2
    assert "there is no app other" in capsys.readouterr().err
    missing = {"type": "HelmReady", "status": "False", "message": "no helm 4 on PATH"}
    monkeypatch.setitem(STORE["status"], "conditions", [missing])
    assert main([*INSTALL]) == 4
    assert "the host can install nothing: no helm 4 on PATH" in capsys.readouterr().err
    assert host.posted == []


def test_a_release_that_failed_ends_with_what_that_means(
    host: Host, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INSTANCE["status"], "phase", "Failed")
    assert main(["app", "status", "web"]) == 1
    assert "m1 is Failed" in capsys.readouterr().err
    assert len(host.asked) == 2


def test_an_error_of_the_host_is_told_by_who_can(host: Host, capsys: Captured) -> None:
    host.status = 404
    assert main(["app", "status", "web"]) == 1
    assert capsys.readouterr().err == "error: no web here\n"


@pytest.mark.parametrize(
    "heads",
    [
        {"Warning": '299 - "mind the gap"'},
        {"Content-Length": ""},
        {"Content-Length": "x"},
        {"X": "y" * 99_000},
        {"Content-Length": "99999"},
    ],
    ids=["a warning", "no length", "no number", "a long head", "cut off"],
)
def test_an_answer_that_is_not_plain_is_not_taken(heads: dict[str, str], host: Host, tmp_path: Path) -> None:
    host.heads, host.closes = heads, True
    with pytest.raises(NotQuick), asking.Quick(asking.credential("", "")) as api:
        api.get("/x")


def test_a_host_that_is_another_is_told_nothing(host: Host, tmp_path: Path) -> None:
    other = base64.b64encode(x509.create_ca("other").certificate).decode()
    change(tmp_path, cluster={"certificate-authority-data": other})
    with pytest.raises(NotQuick):
        asking.Quick(asking.credential("", ""))
    assert host.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": {"insecure-skip-tls-verify": True}},
        {"cluster": {"tls-server-name": "m1.x"}},
        {"cluster": {"certificate-authority": "/etc/ca"}},
        {"cluster": {"certificate-authority-data": "é"}},
        {"cluster": {"server": "http://127.0.0.1:1"}},
        {"cluster": {"server": "https://127.0.0.1"}},
        {"cluster": {"server": "https://me@127.0.0.1:1"}},
        {"cluster": {"server": 7}},
        {"user": {"token": ""}},
        {"user": {"token": "a\r\nHost: b"}},
        {"user": {"token": "é"}},
        {"user": {"token": "a", "as": "b"}},
        {"user": {"tokenFile": "/t"}},
        {"user": {"exec": {"command": "aws", "args": ["eks"]}}},
        {"user": {"exec": {}}},
        {"user": None},
    ],
    ids=str,
)
def test_a_kubeconfig_that_is_not_plain_is_left_to_others(changes: dict[str, Any], host: Host, tmp_path: Path) -> None:
    asking.credential("", "")
    change(tmp_path, **changes)
    with pytest.raises(NotQuick):
        asking.credential("", "")


@pytest.mark.parametrize(
    "content", ["apiVersion: v1", "[]", "[" * 100_000, "{}", "\xff"], ids=["yaml", "list", "deep", "empty", "bytes"]
)
def test_a_file_that_is_no_kubeconfig_of_ours_is_left_to_others(content: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_text(content, encoding="latin-1")
    with pytest.raises(NotQuick):
        asking.credential(str(tmp_path / "k"), "")


def test_a_context_is_looked_for_in_the_file_of_the_user(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = tmp_path / "state" / "host" / "admin.kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(admin))
    assert asking.credential("", "skerry").token == "secret"
    monkeypatch.setenv("KUBECONFIG", f"{admin}:{admin}")
    with pytest.raises(NotQuick):
        asking.credential("", "skerry")


def test_a_login_at_hand_is_enough(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    who = parameters("https://login.example", "skerry")
    change(tmp_path, user={"exec": {"command": "skerry", "args": who.arguments()}})
    with pytest.raises(NotQuick):
        asking.credential("", "")
    cache = LoginCache(directory(), who.digest)
    cache.write(StoredLogin(id_token="mine", expires=time.time() + 600))
    assert asking.credential("", "").token == "mine"


def test_the_host_of_a_members_context_is_asked() -> None:
    credential = asking.Credential("https://h.example:8443/below/clusters/m1", "", "t")
    assert (credential.host, credential.port, credential.prefix) == ("h.example", 8443, "/below")


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"SKERRY_STATE": "/s"}, "/s"),
        ({"XDG_STATE_HOME": "/x"}, "/x/skerry"),
        ({}, "/var/lib/skerry" if os.geteuid() == 0 else "/home/ann/.local/state/skerry"),
    ],
    ids=["named", "XDG", "default"],
)
def test_the_state_is_where_other_commands_look_for_it(
    environ: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SKERRY_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert (
        asking.admin() == str(state.directory(None) / "host" / "admin.kubeconfig") == f"{place}/host/admin.kubeconfig"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["app"],
        ["app", "status"],
        ["app", "status", "a", "b"],
        ["app", "status", "a", "--watch"],
        ["app", "status", "a", "-o"],
        ["app", "status", "a", "-o", "-w"],
        ["app", "status", "a", "--output"],
        ["app", "status", "a", "--output="],
        ["app", "status", "--", "a"],
        ["app", "status", "--help"],
        ["app", "list", "-Ao", "json"],
        ["app", "install", "a"],
        ["app", "install", "a", "b", "-f", "-"],
        ["app", "install", "a", "b", "--dry-run"],
        ["app", "install", "a", "b", "-l", "x=y"],
        ["app", "install", "a", "b", "--set-secret", "a=@f"],
        ["app", "install", "a", "b", "--set-file", "a=-"],
    ],
    ids=" ".join,
)
def test_other_words_are_left_to_the_tree(words: list[str], host: Host) -> None:
    assert not quick.done(words)
    assert host.asked == []


def test_the_shell_that_completes_is_left_to_the_tree(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SKERRY_COMPLETE", "complete_bash")
    assert not quick.done(["app", "list"])


@pytest.mark.parametrize("words", quick.COMMANDS, ids=" ".join)
def test_a_command_is_as_in_the_tree(words: tuple[str, str]) -> None:
    command = quick.COMMANDS[words]
    group: Any = typer.main.get_group(app.tree(words[0])).commands[words[0]]
    parameters = group.commands[words[1]].params
    assert tuple(each.name for each in parameters if each.param_type_name == "argument") == command.arguments
    options = {opt: each for each in parameters if each.param_type_name == "option" for opt in each.opts}
    for option, name in (command.options | command.flags | command.lists).items():
        assert (options[option].name, options[option].is_flag, options[option].multiple) == (
            name,
            option in command.flags,
            option in command.lists,
        )
