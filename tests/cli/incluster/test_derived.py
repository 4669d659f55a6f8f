"""What follows from the keys: made when it is absent, ages or lacks a name, and left alone while it is good."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from skerry.cli import bootstrap
from skerry.cli.incluster.derived import MADE, SEALS, TRIES, HostNames, derivations, refresh
from skerry.cli.incluster.keys import lay, new_keys
from skerry.errors import Conflict
from skerry.identity import nkey
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.identity.natsconf import BusAccounts
from skerry.identity.nkey import KeyType
from skerry.storage.sealed import Keyring
from tests.cli.incluster.memory import MemorySecrets

UID = "4f6c0f6e-6f6c-4a0e-9f8e-6f0c5a3f2b1d"
KEYS = new_keys("isle", UID, nkey.create(KeyType.OPERATOR).seed)
Files = Mapping[str, bytes]


def derived(
    secret: str, directory: Path, had: Files | None = None, *addresses: str, standalone: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """The files of a Secret that had those; `addresses` are those of the front door and of the bus."""
    names = HostNames(name="isle", namespace="ns", addresses=addresses, bus_addresses=addresses, standalone=standalone)
    return dict(derivations(KEYS, directory, names)[secret](had or {}))


def names_of(certificate: bytes) -> set[str]:
    value = (
        x509.load_pem_x509_certificate(certificate)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    return {*value.get_values_for_type(x509.DNSName), *map(str, value.get_values_for_type(x509.IPAddress))}


@pytest.mark.parametrize("secret", ["skerry-nats", "skerry-controller-manager", "skerry-tower", "skerry-admin"])
def test_what_is_good_stays_as_it_is(tmp_path: Path, secret: str) -> None:
    first = derived(secret, tmp_path)
    assert derived(secret, tmp_path, first) == first


def test_the_bus_has_every_name_by_which_it_is_reached(tmp_path: Path) -> None:
    files = derived("skerry-nats", tmp_path, None, "host.example", "192.0.2.1")
    assert {
        "skerry-bus",
        "skerry-bus.ns.svc",
        "skerry-nats.ns.svc.cluster.local",
        "host.example",
        "192.0.2.1",
        "::1",
        "*.skerry-nats.ns.svc",
    } <= names_of(files["tls.crt"])


def test_routes_have_a_certificate_for_both_ends_and_a_password(tmp_path: Path) -> None:
    files = derived("skerry-nats", tmp_path)
    certificate = x509.load_pem_x509_certificate(files["routes.crt"])
    usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert {"*.skerry-nats", "*.skerry-nats.ns.svc.cluster.local"} <= names_of(files["routes.crt"])
    assert len(files["route-password"]) >= 43


def test_an_address_that_is_added_is_in_the_next_certificate_under_the_same_authority(tmp_path: Path) -> None:
    first = derived("skerry-tower", tmp_path)
    second = derived("skerry-tower", tmp_path, first, "host.example")
    assert {"host.example", f"*.clusters.{UID}"} <= names_of(second["tls.crt"])
    assert (second["ca.crt"], second["proxy.creds"]) == (first["ca.crt"], first["proxy.creds"])


@pytest.mark.parametrize("rubbish", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("file", ["tls.crt", "tls.key", "proxy.creds"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, file: str, rubbish: bytes) -> None:
    first = derived("skerry-tower", tmp_path)
    second = derived("skerry-tower", tmp_path, {**first, file: rubbish})
    assert second[file] not in (rubbish, b"")


def test_a_user_in_the_last_third_of_its_life_is_renewed(tmp_path: Path) -> None:
    first = derived("skerry-tower", tmp_path)
    lay(KEYS, tmp_path / "keys")
    Authority.load(tmp_path / "keys").service_credentials("proxy", ttl_s=3600).save(tmp_path / "old.creds")
    old = {**first, "proxy.creds": (tmp_path / "old.creds").read_bytes()}
    second = derived("skerry-tower", tmp_path, old)
    assert second["proxy.creds"] != old["proxy.creds"]
    assert second["tls.crt"] == first["tls.crt"]


def test_the_administrator_s_token_is_made_anew_after_two_thirds_of_its_life(tmp_path: Path) -> None:
    first = derived("skerry-admin", tmp_path)
    young, old = (str(int(time.time() - days * 86400)).encode() for days in (19, 21))
    assert derived("skerry-admin", tmp_path, {**first, MADE: young})["token"] == first["token"]
    second = derived("skerry-admin", tmp_path, {**first, MADE: old})
    assert second["token"] != first["token"]
    assert time.time() - int(second[MADE]) < 60 < bootstrap.ADMIN_LIFE_S


def test_the_administrator_s_kubeconfig_names_the_preferred_address(tmp_path: Path) -> None:
    for addresses, server in (
        (("2001:db8::1", "b"), "https://[2001:db8::1]"),
        (("[2001:db8::1]:8443",), "https://[2001:db8::1]:8443"),
        (("host.example:8443",), "https://host.example:8443"),
        ((), "https://skerry.ns.svc"),
    ):
        config = json.loads(derived("skerry-admin", tmp_path, None, *addresses)["kubeconfig"])
        assert config["clusters"][0]["cluster"]["server"] == server


def test_where_the_address_has_a_certificate_of_others_the_administrator_asks_for_a_name_of_the_hosts_own(
    tmp_path: Path,
) -> None:
    names = HostNames(name="isle", namespace="ns", addresses=("host.example",), foreign_certificate=True)
    made = derivations(KEYS, tmp_path, names)
    cluster = json.loads(made["skerry-admin"]({})["kubeconfig"])["clusters"][0]["cluster"]
    assert (cluster["server"], cluster["tls-server-name"]) == ("https://host.example", "skerry.ns.svc")
    assert cluster["tls-server-name"] in names_of(made["skerry-tower"]({})["tls.crt"])


def test_ports_of_addresses_are_in_no_certificate(tmp_path: Path) -> None:
    files = derived("skerry-tower", tmp_path, None, "host.example:8443", "[2001:db8::1]:443", "2001:db8::2")
    assert {"host.example", "2001:db8::1", "2001:db8::2"} <= names_of(files["tls.crt"])


@pytest.mark.parametrize(
    ("addresses", "bus"),
    [
        ((), b""),
        (("bus.example", "192.0.2.1:4443"), b"tls://bus.example:4222,tls://192.0.2.1:4443"),
        (("2001:db8::1",), b"tls://[2001:db8::1]:4222"),
    ],
)
def test_services_hear_the_addresses_of_the_bus_as_members_dial_them(
    tmp_path: Path, addresses: tuple[str, ...], bus: bytes
) -> None:
    files = derived("skerry-controller-manager", tmp_path, None, *addresses)
    assert files["bus-addresses"] == bus
    assert files["addresses"] == ",".join(addresses).encode()


@pytest.mark.parametrize("sealing", SEALS)
def test_who_has_a_deployment_of_its_own_has_its_own_user_and_who_seals_its_own_key_alone(
    tmp_path: Path, sealing: str
) -> None:
    apart, key = ("registry", sealing), f"{sealing}.key"
    manager = derived("skerry-controller-manager", tmp_path, standalone=apart)
    store = derived(f"skerry-{sealing}", tmp_path, standalone=apart)
    registry = derived("skerry-registry", tmp_path, standalone=apart)
    assert {f"{sealing}.creds", key} <= store.keys()
    assert key not in manager.keys() | registry.keys()
    lay({SECRETS_KEY: KEYS[SECRETS_KEY], "own.key": store[key]}, tmp_path / "sealing")
    text = Keyring(tmp_path / "sealing" / SECRETS_KEY, sealing).seal("a", b"1")
    assert Keyring(tmp_path / "sealing" / "own.key").opened("a", text).value == b"1"
    assert derived("skerry-controller-manager", tmp_path)[key] == store[key]
    for files in (manager, store, registry):
        assert (files["host-uid"], files["trust-roots"]) == (UID.encode(), KEYS["trust-roots"])


def test_the_bus_gets_no_key_and_its_accounts_are_those_of_this_version(tmp_path: Path) -> None:
    first = derived("skerry-nats", tmp_path)
    seeds = [data.strip() for name, data in KEYS.items() if name.endswith(".nk")]
    assert not [name for name, data in first.items() if any(seed in data for seed in seeds)]
    old = msgspec.json.decode(first["accounts.json"], type=BusAccounts)
    other = msgspec.json.encode(msgspec.structs.replace(old, sys_jwt="of another version"))
    for version, kept in ((first["version"], True), (b"0.0.1", False)):
        had = {**first, "accounts.json": other, "version": version}
        assert (derived("skerry-nats", tmp_path, had)["accounts.json"] == other) is kept
    for rubbish in (b"", b"{", b"[]"):
        made = derived("skerry-nats", tmp_path, {**first, "accounts.json": rubbish})["accounts.json"]
        assert msgspec.json.decode(made, type=BusAccounts).public.operator


async def test_what_was_deleted_is_made_again(tmp_path: Path) -> None:
    secrets = MemorySecrets()
    derive = derivations(KEYS, tmp_path, HostNames(name="isle", namespace="ns"))["skerry-tower"]
    assert await refresh(secrets, "skerry-tower", derive) is True
    assert await refresh(secrets, "skerry-tower", derive) is False
    del secrets.secrets["skerry-tower"]
    assert await refresh(secrets, "skerry-tower", derive) is True


async def test_who_is_slower_takes_what_the_other_wrote(tmp_path: Path) -> None:
    secrets = MemorySecrets()
    derive = derivations(KEYS, tmp_path, HostNames(name="isle", namespace="ns"))["skerry-tower"]
    assert sorted(await asyncio.gather(*(refresh(secrets, "skerry-tower", derive) for _ in range(4)))) == [
        False
    ] * 3 + [True]


async def test_a_secret_that_somebody_rewrites_for_ever_is_an_error() -> None:
    secrets, seen = MemorySecrets(), 0

    def derive(had: Files) -> Files:
        nonlocal seen
        seen += 1
        secrets._put("skerry-tower", {"by": str(seen).encode()})
        return {"ours": b"1"}

    with pytest.raises(Conflict, match="is written by somebody else all the time"):
        await refresh(secrets, "skerry-tower", derive)
    assert seen == TRIES
