"""Kubeconfigs: which forms work, and that every other one is refused by name with the next step."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from skerry.member.kubeconfig import KubeconfigError, Target, in_cluster, load

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
INLINE = base64.b64encode(PEM).decode()


def written(
    directory: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None, *, as_yaml: bool = False
) -> str:
    """A kubeconfig with one context `one` and this user and cluster."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }
    path = directory / "config"
    path.write_text(yaml.safe_dump(document) if as_yaml else msgspec.json.encode(document).decode())
    return str(path)


def refused(path: str, context: str = "") -> str:
    with pytest.raises(KubeconfigError) as caught:
        load(path, context)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("as_yaml", [False, True])
def test_a_token_and_an_inline_authority(tmp_path: Path, as_yaml: bool) -> None:
    path = written(tmp_path, {"token": "abc"}, {"certificate-authority-data": INLINE}, as_yaml=as_yaml)
    target = load(path)
    assert (target.scheme, target.host, target.port, target.token) == ("https", "api.example", 6443, "abc")
    assert target.tls.ca == PEM
    assert target.url == "https://api.example:6443"


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(PEM)
    (tmp_path / "k.pem").write_bytes(b"key")
    target = load(written(tmp_path, {"client-certificate": "c.pem", "client-key": "k.pem"}))
    assert (target.tls.certificate, target.tls.key) == (PEM, b"key")


def test_inline_data_wins_over_a_file_as_in_client_go(tmp_path: Path) -> None:
    user = {"client-certificate": "absent", "client-certificate-data": INLINE, "client-key-data": INLINE}
    assert load(written(tmp_path, user)).tls.certificate == PEM


def test_a_token_file_wins_over_a_token(tmp_path: Path) -> None:
    target = load(written(tmp_path, {"token": "old", "tokenFile": "t"}))
    assert (target.token, target.token_file) == ("", str(tmp_path / "t"))


def test_tls_options_and_a_path_prefix(tmp_path: Path) -> None:
    options = {"server": "https://[::1]/k8s/c1/", "insecure-skip-tls-verify": True, "tls-server-name": "kube"}
    target = load(written(tmp_path, {"token": "t"}, options))
    assert (target.host, target.port, target.prefix) == ("::1", 443, "/k8s/c1")
    assert target.tls.insecure
    assert target.tls.server_name == "kube"


def test_an_exec_plugin(tmp_path: Path) -> None:
    spec = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./login",
        "args": ["x"],
        "env": [{"name": "A", "value": "b"}],
        "provideClusterInfo": True,
    }
    found = load(written(tmp_path, {"exec": spec})).exec
    assert found is not None
    assert (found.command, found.args, found.env) == (str(tmp_path / "./login"), ("x",), {"A": "b"})


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({"token": "t"}, {"proxy-url": "http://p"}, "proxy-url"),
        ({"token": "t"}, {"server": "http://far.example"}, "without TLS"),
        ({"token": "t"}, {"server": "ftp://far.example"}, "not an https"),
        ({"token": "t"}, {"server": "https://h:port"}, "not a number"),
        ({"token": "t"}, {"certificate-authority": "absent.pem"}, "absent.pem"),
        ({"token": "t"}, {"certificate-authority-data": "*"}, "not base64"),
        ({}, {}, "no credential"),
        ({"auth-provider": {"name": "gcp"}}, {}, "exec plugin instead"),
        ({"username": "u", "password": "p"}, {}, "token instead"),
        ({"token": "t", "as": "root"}, {}, "impersonates"),
        ({"client-certificate-data": INLINE}, {}, "without its key"),
        ({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, {}, "v1alpha1"),
        (
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Always"}},
            {},
            "terminal",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], says: str
) -> None:
    assert says in refused(written(tmp_path, user, cluster))


def test_an_unknown_context_names_those_that_exist(tmp_path: Path) -> None:
    assert "no context 'two'; it has: one" in refused(written(tmp_path, {"token": "t"}), "two")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refused(str(tmp_path / "none"))


def test_a_list_of_files_is_refused_with_the_way_out(tmp_path: Path) -> None:
    assert "--flatten" in refused(f"{tmp_path}/a:{tmp_path}/b")


@pytest.mark.parametrize("text", ["{", "- a\n- b\n", "a: [", "\x00"])
def test_garbage_is_not_a_kubeconfig(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert "is not a kubeconfig" in refused(str(tmp_path / "config"))


def test_in_cluster_credentials(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_bytes(PEM)
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    target: Target = in_cluster(environ, tmp_path)
    assert (target.url, target.token_file) == ("https://10.0.0.1:443", str(tmp_path / "token"))


def test_outside_of_a_pod_a_kubeconfig_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="--kubeconfig"):
        in_cluster({}, tmp_path)
