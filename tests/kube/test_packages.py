"""System packages are installed for root only, after the line that says so, and not where that is forbidden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import prepare
from tests.kube import packages
from tests.kube.packages import PackagesMissing, ensure
from tests.kube.provider import Unavailable

PROGRAM = "skerry-test-program"
LINE = "installing system packages (SKERRY_TEST_INSTALL=0 forbids it): one-package"


class Apt:
    """An apt-get that is found first, and what it was asked for; `install` brings the program that is missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._asked = directory / "asked"

    def write(self, more: str = "") -> None:
        """Put it there; `more` is shell that it runs last."""
        path = self.directory / "apt-get"
        program = self.directory / PROGRAM
        bring = f'case " $* " in *" install "*) printf "#!/bin/sh\\n" > {program}; chmod 755 {program};; esac'
        path.write_text(f'#!/bin/sh\necho "$@" >> {self._asked}\n{more or bring}\n')
        path.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        """One line for each call."""
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    """A machine of root's on which one program is missing."""
    monkeypatch.setattr(packages, "_PROGRAMS", {PROGRAM: "one-package"})
    monkeypatch.setattr(packages, "_OTHER_TIERS", {})
    monkeypatch.setattr(packages, "_SEARCH", str(tmp_path))
    monkeypatch.setattr(packages, "cni_directory", lambda: tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("SKERRY_TEST_INSTALL", "SKERRY_TEST_KUBE_REQUIRED"):
        monkeypatch.delenv(name, raising=False)
    made = Apt(tmp_path)
    made.write()
    return made


def test_root_is_told_what_is_installed_and_how_to_forbid_it_before_anything_is(apt: Apt) -> None:
    said: list[str] = []

    def say(line: str) -> None:
        assert apt.asked == []
        said.append(line)

    ensure(say)
    assert said == [LINE]
    assert apt.asked == ["-q update", "-q install -y --no-install-recommends --no-remove one-package"]
    ensure(say=lambda line: pytest.fail(f"said {line!r}, but nothing is missing"))
    assert len(apt.asked) == 2


def test_where_it_is_forbidden_nothing_is_run_and_the_line_to_type_is_told(apt: Apt) -> None:
    with pytest.raises(PackagesMissing, match=r"SKERRY_TEST_INSTALL=0: sudo apt-get install -y .* one-package"):
        ensure(lambda line: pytest.fail(line), {"SKERRY_TEST_INSTALL": "0"})
    assert apt.asked == []


def test_who_is_not_root_installs_nothing(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PackagesMissing, match="only root can install them: sudo apt-get install"):
        ensure(lambda line: pytest.fail(line))
    assert apt.asked == []


def test_where_there_is_no_apt_the_reason_is_told(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt.directory / "apt-get").unlink()
    monkeypatch.setenv("PATH", str(apt.directory))
    with pytest.raises(PackagesMissing, match="there is no apt here"):
        ensure(lambda line: pytest.fail(line))


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("echo no such package >&2; exit 100", "apt-get update failed: no such package"),
        ("true", "still missing after the installation: one-package"),
    ],
)
def test_an_installation_that_does_not_work_says_how(apt: Apt, does: str, told: str) -> None:
    apt.write(does)
    with pytest.raises(PackagesMissing, match=told):
        ensure(lambda line: None)


def test_what_make_test_runs_first_says_the_line_first(
    apt: Apt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(say: object) -> None:
        raise Unavailable("no provider")

    monkeypatch.setattr(prepare, "choose", none)
    assert prepare.main() == 0
    assert capsys.readouterr().out.splitlines() == [LINE, "some tiers will be skipped: no provider"]
    assert len(apt.asked) == 2


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_where_it_is_forbidden_tiers_are_skipped_unless_they_are_required(
    apt: Apt, required: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKERRY_TEST_KUBE_REQUIRED", required)
    monkeypatch.setattr(prepare, "ensure", lambda say: ensure(say, {"SKERRY_TEST_INSTALL": "0"}))
    assert prepare.main() == code
    assert capsys.readouterr().out.startswith("some tiers will be skipped: system packages are missing")
    assert apt.asked == []
