"""Processes of services as they are started: exit codes, and a leader that was stopped and wakes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import pytest

from skerry import subjects
from skerry.informer import Informer
from skerry.storage import Store
from tests.fixtures.bucket import feeding
from tests.fixtures.nats import NatsHost, eventually
from tests.service.test_minimal import environment, written

pytestmark = pytest.mark.integration

PULSE = '''"""A leader that writes, as fast as it can, who it is."""

import asyncio
import os

from harbour.berth import BERTH
from harbour.rules import BerthRules
from harbour.service import HarbourSettings
from skerry.controller.controller import After
from skerry.service import Service, run


def pulse(context):
    store = context.store(BERTH, leader=True)
    beats = 0

    async def reconcile(name):
        nonlocal beats
        beats += 1
        await store.modify(name, lambda found: {**found, "status": {"state": f"{os.getpid()} {beats}"}})
        return After(0.005)

    controller = context.controller("pulse", reconcile, leader=True)
    controller.add("north")
    return controller


run(Service(name="harbour", settings=HarbourSettings, rules={BERTH: BerthRules}, controllers=(pulse,)))
'''


def ended(code: str, env: dict[str, str]) -> tuple[int, str]:
    """(exit code, last line) of a process that runs `code`."""
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_a_setting_that_two_services_declare_ends_the_process_with_both_names(
    nats_host: NatsHost, tmp_path: Path
) -> None:
    written(tmp_path)
    code = "import dataclasses; from harbour.service import SERVICE; from skerry.service import run\n"
    code += "run(SERVICE, dataclasses.replace(SERVICE, name='port', rules={}))"
    said = "SKERRY_HARBOUR_WORD is declared by harbour and by port"
    exit_code, line = ended(code, environment(nats_host, tmp_path))
    assert exit_code == 2
    assert said in line


def test_an_unknown_setting_ends_the_process_with_its_name(nats_host: NatsHost, tmp_path: Path) -> None:
    written(tmp_path)
    env = environment(nats_host, tmp_path, SKERRY_HARBOR_WORD="full")
    exit_code, line = ended("import harbour.__main__", env)
    assert exit_code == 2
    assert "SKERRY_HARBOR_WORD: no such setting" in line


def test_a_service_that_the_process_does_not_have_is_refused_with_those_it_has(
    nats_host: NatsHost, tmp_path: Path
) -> None:
    written(tmp_path)
    env = environment(nats_host, tmp_path, SKERRY_SERVICES="harbour, port")
    exit_code, line = ended("import harbour.__main__", env)
    assert exit_code == 2
    assert "SKERRY_SERVICES names port: this process has harbour" in line


def test_a_process_runs_the_services_that_are_chosen_and_needs_the_settings_of_these_alone(tmp_path: Path) -> None:
    written(tmp_path)
    code = "import dataclasses; from harbour.service import SERVICE; from skerry.service import run\n"
    code += "run(SERVICE, dataclasses.replace(SERVICE, name='port', rules={}))"  # both declare SKERRY_HARBOUR_WORD
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=30,
        env={"PYTHONPATH": ":".join((str(tmp_path), *sys.path)), "SKERRY_SERVICES": "port"},
    )  # fmt: skip
    assert done.returncode == 0
    assert "SKERRY_HARBOUR_WORD" in done.stdout
    assert "SKERRY_OPS_LISTEN" in done.stdout


def test_help_prints_the_settings_of_all_services(tmp_path: Path) -> None:
    written(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "harbour", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=30,
        env={"PYTHONPATH": ":".join((str(tmp_path), *sys.path))},
    )  # fmt: skip
    assert done.returncode == 0
    assert "SKERRY_HARBOUR_WORD" in done.stdout
    assert "SKERRY_BUS_SERVERS" in done.stdout


@contextlib.asynccontextmanager
async def started(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "harbour.pulse", env=env)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def test_a_leader_that_was_stopped_for_longer_than_its_lease_writes_nothing_when_it_wakes(
    nats_host: NatsHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (written(tmp_path) / "pulse.py").write_text(PULSE)
    monkeypatch.syspath_prepend(tmp_path)
    kind = import_module("harbour.berth").BERTH
    env, writers = environment(nats_host, tmp_path), list[str]()

    def last() -> str:
        return writers[-1] if writers else ""

    await nats_host.make_buckets()
    async with nats_host.open_bus("test") as bus, started(env) as first:
        bucket = await bus.bucket(subjects.RESOURCES)
        async with feeding(Informer((kind,)), bucket) as cache:
            cache.add_event_handler(
                kind, lambda change: writers.append(str(change.new and _writer(change.new.document())))
            )
            await Store(bucket, kind).create({"metadata": {"name": "north"}, "spec": {}})
            await eventually(lambda: last() == str(first.pid), 20)
            async with started(env) as second:
                first.send_signal(signal.SIGSTOP)
                await eventually(lambda: last() == str(second.pid), 20)
                await eventually(lambda: writers[-100:].count(str(second.pid)) == 100, 20)
                woken = len(writers)
                first.send_signal(signal.SIGCONT)
                await eventually(lambda: len(writers) > woken + 500, 20)
    assert set(writers[woken:]) == {str(second.pid)}


def _writer(document: dict[str, dict[str, str]]) -> str:
    return document.get("status", {}).get("state", "").partition(" ")[0]
