"""Locks and files of a supervised directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skerry.cli import plan


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    number = plan.lock(tmp_path / "lock")
    with pytest.raises(plan.Locked):
        plan.lock(tmp_path / "lock")
    os.close(number)
    os.close(plan.lock(tmp_path / "lock"))


def test_the_holder_is_named_while_it_holds(tmp_path: Path) -> None:
    number = plan.lock(tmp_path / "lock")
    plan.write_pid(number)
    assert plan.locked_by(tmp_path / "lock") == os.getpid()
    os.close(number)
    assert plan.locked_by(tmp_path / "lock") is None


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    code = f"from skerry.cli import plan; from pathlib import Path; plan.write_pid(plan.lock(Path({str(tmp_path / 'lock')!r})))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "lock").read_text()
    assert not plan.is_locked(tmp_path / "lock")


def test_a_lock_that_was_never_made_is_free_and_stays_unmade(tmp_path: Path) -> None:
    assert not plan.is_locked(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_a_plan_survives_the_file(tmp_path: Path) -> None:
    written = plan.Plan(processes=[plan.ChildProcess(name="p", argv=["a"], ready="notify")])
    plan.write_json(tmp_path / "plan.json", written)
    assert plan.read_plan(tmp_path) == written


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    assert plan.read_status(tmp_path) is None
    assert plan.read_plan(tmp_path) is None
