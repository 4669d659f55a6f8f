"""skerry audit verify and export: what of a log is found whole, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from skerry.audit.export import ExportedBatch, ExportHead
from skerry.audit.verify import StoredBatch
from skerry.cli.__main__ import main
from skerry.cli.commands.audit import verifying
from tests.audit.logs import ROOT, interleaved, whole

Captured = pytest.CaptureFixture[str]


def exported(*batches: StoredBatch, first: int = 1) -> list[bytes]:
    """As the front door tells them."""
    head = ExportHead(host="u", roots=(ROOT.public,), first=first, last=len(batches), at="now")
    return [msgspec.json.encode(each) + b"\n" for each in (head, *map(ExportedBatch.of, batches))]


class Host:
    """Answers with these lines."""

    def __init__(self) -> None:
        self.answer = exported(*interleaved(whole(3, "P1"), whole(2, "P2")))
        self.asked: list[str] = []

    def lines(self, path: str) -> Iterator[bytes]:
        self.asked.append(path)
        yield from self.answer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(verifying, "connect", lambda kubeconfig, context: made)
    return made


def test_a_whole_log_is_told_writer_by_writer(host: Host, capsys: Captured) -> None:
    assert main(["audit", "verify"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [list(verifying.HEAD), ["P1", "1", "8", "8", "0", "ok"], ["P2", "1", "6", "6", "0", "ok"]]
    assert host.asked == ["/audit/batches"]


def test_a_log_that_was_tampered_with_is_named_and_the_code_is_1(host: Host, capsys: Captured) -> None:
    batches = list(whole(3).batches)
    host.answer = exported(batches[0], *batches[2:])
    assert main(["audit", "verify", "-o", "json"]) == 1
    said = capsys.readouterr()
    (report,) = json.loads(said.out)
    assert report["state"] == "broken at 2: 2 records are missing"
    assert "P1" in said.err


def test_an_export_is_verified_where_there_is_no_host(host: Host, tmp_path: Path, capsys: Captured) -> None:
    target = tmp_path / "audit.jsonl"
    assert main(["audit", "export", "-o", str(target)]) == 0
    assert "13 batches" not in (said := capsys.readouterr()).out
    assert "verify --file" in said.err
    assert target.read_bytes() == b"".join(host.answer)
    host.answer = []
    assert main(["audit", "verify", "--file", str(target)]) == 0
    assert main(["audit", "verify", "--file", str(target), "--root", "ABC"]) == 1
    assert "broken at 1" in capsys.readouterr().out


def test_an_anchor_tells_a_log_that_was_cut_or_taken_away(host: Host, tmp_path: Path, capsys: Captured) -> None:
    target = tmp_path / "anchor.json"
    assert main(["audit", "anchor", "-o", str(target)]) == 0
    assert "verify --anchor" in capsys.readouterr().err
    assert main(["audit", "verify", "--anchor", str(target)]) == 0
    cut, gone = whole(3, "P1").batches[:-2], whole(2, "P9")
    host.answer = exported(*cut, *gone.batches)
    assert main(["audit", "verify", "--anchor", str(target)]) == 1
    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if line.startswith("P"))
    assert rows["P1"].split("   ")[-1] == "behind anchor: it had 8 records, and has 5"
    assert rows["P2"].split("   ")[-1] == "behind anchor: it had 6 records, and is not there"
    assert rows["P9"].endswith("ok")


def test_an_anchor_goes_to_stdout_and_is_made_of_what_is_whole_alone(host: Host, capsys: Captured) -> None:
    assert main(["audit", "anchor"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert (read["kind"], [each["last"] for each in read["heads"]]) == ("AuditAnchor", [8, 6])
    batches = list(whole(3).batches)
    host.answer = exported(batches[0], *batches[2:])
    assert main(["audit", "anchor"]) == 1
    assert "nothing to anchor" in capsys.readouterr().err


def test_an_anchor_is_of_one_host(host: Host, tmp_path: Path, capsys: Captured) -> None:
    target = tmp_path / "anchor.json"
    assert main(["audit", "anchor", "-o", str(target)]) == 0
    target.write_text(target.read_text().replace('"host": "u"', '"host": "other"'))
    assert main(["audit", "verify", "--anchor", str(target)]) == 1
    assert "of host other" in capsys.readouterr().err
    for words, text in (
        (["--anchor", "nowhere"], "cannot be read"),
        (["--anchor", str(target), "--since", "1h"], "--since"),
    ):
        assert main(["audit", "verify", *words]) != 0
        assert text in capsys.readouterr().err
    target.write_text("{}")
    assert main(["audit", "verify", "--anchor", str(target)]) == 1
    assert "no anchor" in capsys.readouterr().err


def test_an_export_goes_to_stdout(host: Host, capsys: Captured) -> None:
    assert main(["audit", "export", "--since", "2026-11-28T08:00:00Z"]) == 0
    assert capsys.readouterr().out.encode() == b"".join(host.answer)
    assert host.asked == ["/audit/batches?since=2026-11-28T08%3A00%3A00.000000Z"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--file", "nowhere.jsonl"], 1, "cannot be read"),
        (["--file", "x", "--since", "1h"], 2, "--since"),
        (["-o", "yaml"], 2, "use json"),
    ],
    ids=str,
)
def test_what_cannot_be_verified_is_told(words: list[str], code: int, text: str, host: Host, capsys: Captured) -> None:
    assert main(["audit", "verify", *words]) == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("lines", [[], [b"nonsense\n"], [exported()[0], b"{}\n"]], ids=len)
def test_what_is_no_export_is_told(lines: list[bytes], host: Host, capsys: Captured) -> None:
    host.answer = lines
    assert main(["audit", "verify"]) == 1
    assert "no export" in capsys.readouterr().err


def test_nothing_is_whole_too(host: Host, capsys: Captured) -> None:
    host.answer = exported()
    assert main(["audit", "verify"]) == 0
    assert "no records" in capsys.readouterr().err
