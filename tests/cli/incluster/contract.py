"""What every implementation of Secrets keeps: one suite for those in memory and those of a real cluster."""

from __future__ import annotations

import asyncio

from skerry.cli.incluster.secrets import Secrets

BYTES = bytes(range(256))


class SecretsContract:
    """Tests of a fixture `secrets`, in which nothing is called `a`."""

    async def test_what_is_not_there_is_none(self, secrets: Secrets) -> None:
        assert await secrets.get("a") is None

    async def test_files_come_back_as_they_were(self, secrets: Secrets) -> None:
        assert await secrets.create("a", {"key.nk": BYTES, "empty": b""})
        stored = await secrets.get("a")
        assert stored is not None
        assert dict(stored.files) == {"key.nk": BYTES, "empty": b""}

    async def test_the_first_of_several_wins_and_the_others_write_nothing(self, secrets: Secrets) -> None:
        won = await asyncio.gather(*(secrets.create("a", {"by": str(number).encode()}) for number in range(5)))
        assert sum(won) == 1
        stored = await secrets.get("a")
        assert stored is not None
        assert stored.files["by"] == str(won.index(True)).encode()

    async def test_a_version_is_replaced_once_and_whole(self, secrets: Secrets) -> None:
        await secrets.create("a", {"old": b"1"})
        before = await secrets.get("a")
        assert before is not None
        assert await secrets.replace("a", {"new": b"2"}, before.version)
        assert not await secrets.replace("a", {"late": b"3"}, before.version)
        after = await secrets.get("a")
        assert after is not None
        assert dict(after.files) == {"new": b"2"}
        assert after.version != before.version

    async def test_what_is_gone_is_not_replaced(self, secrets: Secrets) -> None:
        assert not await secrets.replace("a", {"new": b"2"}, "1")
        assert await secrets.get("a") is None

    async def test_a_cluster_has_a_uid(self, secrets: Secrets) -> None:
        metadata = await secrets.kube_system()
        assert metadata["uid"]
        assert isinstance(metadata.get("annotations", {}), dict)
