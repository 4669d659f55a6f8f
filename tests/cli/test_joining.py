"""skerry join: which options go together. (What it does: tests/deploy/test_agent_install.py, tests/e2e/test_direct.py.)"""

from __future__ import annotations

import pytest

from skerry.cli.__main__ import main


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "which cluster? Say --context NAME"),
        (("--direct", "--read-only"), "with --direct nothing is installed"),
        (("--direct", "--print"), "with --direct nothing is installed"),
        (("--create-service-account",), "go with --direct"),
        (("--take-over",), "go with --direct"),
        (("-o", "yaml"), "use json"),
        (("--replicas", "4"), "4 is not in the range"),
        (("--wait", "soon"), "soon"),
        (("--namespaces", "a,B_"), "namespace 'B_': use a-z"),
        (("-n", "../x"), "namespace '../x': use a-z"),
        (("--direct",), "--kubeconfig FILE is needed"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [["join"], ["cluster", "join"]], ids=["short", "long"])
def test_options_that_do_not_go_together_are_told(
    command: list[str], options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("skerry.cli.commands.joining.connect", lambda file, context: object())
    assert main([*command, "m1", *options]) == 2
    assert says in capsys.readouterr().err
