"""A certified OpenID provider, people who sign in there, and a host that takes their ID tokens.

Its keys are rotated, groups go at the next token, and a refresh token is no credential here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.storage import Store
from tests.clients import tools
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.proxy.conftest import World, settings_for, world
from tests.proxy.idp import Idp, running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # the program is built, once per machine


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    try:
        program = tools.obtain(["idp"], print)["idp"]
    except tools.Unavailable as error:
        if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with running(program) as provider:
        yield provider


async def who(host: World, token: str) -> tuple[int, str, set[str]]:
    """The status, user and groups of a token."""
    answer = await host.ask(
        b"/apis/authentication.k8s.io/v1/selfsubjectreviews",
        b"POST",
        token=token.encode(),
        headers=[(b"content-type", b"application/json")],
        body=b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
    )
    if answer.status != 201:
        return answer.status, "", set()
    info = answer.json()["status"]["userInfo"]
    return 201, info["username"], {group for group in info["groups"] if not group.startswith("system:")}


async def test_who_signs_in_there_is_known_here_by_name_groups_and_for_as_long_as_it_says(
    idp: Idp, fresh_nats_host: NatsHost
) -> None:
    async with (
        world(fresh_nats_host, settings_for(fresh_nats_host)) as host,
        serving(fresh_nats_host, (SERVICE, TenancySettings())) as tenancy,
    ):
        assert tenancy.bucket is not None
        spec = {
            "issuer": idp.issuer,
            "audiences": ["skerry"],
            "username": {"claim": "email"},
            "groups": {"claim": "groups"},
        }
        await Store(tenancy.bucket, IDENTITY_PROVIDER).create({"metadata": {"name": "corp"}, "spec": spec})
        await eventually(lambda: host.proxy.directory.provider("corp") is not None)
        idp.users(alice=["org:shop", "Domain Admins", "skerry:cluster-admin"], bob=[])
        alice, bob = await asyncio.to_thread(idp.sign_in, "alice"), await asyncio.to_thread(idp.sign_in, "bob")
        assert await who(host, alice.id_token) == (201, "alice@example.com", {"org:shop", "Domain Admins"})
        assert await who(host, bob.id_token) == (201, "bob@example.com", set())
        assert (await who(host, alice.refresh_token))[0] == 401

        idp.users(alice=["org:shop"], bob=[])
        again = await asyncio.to_thread(idp.refreshed, alice)
        assert await who(host, again.id_token) == (201, "alice@example.com", {"org:shop"})

        idp.control(rotate=True, keepOld=True)
        rotated = await asyncio.to_thread(idp.sign_in, "bob")
        async with asyncio.timeout(60):  # keys are asked for again after ten seconds
            while (await who(host, rotated.id_token))[0] != 201:
                await asyncio.sleep(0.5)
        assert (await who(host, alice.id_token))[0] == 201
