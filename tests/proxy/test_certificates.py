"""The front door's certificates: which is shown to whom, and what new files change."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from services.proxy.settings import ProxySettings
from services.proxy.tls import Certificates
from skerry.httpwire.names import server_name
from skerry.identity.x509 import create_ca, issue_server
from skerry.settings import SettingsError

UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"
CA = create_ca("h")


def _files(directory: Path, prefix: str, *names: str) -> dict[str, Path]:
    pair = issue_server(CA, names)
    paths = {f"{prefix}_cert_file": directory / f"{prefix}.crt", f"{prefix}_key_file": directory / f"{prefix}.key"}
    for path, data in zip(paths.values(), (pair.certificate, pair.key), strict=True):
        path.write_bytes(data)
        soon = time.time() + 10
        os.utime(path, (soon, soon))
    return paths


def _certificates(directory: Path, **files: Any) -> Certificates:
    return Certificates(
        ProxySettings(bus_servers=[], bus_ca_file=directory, bus_credentials_file=directory, host_uid=UID, **files)
    )


def _shown(context: ssl.SSLContext | None) -> bytes:
    """The certificate that a server with this context shows."""
    assert context is not None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ours.getpeercert(binary_form=True) or b""


@pytest.mark.parametrize("name", [server_name("m1", UID), server_name("nobody", UID), f"m1.clusters.{UID[::-1]}"])
def test_members_have_their_own_if_there_is_one(tmp_path: Path, name: str) -> None:
    usual = _files(tmp_path, "tls", "host.example")
    assert _certificates(tmp_path, **usual).by_name(name) is None
    both = _certificates(tmp_path, **usual, **_files(tmp_path, "members", server_name("*", UID)))
    assert (both.by_name(name) is not None) == name.endswith(UID)
    assert both.by_name("host.example") is both.by_name("") is None


def test_names_that_the_other_one_alone_has_are_shown_it_and_those_of_both_the_usual(tmp_path: Path) -> None:
    usual = _files(tmp_path, "tls", "host.example", "skerry")
    inside = _files(tmp_path, "members", server_name("*", UID), "skerry", "skerry.ns.svc", "host.example")
    made = _certificates(tmp_path, **usual, **inside)
    assert made.by_name("SKERRY.ns.svc") is made.by_name(server_name("m1", UID)) is not None
    assert made.by_name("host.example") is made.by_name("skerry") is made.by_name("elsewhere") is None


@pytest.mark.parametrize("which", ["tls", "members"])
def test_new_files_are_taken_and_broken_ones_leave_the_old(tmp_path: Path, which: str) -> None:
    usual, members = _files(tmp_path, "tls", "h"), _files(tmp_path, "members", server_name("*", UID))
    made = _certificates(tmp_path, **usual, **members)

    def shown() -> dict[str, bytes]:
        return {"tls": _shown(made.context), "members": _shown(made.by_name(server_name("m1", UID)))}

    before = shown()
    made.reload()
    assert shown() == before
    _files(tmp_path, which, "other.example")
    made.reload()
    after = shown()
    assert [name for name in before if after[name] != before[name]] == [which]
    (tmp_path / f"{which}.key").write_text("rubbish")
    made.reload()
    assert shown() == after


@pytest.mark.parametrize("prefix", ["tls", "members"])
def test_half_a_pair_is_refused(tmp_path: Path, prefix: str) -> None:
    files = _files(tmp_path, prefix, "h")
    del files[f"{prefix}_key_file"]
    with pytest.raises(SettingsError, match="belong together"):
        _certificates(tmp_path, **files)


def test_without_a_certificate_only_loopback_is_listened_on(tmp_path: Path) -> None:
    assert _certificates(tmp_path).context is None
    with pytest.raises(SettingsError, match="only loopback"):
        _certificates(tmp_path, listen=("0.0.0.0:8443",))
