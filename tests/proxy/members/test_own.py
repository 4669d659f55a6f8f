"""The host's own cluster: the front door reaches it with what it was given itself, and asks nobody on the bus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.proxy.members.direct import IN_CLUSTER, Direct
from services.proxy.members.directory import MemberRoute
from skerry.access import Allowed
from skerry.errors import ServiceUnavailable
from skerry.httpwire.room import Room
from tests.member.apiserver import ApiServer

ROUTE = MemberRoute("host", "object-1", IN_CLUSTER, "", "it was not looked at yet")
ALLOWED = Allowed("skerry:alice", ("skerry:view",))


class Nobody:
    """A bus, and a key, that may not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def direct(kubeconfig: Path | None) -> Direct:
    return Direct(Nobody(), Nobody(), connections=4, room=Room(), own=kubeconfig)


async def test_nothing_is_sent_before_it_is_known_which_cluster_it_is() -> None:
    with pytest.raises(ServiceUnavailable, match="host is not ready: it was not looked at yet; nothing was sent"):
        await direct(None).transport(ROUTE, ALLOWED)


async def test_without_a_credential_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"no way to the host's own cluster: .*absent.* nothing was sent"):
        await direct(tmp_path / "absent").transport(ROUTE._replace(cluster="uid-1"), ALLOWED)


async def test_a_host_that_was_moved_is_reached_where_it_is_now(tmp_path: Path) -> None:
    async with ApiServer(tmp_path) as api:
        ways = direct(api.kubeconfig())
        here, moved = (ROUTE._replace(cluster=uid) for uid in ("uid-1", "uid-2"))
        first = (await ways.transport(here, ALLOWED))._endpoint
        assert (await ways.transport(here, ALLOWED))._endpoint is first
        second = (await ways.transport(moved, ALLOWED))._endpoint
        assert (second is first, first.retired, second.retired) == (False, True, False)
        await ways.close()
