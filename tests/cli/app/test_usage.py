"""Commands of the App Store that are wrong by their words alone: exit code 2 and one line, before any host is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli.__main__ import main


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["status", "no-such", "-o", "name"], "-o name: use one of wide, json, yaml"),
        (["rollback", "no-such", "-o", "xml"], "-o xml"),
        (["rollback", "no-such", "one"], "'one' is not a valid"),
        (["diff", "no-such", "--all", "--cluster", "m1"], "exclude each other"),
        (["install", "web", "web", "--cluster", "m1", "-l", "a=b"], "say where"),
        (["install", "web", "web", "--cluster", "m1", "--on-failure", "stop"], "use keep or rollback"),
        (["install", "web", "web", "--cluster", "m1", "--timeout", "soon"], "is not a duration"),
        (["install", "web", "web", "-l", "a<b"], "is no selector of labels"),
        (["install", "web", "web", "--cluster", "m1", "--values-for", "m1"], "--values-for CLUSTER=FILE"),
        (["show", "no-such", "--readme", "--values"], "use one of --versions"),
        (["repo", "add", "x", "https://c.example", "--cert-file", "/x"], "belong together"),
        (["push", "/etc/passwd"], "helm package makes one"),
        (["diff", "web", "-o", "json"], "No such option"),
        (
            ["repo", "add", "x", "https://c.example", "--token-file", "/x", "--username", "u", "--password-file", "/x"],
            "instead of",
        ),
        (
            ["repo", "add", "x", "https://c.example", "--password-file", "/nowhere", "--username", "u"],
            "/nowhere: No such file",
        ),
        (["repo", "add", "x", "https://c.example", "--keep", "many"], "'many' is not a valid"),
        (["repo", "list", "-w", "shop", "--global"], "exclude each other"),
        (["install", "web"], "Missing argument 'APP'"),
        (["install", "web", "web", "--cluster", "m1", "--set-secret", "a=@/nowhere"], "/nowhere: No such file"),
        (["upgrade", "web", "--set", "a[x]=1"], "is no place in a list"),
        (["uninstall", "web", "--wait", "-1s"], "is not a duration"),
        (["review", "list", "-o", "xml"], "-o xml"),
        (["review", "list", "-w", "shop", "--global"], "exclude each other"),
        (["repo", "list", "-o", "xml"], "-o xml"),
        (["list", "-o", "xml"], "-o xml"),
        (["search", "web", "-o", "xml"], "-o xml"),
        (["store", "-o", "xml"], "-o xml"),
        (["shop"], "No such command 'shop'"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_words_that_say_nothing_are_told_in_one_line(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(tmp_path / "none"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["app", *words]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert text in said.err
