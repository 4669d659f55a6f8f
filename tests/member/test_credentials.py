"""Where the agent's own credential comes from: files that change, plugins that run once, nothing that is printed."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.member.credentials import ClientCredential, CredentialError, Fixed, Plugin, TokenFile, source
from skerry.member.kubeconfig import ExecSpec, Target

NOW = 1_800_000_000.0


class Clock:
    """A clock that the test moves."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def plugin(directory: Path, answer: Any, *, code: int = 0, clock: Clock | None = None) -> Plugin:
    """A plugin that prints `answer`, and appends a line to `runs` and its KUBERNETES_EXEC_INFO to `info`."""
    script = directory / "plugin.py"
    text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
    script.write_text(
        "import os, sys\n"
        f"d = {str(directory)!r}\n"
        "open(d + '/runs', 'a').write('x')\n"
        "open(d + '/info', 'w').write(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "n = len(open(d + '/runs').read())\n"
        f"sys.stdout.write({text!r}.replace('#', str(n)))\n"
        f"sys.exit({code})\n"
    )
    spec = ExecSpec(command=sys.executable, args=(str(script),), provide_cluster_info=True, install_hint="get it")
    target = Target(scheme="https", host="api", port=443, exec=spec)
    return Plugin(spec, target, clock or Clock(NOW))


def runs(directory: Path) -> int:
    return len((directory / "runs").read_text())


def credential(**status: Any) -> dict[str, Any]:
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}


async def test_a_plugin_runs_once_until_its_answer_expires(tmp_path: Path) -> None:
    clock = Clock(NOW)
    ends = datetime.fromtimestamp(NOW + 60, UTC).isoformat()
    made = plugin(tmp_path, credential(token="t#", expirationTimestamp=ends), clock=clock)
    first = await asyncio.gather(*(made.get() for _ in range(8)))
    assert {each.authorization for each in first} == {b"Bearer t1"}
    clock.now += 61
    assert (await made.get()).authorization == b"Bearer t2"
    assert runs(tmp_path) == 2


async def test_after_a_refusal_a_plugin_runs_once_for_all_who_were_refused(tmp_path: Path) -> None:
    made = plugin(tmp_path, credential(token="t#"))
    refused = await made.get()
    renewed = await asyncio.gather(*(made.renew(refused) for _ in range(5)))
    assert {each.authorization for each in renewed if each} == {b"Bearer t2"}
    assert runs(tmp_path) == 2


async def test_a_plugin_that_gives_the_same_again_has_nothing_newer(tmp_path: Path) -> None:
    made = plugin(tmp_path, credential(token="same"))
    assert await made.renew(await made.get()) is None


async def test_a_plugin_gets_the_cluster_it_is_for(tmp_path: Path) -> None:
    await plugin(tmp_path, credential(token="t")).get()
    info = msgspec.json.decode((tmp_path / "info").read_bytes())
    assert info["spec"]["cluster"]["server"] == "https://api:443"
    assert info["spec"]["interactive"] is False


async def test_a_plugin_may_give_a_client_certificate(tmp_path: Path) -> None:
    found = await plugin(tmp_path, credential(clientCertificateData="C", clientKeyData="K")).get()
    assert (found.authorization, found.certificate, found.key) == (b"", b"C", b"K")


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ("not json", 0, "did not print an ExecCredential"),
        ({"kind": "Other"}, 0, "printed no ExecCredential"),
        (credential(), 0, "neither a token nor"),
        (credential(token="t"), 3, "ended with code 3"),
        (credential(token="a\r\nb: c"), 0, "characters that a header cannot carry"),
    ],
)
async def test_a_plugin_that_fails_is_named(tmp_path: Path, answer: Any, code: int, says: str) -> None:
    with pytest.raises(CredentialError, match=says):
        await plugin(tmp_path, answer, code=code).get()


async def test_a_failing_plugin_is_not_run_for_every_request(tmp_path: Path) -> None:
    clock = Clock(NOW)
    made = plugin(tmp_path, "no", clock=clock)
    for _ in range(3):
        with pytest.raises(CredentialError):
            await made.get()
    assert runs(tmp_path) == 1
    clock.now += 6
    with pytest.raises(CredentialError):
        await made.get()
    assert runs(tmp_path) == 2


async def test_a_missing_plugin_is_named_with_its_hint() -> None:
    spec = ExecSpec(command="no-such-plugin", install_hint="install it so")
    with pytest.raises(CredentialError, match=r"no-such-plugin.*install it so"):
        await Plugin(spec, Target(scheme="https", host="h", port=1)).get()


async def test_a_token_file_is_read_again_each_minute(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "token"
    path.write_text("one\n")
    made = TokenFile(path, b"", b"", clock)
    assert (await made.get()).authorization == b"Bearer one"
    path.write_text("two")
    assert (await made.get()).authorization == b"Bearer one"
    clock.now += 60
    assert (await made.get()).authorization == b"Bearer two"


async def test_a_refused_token_is_read_again_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    made = TokenFile(path, b"", b"", Clock())
    refused = await made.get()
    assert await made.renew(refused) is None
    path.write_text("two")
    renewed = await made.renew(refused)
    assert renewed is not None
    assert renewed.authorization == b"Bearer two"


async def test_a_token_file_that_vanishes_keeps_the_last_token(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "token"
    path.write_text("one")
    made = TokenFile(path, b"", b"", clock)
    await made.get()
    path.unlink()
    clock.now += 61
    assert (await made.get()).authorization == b"Bearer one"


@pytest.mark.parametrize("written", ["", "  \n", "half a\ntoken", "\x00"])
async def test_a_token_file_that_is_being_written_keeps_the_last_token(tmp_path: Path, written: str) -> None:
    clock, path = Clock(), tmp_path / "token"
    path.write_text("one")
    made = TokenFile(path, b"", b"", clock)
    await made.get()
    path.write_text(written)
    clock.now += 61
    assert (await made.get()).authorization == b"Bearer one"
    path.write_text("two")
    clock.now += 61
    assert (await made.get()).authorization == b"Bearer two"


async def test_a_token_file_that_never_was_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="absent"):
        await TokenFile(tmp_path / "absent", b"", b"", Clock()).get()


def test_the_source_follows_the_kubeconfig() -> None:
    base = Target(scheme="https", host="h", port=1)
    assert isinstance(source(msgspec.structs.replace(base, token="t")), Fixed)
    assert isinstance(source(msgspec.structs.replace(base, token_file="/t")), TokenFile)
    assert isinstance(source(msgspec.structs.replace(base, exec=ExecSpec(command="x"))), Plugin)


def test_a_credential_does_not_print_itself() -> None:
    assert "secret" not in repr(ClientCredential(authorization=b"Bearer secret", key=b"secret"))
