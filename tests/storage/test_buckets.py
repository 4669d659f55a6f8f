"""What the service table says of buckets and streams is how the server has them."""

from __future__ import annotations

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.bus import BucketConfig
from skerry.identity.services import BUCKETS, STREAMS
from skerry.storage import make_all
from skerry.storage.buckets import bucket_config
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


async def test_all_are_made_as_the_table_says_and_an_older_ones_history_grows(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.bus("registry") as bus:
        older = await bus.bucket("resources", create=BucketConfig())
        key = subjects.key(CLUSTER.group, CLUSTER.kind, "", "m1")
        first = await older.create(key, b"1")
        await make_all(bus)
        for bucket in BUCKETS:
            config = (await (await bus.bucket(bucket.name)).info())["config"]
            assert config["max_msgs_per_subject"] == bucket.history
        assert await older.update(key, b"2", first) > first
        for row in STREAMS:
            config = (await (await bus.stream(row.name)).info())["config"]
            assert (config["max_age"], config["max_bytes"]) == (row.max_age_s * 10**9, row.max_bytes)
            assert (config["discard"], config["compression"], config["allow_direct"]) == ("old", "s2", True)
            assert (config["deny_delete"], config["deny_purge"]) == (row.deny_delete, row.deny_purge)


def test_a_bucket_that_no_row_names_is_an_ordinary_one() -> None:
    assert bucket_config("none", 3) == BucketConfig(replicas=3)
