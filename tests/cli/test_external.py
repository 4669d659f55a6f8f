"""A nats-server that somebody else runs: what it is told, what is refused, and a host on it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skerry.cli import external
from skerry.cli.failure import Failure
from skerry.cli.layout import endpoint
from skerry.cli.plan import UpOptions
from skerry.identity import natsconf
from tests.cli.test_up import DEADLINE_S, Host

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@contextmanager
def _server(directory: Path, configuration: str) -> Iterator[None]:
    conf = directory / "nats.conf"
    conf.write_text(f'{configuration}\nports_file_dir: "{directory}"\n')
    command = [str(natsconf.server_binary()), "-c", str(conf)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not list(directory.glob("*.ports")):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture
def bus() -> str:
    return str(endpoint("127.0.0.1:0", "--bus"))


def test_a_host_runs_on_an_external_server(tmp_path: Path, bus: str) -> None:
    host, keys = Host(tmp_path), tmp_path / "keys"
    configuration = host.ok("nats-config", "--nats-keys", str(keys), "--bus", bus)
    with _server(tmp_path, configuration):
        done = host.up("--nats", f"tls://{bus}", "--nats-keys", str(keys))
        try:
            assert done.returncode == 0, done.stderr
            assert [p["name"] for p in host.status()["processes"]] == ["controller-manager", "tower"]
            assert "host" in host.ok("clusters")
        finally:
            host.ok("down")


def test_a_server_that_trusts_another_operator_is_refused(tmp_path: Path, bus: str) -> None:
    others, ours = tmp_path / "others", tmp_path / "ours"
    configuration = external.configuration(others, [], bus, make=True)
    external.configuration(ours, [], bus, make=True)
    (ours / "ca.crt").write_bytes((others / "ca.crt").read_bytes())
    with _server(tmp_path, configuration), pytest.raises(Failure, match="does not trust the operator"):
        external.check(UpOptions(nats=f"tls://{bus}", nats_keys=str(ours)))


def test_a_server_without_the_full_resolver_is_refused_naming_it(tmp_path: Path, bus: str) -> None:
    keys = tmp_path / "keys"
    text = external.configuration(keys, [], bus, make=True)
    start = text.index("resolver {")
    without = text[:start] + "resolver: MEMORY\n" + text[text.index("}", start) + 1 :]
    with _server(tmp_path, without), pytest.raises(Failure, match="the full resolver"):
        external.check(UpOptions(nats=f"tls://{bus}", nats_keys=str(keys)))


def test_a_server_that_syncs_late_is_refused_naming_the_setting(tmp_path: Path, bus: str) -> None:
    keys = tmp_path / "keys"
    text = external.configuration(keys, [], bus, make=True).replace("sync_interval: always", 'sync_interval: "2m"')
    with _server(tmp_path, text), pytest.raises(Failure, match="sync_interval: always"):
        external.check(UpOptions(nats=f"tls://{bus}", nats_keys=str(keys)))


def test_a_server_whose_lines_are_too_short_is_refused_naming_the_setting(tmp_path: Path, bus: str) -> None:
    keys = tmp_path / "keys"
    text = external.configuration(keys, [], bus, make=True)
    text = text.replace(f"max_control_line: {natsconf.MAX_CONTROL_LINE}", "max_control_line: 4096")
    with _server(tmp_path, text), pytest.raises(Failure, match=f"max_control_line: {natsconf.MAX_CONTROL_LINE}"):
        external.check(UpOptions(nats=f"tls://{bus}", nats_keys=str(keys)))


def test_a_server_that_is_not_there_is_named(tmp_path: Path, bus: str) -> None:
    external.configuration(tmp_path / "keys", [], bus, make=True)
    with pytest.raises(Failure, match=f"tls://{bus} cannot be reached"):
        external.check(UpOptions(nats=f"tls://{bus}", nats_keys=str(tmp_path / "keys")))


def test_without_keys_nothing_is_printed(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="holds no keys"):
        external.configuration(tmp_path / "none", [], "127.0.0.1:4222", make=False)
