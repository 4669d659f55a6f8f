"""docs/bus.md by the real `nats` tool, on a host that the command line started: each command of the page, and what it is said to print."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_up import Host

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
PAGE = Path(__file__).parents[2] / "docs" / "bus.md"
DEADLINE_S = 60.0


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page, with the lines that it is said to print among others."""
    page: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                page.append((line.removeprefix("$ "), []))
            else:
                page[-1][1].append(line)
    return page


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, nats_program: Path) -> Iterator[Host]:
    """A host, and a shell's environment in which both programs are found."""
    directory = tmp_path_factory.mktemp("page")
    programs = directory / "bin"
    programs.mkdir()
    (programs / "nats").symlink_to(nats_program)
    one = Host(directory)
    (programs / "skerry").write_text(f'#!/bin/sh\nexec {" ".join(one.command())} "$@"\n')
    (programs / "skerry").chmod(0o755)
    one.env |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(directory / "config"),
        "NO_COLOR": "1",
    }
    try:
        one.started()
        one.env["KUBECONFIG"] = str(one.state / "host" / "admin.kubeconfig")
        yield one
    finally:
        one.run("down")


def shell(host: Host, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], env=host.env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def test_each_command_of_the_page_prints_what_the_page_says(host: Host) -> None:
    writing = threading.Timer(2.0, lambda: shell(host, "skerry token create heard"))
    for command, lines in commands():
        if " sub '$KV" in command:
            writing.start()
        done = shell(host, command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert [line for line in lines if line not in done.stdout] == [], f"{command}\n{done.stdout}"
    writing.join()


def test_a_revoked_credential_shows_nothing_any_more(host: Host) -> None:
    assert shell(host, "skerry nats-credential create --save ended").returncode == 0
    listed = shell(host, "skerry nats-credential list -o json").stdout
    names = re.findall(r'"(inspection-[0-9a-f]{8})"', listed)
    assert shell(host, "nats --context ended micro ping").returncode == 0
    for name in names:
        assert shell(host, f"skerry nats-credential revoke {name}").returncode == 0
    refused = shell(host, "nats --context ended micro ping")
    assert refused.returncode != 0
    assert "authorization violation" in refused.stderr.lower()
