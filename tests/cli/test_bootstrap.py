"""What a host has on disk: made once, refreshed when it ages, the same under the same authority."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from cryptography import x509

from skerry.cli import bootstrap, renew, state
from skerry.cli.external import configuration
from skerry.cli.failure import Failure
from skerry.cli.layout import Layout, endpoint
from skerry.cli.plan import Plan, UpOptions
from skerry.identity import creds
from skerry.identity.federation import Authority
from skerry.identity.x509 import X509KeyPair, issue_server

LOOPBACK = UpOptions(listen="127.0.0.1:18443", bus="127.0.0.1:14222")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    path = tmp_path / "host"
    path.mkdir(mode=0o700)
    return path


def _free(**fields: object) -> UpOptions:
    listen, bus = (str(endpoint("127.0.0.1:0", "x")) for _ in range(2))
    return UpOptions(listen=listen, bus=bus, **fields)  # type: ignore[arg-type]


def test_a_first_start_makes_everything(host: Path) -> None:
    plan = bootstrap.prepare(host, _free())
    assert [p.name for p in plan.processes] == ["nats-server", "controller-manager", "tower"]
    made = {path.name for path in host.iterdir()}
    assert {"state.json", "keys", "pki", "creds", "nats", "admin.token", "admin.kubeconfig", "plan.json"} <= made
    assert (host / "admin.token").read_text().startswith("skerry_")


def test_a_plan_holds_no_secret(host: Path) -> None:
    bootstrap.prepare(host, _free())
    text = (host / "plan.json").read_text()
    secrets = [path.read_text() for path in (host / "keys").rglob("*.nk")] + [(host / "admin.token").read_text()]
    assert not [secret for secret in secrets if secret.strip() in text]


def test_a_second_start_changes_no_identity(host: Path) -> None:
    options = _free()
    bootstrap.prepare(host, options)
    names = ("state.json", "keys/authority.json", "pki/ca.crt", "pki/server.crt", "admin.token", "creds/proxy.creds")
    before = [(host / name).read_bytes() for name in names]
    bootstrap.prepare(host, options)
    assert [(host / name).read_bytes() for name in names] == before


def test_the_key_of_the_secrets_is_made_with_the_others_and_never_again(host: Path) -> None:
    options, path = _free(), host / "keys" / "secrets.key"
    bootstrap.prepare(host, options)
    assert len(path.read_bytes()) == 32
    path.unlink()
    with pytest.raises(Failure, match=r"secrets\.key is missing: put it back from the safe copy"):
        bootstrap.prepare(host, options)
    assert not path.exists()


def test_keys_that_were_made_without_that_of_the_secrets_get_it_at_the_first_start(host: Path, tmp_path: Path) -> None:
    keys = tmp_path / "nats-keys"
    configuration(keys, ["n.example"], "127.0.0.1:4222", make=True)
    (keys / "secrets.key").unlink()
    bootstrap.prepare(host, _free(nats="tls://n.example:4222", nats_keys=str(keys)))
    assert len((keys / "secrets.key").read_bytes()) == 32


def test_an_old_admin_token_is_made_anew_in_file_and_kubeconfig(host: Path) -> None:
    bootstrap.prepare(host, _free())
    path = host / "admin.token"
    before, then = path.read_text(), time.time() - 21 * 86400
    os.utime(path, (then, then))
    assert bootstrap.renew_admin(host, "skerry", "https://h") is True
    assert path.read_text() != before
    config = json.loads((host / "admin.kubeconfig").read_text())
    assert config["users"][0]["user"]["token"] == path.read_text().strip()
    assert bootstrap.renew_admin(host, "skerry", "https://h") is False


def test_service_users_are_renewed_in_the_last_third_of_their_life(host: Path) -> None:
    bootstrap.prepare(host, _free())
    authority = Authority.load(host / "keys")
    assert bootstrap.renew_credentials(host, authority) == []
    authority.service_credentials("proxy", ttl_s=3600).save(host / "creds" / "proxy.creds")
    assert bootstrap.renew_credentials(host, authority) == ["proxy"]
    expires = creds.load(host / "creds" / "proxy.creds").expires
    assert expires is not None
    assert expires > time.time() + 20 * 3600


def test_service_users_of_another_version_are_renewed_at_once(host: Path) -> None:
    bootstrap.prepare(host, _free())
    authority = Authority.load(host / "keys")
    authority.service_credentials("registry").save(host / "creds" / "proxy.creds")
    assert bootstrap.renew_credentials(host, authority) == ["proxy"]


def test_renewal_does_what_is_due_and_no_more(host: Path) -> None:
    plan = bootstrap.prepare(host, _free())
    assert renew.renew(host, plan) == []
    (host / "creds" / "controller-manager.creds").unlink()
    (host / "pki" / "server.crt").unlink()
    assert renew.renew(host, plan) == ["controller-manager"]
    assert (host / "pki" / "server.crt").exists()


def _names(host: Path) -> set[str]:
    pem = (host / "pki" / "server.crt").read_bytes()
    found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def test_the_certificate_has_the_names_of_all_members_and_the_front_door_knows_whose_they_are(host: Path) -> None:
    plan = bootstrap.prepare(host, _free())
    found = state.read(host)
    assert found is not None
    assert _names(host) == {"localhost", f"*.clusters.{found.uid}"}
    tower = next(process for process in plan.processes if process.name == "tower")
    assert tower.env["SKERRY_HOST_UID"] == found.uid


@pytest.mark.parametrize("how", ["start", "renewal"])
def test_a_host_from_before_members_had_names_gets_them_under_the_same_authority(host: Path, how: str) -> None:
    plan = bootstrap.prepare(host, _free())
    pki = host / "pki"
    old = X509KeyPair(certificate=(pki / "ca.crt").read_bytes(), key=(pki / "ca.key").read_bytes())
    server = issue_server(old, Layout.of(plan.options).names)
    (pki / "server.crt").write_bytes(server.certificate)
    (pki / "server.key").write_bytes(server.key)
    assert _names(host) == {"localhost"}
    if how == "start":
        bootstrap.prepare(host, plan.options)
    else:
        renew.renew(host, plan)
    assert any(name.startswith("*.clusters.") for name in _names(host))
    assert (pki / "ca.crt").read_bytes() == old.certificate


@pytest.mark.parametrize("said", [{}, {"SKERRY_TRACING": "1"}])
def test_tracing_is_of_both_processes_and_of_none_unless_it_is_asked_for(
    host: Path, said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    envs = [process.env for process in bootstrap.prepare(host, _free()).processes]
    assert [env.get("SKERRY_TRACING") for env in envs] == [None, *[said.get("SKERRY_TRACING")] * 2]


def test_the_front_door_alone_is_told_of_an_authority_of_client_certificates(host: Path) -> None:
    envs = {
        process.name: process.env for process in bootstrap.prepare(host, _free(client_ca="/a/people.crt")).processes
    }
    assert {name for name, env in envs.items() if "SKERRY_CLIENT_CA_FILE" in env} == {"tower"}
    assert envs["tower"]["SKERRY_CLIENT_CA_FILE"] == "/a/people.crt"


def test_external_nats_needs_keys_that_exist(host: Path, tmp_path: Path) -> None:
    options = _free(nats="tls://n:4222", nats_keys=str(tmp_path / "none"))
    with pytest.raises(Failure, match="nats-config --nats-keys"):
        bootstrap.prepare(host, options)


def test_with_external_nats_none_is_started(host: Path, tmp_path: Path) -> None:
    text = configuration(tmp_path / "keys", ["n.example"], "0.0.0.0:4222", make=True)
    assert "operator:" in text
    assert "sync_interval: always" in text
    plan: Plan = bootstrap.prepare(host, _free(nats="tls://n.example:4222", nats_keys=str(tmp_path / "keys")))
    assert [p.name for p in plan.processes] == ["controller-manager", "tower"]
    env = plan.processes[0].env
    assert env["SKERRY_BUS_SERVERS"] == env["SKERRY_BUS_PUBLIC"] == "tls://n.example:4222"
    assert env["SKERRY_BUS_CA_FILE"] == str(tmp_path / "keys" / "ca.crt")
    trusted = Path(env["SKERRY_TRUST_ROOT_FILE"])
    assert trusted.read_text().split() == [Authority.load(tmp_path / "keys").assertion_root.public]
