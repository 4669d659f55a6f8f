"""Kubeconfigs that travel: what a host takes from elsewhere, and what is sent to it."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
import yaml

from skerry.member.kubeconfig import ExecSpec, KubeconfigError, Target, Tls, flattened, standalone

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
INLINE = base64.b64encode(PEM).decode()


def document(user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


def refused(text: str) -> str:
    with pytest.raises(KubeconfigError) as caught:
        standalone(text, "what was sent")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("write", [lambda d: msgspec.json.encode(d).decode(), yaml.safe_dump])
def test_json_and_yaml_are_taken(write: Any) -> None:
    found = standalone(write(document({"token": "abc"}, **{"certificate-authority-data": INLINE})), "what was sent")
    assert (found.url, found.token, found.tls.ca) == ("https://api.example:6443", "abc", PEM)


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"tokenFile": "/etc/passwd"}, {}),
        ({"token": "t", "tokenFile": "../../etc/passwd"}, {}),
        ({"client-certificate": "/c", "client-key": "/k"}, {}),
        ({"client-certificate-data": INLINE, "client-key": "~/.ssh/id_rsa"}, {}),
        ({"token": "t"}, {"certificate-authority": "/etc/shadow"}),
    ],
)
def test_no_file_of_this_machine_is_read(user: dict[str, Any], cluster: dict[str, Any]) -> None:
    assert "names a file" in refused(msgspec.json.encode(document(user, **cluster)).decode())


def test_nothing_is_run() -> None:
    plugin = {"exec": {"command": "/bin/sh", "apiVersion": "client.authentication.k8s.io/v1"}}
    assert "exec plugin" in refused(msgspec.json.encode(document(plugin)).decode())


def test_nothing_is_sent_without_tls() -> None:
    text = msgspec.json.encode(document({"token": "t"}, server="http://127.0.0.1:8001")).decode()
    assert "without TLS" in refused(text)


@pytest.mark.parametrize("text", ["", "[]", "{", "a: [", "null", "!!python/object/apply:os.system ['id']", "\x00"])
def test_rubbish_is_named_and_not_run(text: str) -> None:
    assert "what was sent" in refused(text)


def test_a_document_that_multiplies_itself_costs_nothing() -> None:
    layers = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    assert "no current-context" in refused(f"l0: &l0 [x]\n{layers}\n")


@pytest.mark.parametrize(
    "target",
    [
        Target(scheme="https", host="api.example", port=6443, token="t", tls=Tls(ca=PEM)),
        Target(scheme="https", host="::1", port=443, prefix="/k8s/c1", token="t"),
        Target(scheme="https", host="h", port=1, tls=Tls(certificate=PEM, key=PEM, server_name="kubernetes")),
        Target(scheme="https", host="h", port=1, token="t", tls=Tls(insecure=True)),
    ],
)
def test_what_is_flattened_comes_back_as_it_was(target: Target) -> None:
    found = standalone(flattened(target), "what was sent")
    assert msgspec.structs.replace(found, origin="") == target


def test_what_is_flattened_holds_no_plugin_and_no_file() -> None:
    spec = ExecSpec(command="plugin", env={"SECRET": "s"})
    text = flattened(Target(scheme="https", host="h", port=1, token_file="/t", exec=spec))
    assert "plugin" not in text
    assert "/t" not in text


def test_repr_shows_no_secret() -> None:
    target = Target(scheme="https", host="h", port=1, token="s3cret", tls=Tls(key=b"s3cret"))
    assert "s3cret" not in repr(target)
    assert "s3cret" not in repr(target.tls)
