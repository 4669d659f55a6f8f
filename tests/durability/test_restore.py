"""Backup and restore: everything comes back, nothing runs backwards, and what is no backup of this host changes nothing."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.registry.secrets import Secrets
from skerry import subjects
from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import BucketConfig, Bus, Settings
from skerry.controller.recorder import Recorder
from skerry.errors import BadRequest, Conflict
from skerry.identity.federation import Authority
from skerry.informer import Informer
from skerry.storage import Store, archive, make_bucket
from skerry.storage.archive import Archive, ArchivedBucket, ArchiveLine, Header
from skerry.storage.sealed import Keyring
from tests.durability.front import MERGE, WORKSPACES, Front, workspace
from tests.durability.informer import informing, revisions
from tests.e2e.federation import Host
from tests.fixtures.bucket import cluster, feeding
from tests.fixtures.nats import NatsHost, eventually

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def sample() -> Archive:
    """Two entries, one of which is JSON."""
    kept = [
        ArchivedBucket(name="secrets", revision=7, entries=1),
        ArchivedBucket(name="resources", revision=9, entries=1),
    ]
    lines = [
        ArchiveLine(bucket="secrets", key="member.a", data=b"\x00\xff"),
        ArchiveLine(bucket="resources", key="g.k._.a", value=msgspec.Raw(b'{"a": 1}')),
    ]
    header = Header(host="h", account="A", taken="2030-01-01T00:00:00Z", buckets=kept)
    return Archive(header=header, lines=lines)


# The file


def test_a_backup_is_read_as_it_was_written() -> None:
    found = archive.decode(archive.encode(sample()))
    assert found.header == sample().header
    assert [line.content for line in found.lines] == [b"\x00\xff", b'{"a": 1}']


def test_a_backup_is_lines_of_json_that_people_can_read() -> None:
    assert b'{"bucket":"resources","key":"g.k._.a","value":{"a": 1}}\n' in archive.encode(sample())


@pytest.mark.parametrize("length", [0, 1, 40, 300, -1, -2, -40])
def test_a_cut_backup_is_refused(length: int) -> None:
    data = archive.encode(sample()).rstrip(b"\n")
    with pytest.raises(BadRequest, match="not a backup"):
        archive.decode(data[:length])


def test_a_changed_backup_is_refused() -> None:
    with pytest.raises(BadRequest, match="was changed"):
        archive.decode(archive.encode(sample()).replace(b'{"a": 1}', b'{"a": 2}'))


def test_a_backup_of_a_newer_format_is_refused() -> None:
    with pytest.raises(Conflict, match="newer format"):
        archive.decode(archive.encode(sample()).replace(b'"format":1', b'"format":3'))


def test_a_new_bucket_begins_above_everything_that_can_have_been_written_since() -> None:
    kept = ArchivedBucket(name="resources", revision=500, entries=1)
    hour = archive.first_revision(kept, 0, "2030-01-01T00:00:00Z", NOW + timedelta(hours=1))
    assert hour > 500 + 3600 * 5000
    assert archive.first_revision(kept, hour, "2030-01-01T00:00:00Z", NOW) > hour
    assert archive.first_revision(kept, 0, "2031-01-01T00:00:00Z", NOW) > 500


# On a bus


async def restored(host: NatsHost, found: Archive) -> int:
    """Restore with the rights that the command has."""
    bus = Bus(host.settings("restore"), lambda: host.authority.archivist_credentials(restoring=True))
    async with bus:
        await bus.ready()
        return await archive.restore(bus, found, datetime.now(UTC), lambda done, of: None)


async def taken(host: NatsHost) -> Archive:
    """Back up with the rights that the command has."""
    bus = Bus(host.settings("backup"), lambda: host.authority.archivist_credentials(restoring=False))
    async with bus:
        await bus.ready()
        return await archive.take(bus, "uid", host.authority.public.host, datetime.now(UTC))


@pytest.mark.integration
async def test_a_cache_that_lives_through_a_restore_goes_on_in_the_new_buckets(
    fresh_nats_host: NatsHost, quick_heartbeats: None
) -> None:
    host = fresh_nats_host
    async with host.bus("registry") as bus:
        bucket = await bus.bucket(subjects.RESOURCES, create=BucketConfig())
        await bus.bucket("secrets", create=BucketConfig())
        recorder = Recorder(await make_bucket(bus, subjects.EVENTS), "test")
        recorder.normal(cluster("old"), "Happened", "before the backup")
        store = Store(bucket, CLUSTER)
        for name in ("old", "kept", "gone"):
            await store.create(cluster(name))
        await store.delete("gone")
        async with feeding(Informer(KINDS), bucket) as cache:
            backup = await taken(host)
            late = await store.create(cluster("late"))
            changed = await store.update(await store.get("old"), cluster("old", status={"x": 1}))
            await cache.reached(changed.revision)
            assert await restored(host, backup) == len(backup.lines)
            first = await store.create(cluster("after"))
            assert first.revision > changed.revision > late.revision
            await cache.reached(first.revision)
            assert [item.name for item in cache.list(CLUSTER)] == ["after", "kept", "old"]
            assert "status" not in (await store.get("old")).document()
            assert (await bus.bucket(subjects.EVENTS)).name == subjects.EVENTS
            assert cache.revision >= first.revision
            await eventually(lambda: cache.watch(CLUSTER).take() == [])


def _counted(number: int, found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "status": {"n": number}}


@pytest.mark.integration
async def test_a_backup_holds_every_entry_while_others_write(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.bus("registry") as bus:
        bucket = await bus.bucket(subjects.RESOURCES, create=BucketConfig())
        await bus.bucket("secrets", create=BucketConfig())
        store = Store(bucket, CLUSTER)
        before = [await store.create(cluster(f"c-{number}")) for number in range(50)]
        stop = asyncio.Event()

        async def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                await store.modify(f"c-{number % 50}", functools.partial(_counted, number))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            backups = [await taken(fresh_nats_host) for _ in range(5)]
            stop.set()
        for backup in backups:
            assert len([line for line in backup.lines if line.bucket == subjects.RESOURCES]) == len(before)
            assert archive.decode(archive.encode(backup)).header == backup.header


# By the command line


async def claim(host: Host, uid: str, name: str) -> str:
    """The claim of a physical cluster in the sealed bucket, made if there is none; who holds it."""
    directory = host.state / "host"
    authority = Authority.load(directory / "keys")
    settings = Settings(servers=(f"tls://{host.bus}",), ca_pem=(directory / "pki" / "ca.crt").read_text(), name="test")
    async with Bus(settings, lambda: authority.service_credentials("registry")) as bus:
        secrets = Secrets(await bus.bucket("secrets"), Keyring(directory / "keys" / "secrets.key"))
        return (await secrets.claim(uid, name, 0.0)).name


@pytest.mark.integration
async def test_a_host_goes_back_to_its_backup_under_a_running_informer(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "skerry.backup"
    async with Front.of(host) as front, informing(front) as informer:
        for name in ("a", "b"):
            await front.ask("POST", WORKSPACES, workspace(name, "before"))
        assert await claim(host, "physical-1", "m1") == "m1"
        await asyncio.to_thread(host.ok, "backup", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await front.ask("PATCH", f"{WORKSPACES}/a", {"spec": {"displayName": "after"}}, MERGE)
        await front.ask("DELETE", f"{WORKSPACES}/b")
        await front.ask("POST", WORKSPACES, workspace("c", "after"))
        assert await claim(host, "physical-2", "m2") == "m2"
        last, items = await front.listed()
        await informer.agrees(revisions(items))

        running = await asyncio.to_thread(host.skerry, "restore", str(file))
        assert (running.returncode, "skerry down" in running.stderr) == (1, True)
        await asyncio.to_thread(host.ok, "down")
        down = await asyncio.to_thread(host.skerry, "backup", str(tmp_path / "never"))
        assert (down.returncode, "not running" in down.stderr) == (3, True)
        await asyncio.to_thread(host.ok, "restore", str(file))
        await asyncio.to_thread(host.up)

        revision, items = await front.listed()
        assert revision > last
        assert {name: item["spec"]["displayName"] for name, item in items.items()} == {"a": "before", "b": "before"}
        assert min(revisions(items).values()) > last
        await informer.agrees(revisions(items))
        assert informer.expired >= 1
        assert await claim(host, "physical-1", "another") == "m1"
        assert await claim(host, "physical-2", "another") == "another"
        made = await front.ask("POST", WORKSPACES, workspace("d", "new"))
        assert int(made["metadata"]["resourceVersion"]) > revision


@pytest.mark.integration
async def test_a_host_is_brought_back_on_a_new_machine_from_its_keys_and_a_backup(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "skerry.backup"
    async with Front.of(host) as front:
        await front.ask("POST", WORKSPACES, workspace("a", "before"))
        await asyncio.to_thread(host.ok, "backup", str(file))
        last, _ = await front.listed()
    await asyncio.to_thread(host.ok, "down")
    new = Host(tmp_path / "new")
    bare = await asyncio.to_thread(new.skerry, "restore", str(file))
    assert (bare.returncode, "keys/, pki/ and state.json" in bare.stderr) == (1, True)
    for name in ("keys", "pki"):
        shutil.copytree(host.state / "host" / name, new.state / "host" / name)
    shutil.copy(host.state / "host" / "state.json", new.state / "host")
    try:
        await asyncio.to_thread(new.ok, "restore", str(file))
        await asyncio.to_thread(new.up)
        async with Front.of(new) as front:
            revision, items = await front.listed()
        assert (revision > last, sorted(items)) == (True, ["a"])
    finally:
        await asyncio.to_thread(new.ok, "down")


@pytest.mark.integration
async def test_a_file_that_is_no_backup_of_this_host_changes_nothing(host: Host, tmp_path: Path) -> None:
    async with Front.of(host) as front:
        await front.ask("POST", WORKSPACES, workspace("a", "before"))
        before = await front.listed()
        file = tmp_path / "skerry.backup"
        await asyncio.to_thread(host.ok, "backup", str(file))
        await asyncio.to_thread(host.ok, "down")
        good = archive.decode(file.read_bytes())
        other = msgspec.structs.replace(good.header, host="somebody-else")
        broken = msgspec.structs.replace(
            good.header, buckets=[*good.header.buckets[:1], *(msgspec.structs.replace(b, name="no.such") for b in good.header.buckets[1:])]
        )  # fmt: skip
        for data, said in (
            (file.read_bytes()[:-30], "not a backup"),
            (archive.encode(msgspec.structs.replace(good, header=other)), "somebody-else"),
            (archive.encode(msgspec.structs.replace(good, header=broken)), "as it was before"),
        ):
            file.write_bytes(data)
            refused = await asyncio.to_thread(host.skerry, "restore", str(file))
            assert refused.returncode == 1
            assert said in refused.stderr
            assert "Traceback" not in refused.stderr
        await asyncio.to_thread(host.up)
        assert (await front.listed())[1] == before[1]


KILLED_HALF_WAY = """
import os, signal, sys
from skerry.storage import archive
whole = archive.restore
def half_way(done, of):
    if done * 2 >= of:
        os.kill(os.getpid(), signal.SIGKILL)
