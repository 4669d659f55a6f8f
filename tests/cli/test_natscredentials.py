"""skerry nats-credential: what is sent, said and saved; a stand-in for the host's front door answers."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.__main__ import main
from skerry.cli.api import path_of
from skerry.cli.commands import natscredentials

Captured = pytest.CaptureFixture[str]
STATUS = {
    "creds": "-----BEGIN NATS USER JWT-----\nx\n",
    "servers": ["tls://a.example.org:4222", "tls://b.example.org:4222"],
    "ca": "-----BEGIN CERTIFICATE-----\ny\n-----END CERTIFICATE-----\n",
    "inboxPrefix": "_INBOX.UABC",
    "expires": "2026-11-28T12:00:00Z",
}


class Host:
    """Notes what is made and deleted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.status: dict[str, Any] = STATUS

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == path_of("inspectioncredentials")
        self.posted.append(body)
        return {**body, "metadata": {"name": "inspection-1"}, "status": self.status}

    def delete(self, path: str) -> None:
        self.deleted.append(path)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(natscredentials, "connect", lambda kubeconfig, context: made)
    return made


@pytest.fixture(autouse=True)
def contexts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the tool keeps contexts."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "nats"


def test_the_secret_alone_is_the_result_and_the_context_a_hint(host: Host, contexts: Path, capsys: Captured) -> None:
    assert main(["nats-credential", "create", "--ttl", "1h"]) == 0
    said = capsys.readouterr()
    assert said.out == STATUS["creds"]
    assert host.posted[0]["spec"] == {"ttl": "1h"}
    assert "--server tls://a.example.org:4222,tls://b.example.org:4222" in said.err
    assert "--inbox-prefix _INBOX.UABC" in said.err
    assert "BEGIN CERTIFICATE" in said.err
    assert "nats-credential revoke inspection-1" in said.err
    assert str(STATUS["creds"]) not in said.err
    assert not contexts.exists()


def test_a_saved_context_is_whole_private_and_shows_no_secret(host: Host, contexts: Path, capsys: Captured) -> None:
    assert main(["nats-credential", "create", "--save", "skerry"]) == 0
    said = capsys.readouterr()
    assert (said.out, str(STATUS["creds"]) in said.err) == ("", False)
    files = {str(path.relative_to(contexts)): path for path in contexts.rglob("*") if path.is_file()}
    assert set(files) == {"context/skerry.json", "skerry/skerry.creds", "skerry/skerry.crt"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    document = json.loads(files["context/skerry.json"].read_text())
    assert Path(document["creds"]).read_text() == STATUS["creds"]
    assert Path(document["ca"]).read_text() == STATUS["ca"]
    assert (document["url"], document["inbox_prefix"]) == (",".join(STATUS["servers"]), "_INBOX.UABC")
    assert main(["nats-credential", "create", "--save", "skerry"]) == 0


@pytest.mark.parametrize("content", [b'{"description": "mine"}', b"[]", b"\xff"], ids=["another", "a list", "rubbish"])
def test_a_context_that_is_not_ours_stays_and_nothing_is_made(
    content: bytes, host: Host, contexts: Path, capsys: Captured
) -> None:
    path = contexts / "context" / "mine.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert main(["nats-credential", "create", "--save", "mine"]) == 1
    assert "did not make" in capsys.readouterr().err
    assert (path.read_bytes(), host.posted) == (content, [])


@pytest.mark.parametrize("words", [["--save", "../x"], ["--save", "a/b"], ["--save", ".x"], ["--ttl", "soon"]])
def test_what_cannot_be_meant_is_a_usage_error(words: list[str], host: Host) -> None:
    assert main(["nats-credential", "create", *words]) == 2
    assert host.posted == []


def test_a_host_that_shows_no_secret_is_told(host: Host, capsys: Captured) -> None:
    host.status = {}
    assert main(["nats-credential", "create"]) == 1
    assert "did not show it" in capsys.readouterr().err


def test_revoking_deletes_it(host: Host, capsys: Captured) -> None:
    assert main(["nats-credential", "revoke", "inspection-1"]) == 0
    assert host.deleted == [path_of("inspectioncredentials", "inspection-1")]
    assert "inspection-1 revoked" in capsys.readouterr().err
