"""The claim of a host in pods: one authority, whatever races, and wherever a bootstrap before stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from skerry.cli.incluster.derived import HostNames, derivations, refresh
from skerry.cli.incluster.keys import FILES, KEYS, ROOT, claimed, lay, new_keys
from skerry.cli.incluster.secrets import Secrets
from skerry.errors import Conflict, InternalError, NotFound
from skerry.identity import creds, nkey
from skerry.identity.federation import Authority
from skerry.identity.nkey import KeyType
from skerry.member.identity import HOST_ANNOTATION, HOST_NAME_ANNOTATION
from tests.cli.incluster.contract import SecretsContract
from tests.cli.incluster.memory import Cut, CutSecrets, MemorySecrets

NAMES = HostNames(name="isle", namespace="skerry-system", addresses=("host.example",))
DERIVED = {"skerry-nats", "skerry-controller-manager", "skerry-tower", "skerry-admin"}


@pytest.fixture
def secrets() -> MemorySecrets:
    return MemorySecrets()


class TestMemory(SecretsContract):
    """The Secrets that the other tests use."""


async def bootstrapped(secrets: Secrets) -> Mapping[str, bytes]:
    """One whole run; the files of the keys."""
    files = await claimed(secrets, NAMES.name)
    with TemporaryDirectory() as directory:
        for name, derive in derivations(files, Path(directory), NAMES).items():
            await refresh(secrets, name, derive)
    return files


def authority(files: Mapping[str, bytes], directory: Path) -> Authority:
    lay(files, directory)
    return Authority.load(directory)


async def check_whole(secrets: MemorySecrets, directory: Path) -> None:
    """All Secrets are there, and follow from one authority."""
    keys = secrets.secrets[KEYS].files
    assert secrets.secrets.keys() >= DERIVED
    public = authority(keys, directory / "keys").public
    root = nkey.from_seed(secrets.secrets[ROOT].files["operator.nk"])
    assert public.operator == root.public
    for secret, user in (("skerry-controller-manager", "controller-manager"), ("skerry-tower", "proxy")):
        path = directory / f"{user}.creds"
        path.write_bytes(secrets.secrets[secret].files[f"{user}.creds"])
        assert creds.load(path).claims.iss == authority(keys, directory / "keys").active("host")
        assert secrets.secrets[secret].files["ca.crt"] == keys["ca.crt"]


async def test_a_first_run_makes_all_and_a_second_changes_nothing(secrets: MemorySecrets, tmp_path: Path) -> None:
    files = await bootstrapped(secrets)
    assert set(files) == set(FILES)
    assert files["host-uid"] == b"uid-of-kube-system"
    await check_whole(secrets, tmp_path)
    before = dict(secrets.secrets)
    assert await bootstrapped(secrets) == files
    assert secrets.secrets == before


async def test_the_root_seed_lies_in_its_own_secret_alone(secrets: MemorySecrets) -> None:
    await bootstrapped(secrets)
    seed = secrets.secrets[ROOT].files["operator.nk"].strip()
    others = [each.files for name, each in secrets.secrets.items() if name != ROOT]
    assert not [1 for files in others for data in files.values() if seed in data]


async def test_only_the_keys_have_keys_that_sign(secrets: MemorySecrets) -> None:
    keys = await bootstrapped(secrets)
    private = [keys[name].strip() for name in FILES if name.endswith((".nk", ".key"))]
    found = [
        (name, file)
        for name, each in secrets.secrets.items()
        if name != KEYS
        for file, data in each.files.items()
        if any(seed in data for seed in private)
    ]
    assert found == []


async def test_who_deleted_the_root_keeps_the_host(secrets: MemorySecrets) -> None:
    files = await bootstrapped(secrets)
    del secrets.secrets[ROOT]
    assert await bootstrapped(secrets) == files
    assert ROOT not in secrets.secrets


@pytest.mark.parametrize("replicas", [2, 5])
async def test_replicas_that_race_end_with_one_authority(secrets: MemorySecrets, tmp_path: Path, replicas: int) -> None:
    runs = await asyncio.gather(*(bootstrapped(secrets) for _ in range(replicas)))
    assert all(files == runs[0] for files in runs)
    await check_whole(secrets, tmp_path)
    assert secrets.written.count(KEYS) == secrets.written.count(ROOT) == 1


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
async def test_a_run_that_was_cut_at_any_call_is_ended_by_the_next(tmp_path: Path, *, behind: bool) -> None:
    calls = 0
    while True:
        secrets = MemorySecrets()
        try:
            await bootstrapped(CutSecrets(secrets, calls, behind=behind))
        except Cut:
            stored = {name: each.files for name, each in secrets.secrets.items()}
            await bootstrapped(secrets)
            directory = tmp_path / str(calls)
            directory.mkdir()
            await check_whole(secrets, directory)
            assert stored.items() <= {name: each.files for name, each in secrets.secrets.items()}.items()
            calls += 1
            continue
        break
    assert calls >= 14  # kube-system, keys and root looked at and made, four derived Secrets looked at and made


async def test_a_uid_is_never_computed_again(secrets: MemorySecrets) -> None:
    files = await bootstrapped(secrets)
    secrets.uid = "of-the-cluster-that-it-was-restored-on"
    assert (await bootstrapped(secrets))["host-uid"] == files["host-uid"]


async def test_a_member_of_another_host_is_refused_with_its_name_and_nothing_is_written() -> None:
    marks = {HOST_ANNOTATION: "uid-of-other", HOST_NAME_ANNOTATION: "far"}
    secrets = MemorySecrets(annotations=marks)
    with pytest.raises(Conflict, match=r"a member of the host 'far' \(UID uid-of-other\)"):
        await claimed(secrets, "isle")
    assert secrets.written == []


async def test_a_cluster_that_is_its_own_host_is_not_refused() -> None:
    secrets = MemorySecrets(annotations={HOST_ANNOTATION: "uid-of-kube-system"})
    assert (await claimed(secrets, "isle"))["host-uid"] == b"uid-of-kube-system"


async def test_keys_that_somebody_else_made_are_used_and_no_others_made(secrets: MemorySecrets) -> None:
    made = new_keys("isle", "uid-of-old", nkey.create(KeyType.OPERATOR).seed)
    await secrets.create("ours", made)
    assert dict(await claimed(secrets, "isle", "ours")) == made
    assert list(secrets.secrets) == ["ours"]


async def test_keys_that_are_named_and_not_there_are_an_error_and_not_made(secrets: MemorySecrets) -> None:
    with pytest.raises(NotFound, match=r"Secret ours, which keys\.existingSecret names, is not there"):
        await claimed(secrets, "isle", "ours")
    assert secrets.written == []


@pytest.mark.parametrize("file", FILES)
async def test_keys_that_lack_one_are_an_error_and_never_made_anew(secrets: MemorySecrets, file: str) -> None:
    files = dict(await claimed(secrets, "isle"))
    del files[file]
    secrets.secrets[KEYS] = secrets.secrets[KEYS]._replace(files=files)
    with pytest.raises(InternalError, match=f"lacks {file}: it is not the keys of a host"):
        await claimed(secrets, "isle")
    assert secrets.written.count(KEYS) == 1