archive.restore = lambda bus, found, now, progress: whole(bus, found, now, half_way)
from skerry.cli.__main__ import main
main()
"""


@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_a_restore_that_is_killed_half_way_is_not_started_and_is_undone_or_repeated(
    host: Host, tmp_path: Path
) -> None:
    file = tmp_path / "skerry.backup"
    async with Front.of(host) as front:
        for name in ("a", "b", "c"):
            await front.ask("POST", WORKSPACES, workspace(name, "before"))
        await asyncio.to_thread(host.ok, "backup", str(file))
        await front.ask("POST", WORKSPACES, workspace("d", "after"))
        await asyncio.to_thread(host.ok, "down")
        for way_out, found in ((("restore", "--undo"), "abcd"), (("restore", str(file)), "abc")):
            killed = await asyncio.create_subprocess_exec(
                sys.executable, "-c", KILLED_HALF_WAY, "restore", str(file),
                env={**os.environ, "SKERRY_STATE": str(host.state)},
            )  # fmt: skip
            assert await killed.wait() == -signal.SIGKILL
            refused = await asyncio.to_thread(host.skerry, "up", "--detach")
            assert (refused.returncode, "did not come to its end" in refused.stderr) == (1, True)
            await asyncio.to_thread(host.ok, *way_out)
            await asyncio.to_thread(host.up)
            assert "".join(sorted((await front.listed())[1])) == found
            await asyncio.to_thread(host.ok, "down")
