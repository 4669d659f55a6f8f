"""Service accounts of a real cluster: its API server says whom their tokens name, for which audience, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.tenancy.hosttokens import HostTokens
from services.tenancy.verify import TokenRefused
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.upstream import Upstream
from tests.kube.member import Member

pytestmark = pytest.mark.kube
DEADLINE_S = 30.0


@pytest.fixture
async def tokens(plain_cluster: Member) -> AsyncIterator[HostTokens]:
    target = kubeconfig.load(str(plain_cluster.kubeconfig))
    upstream = Upstream(target, source(target))
    yield HostTokens(upstream, time.time)
    await upstream.close()


async def test_a_service_account_is_known_until_it_is_deleted(plain_cluster: Member, tokens: HostTokens) -> None:
    def issued(*options: str) -> str:
        return plain_cluster.kubectl("create", "token", "deployer", "-n", "default", *options).decode().strip()

    plain_cluster.kubectl("create", "serviceaccount", "deployer", "-n", "default")
    try:
        ours, default, others = issued("--audience", "skerry"), issued(), issued("--audience", "vault")
        for token in (ours, default):
            known = await tokens.identity(token)
            assert (known.user, known.groups) == ("serviceaccount:default:deployer", ())
            assert abs(known.issued - time.time()) < 300
            assert known.expires > time.time() + 600
        for token in (others, "opaque", ours[:-4] + "AAAA"):
            with pytest.raises(TokenRefused):
                await tokens.identity(token)
    finally:
        plain_cluster.kubectl("delete", "serviceaccount", "deployer", "-n", "default")
    async with asyncio.timeout(DEADLINE_S):  # an API server remembers an answer for ten seconds
        while await holds(tokens, ours):
            await asyncio.sleep(0.5)


async def holds(tokens: HostTokens, token: str) -> bool:
    try:
        await tokens.identity(token)
    except TokenRefused:
        return False
    return True
