"""The front door on a real bus, with the real agent's relay and a recorded member: routes, refusals, identity."""

from __future__ import annotations

import uuid

import pytest

from skerry.http import Exchange
from tests.fixtures.nats import eventually
from tests.proxy.conftest import World

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("path", [b"/healthz", b"/livez", b"/readyz"])
async def test_health_is_open_and_says_nothing_else(host: World, path: bytes) -> None:
    answer = await host.ask(path, token=b"-")
    assert (answer.status, answer.body) == (200, b"ok")


async def test_version_is_open_and_a_kubernetes_version(host: World) -> None:
    version = (await host.ask(b"/version", token=b"-")).json()
    assert version["gitVersion"].startswith("v1.36.0+skerry.")
    assert (version["major"], version["minor"]) == ("1", "36")


@pytest.mark.parametrize("path", [b"/", b"/metrics", b"/apis", b"/clusters/m1/api", b"/nothing", b"/clusters/none/api"])
async def test_everything_else_needs_a_credential(host: World, path: bytes) -> None:
    answer = await host.ask(path, token=b"-")
    assert answer.status == 401
    assert answer.json()["reason"] == "Unauthorized"
    assert (answer.header(b"www-authenticate") or b"").startswith(b"Bearer")


async def test_a_websocket_bearer_protocol_is_no_credential(host: World) -> None:
    protocols = b"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io." + host.admin.hex().encode()
    answer = await host.ask(b"/clusters/m1/api", token=b"-", headers=[(b"sec-websocket-protocol", protocols)])
    assert answer.status == 401


async def test_root_lists_paths_and_metrics_are_text(host: World) -> None:
    assert "/apis" in (await host.ask(b"/")).json()["paths"]
    assert b"skerry_proxy_requests_total" in (await host.ask(b"/metrics")).body


async def test_an_unknown_path_is_404(host: World) -> None:
    assert (await host.ask(b"/nothing")).json()["message"] == "the server could not find the requested resource"


async def test_a_request_reaches_the_member_as_the_caller_and_nobody_else(host: World) -> None:
    alice = await host.token("alice", "skerry:edit", "shop")
    hostile = [
        (b"x-remote-user", b"root"),
        (b"x_remote_group", b"system:masters"),
        (b"x-forwarded-for", b"10.9.9.9"),
        (b"cookie", b"a=b"),
        (b"audit-id", b"forged"),
        (b"accept", b"application/json"),
    ]
    answer = await host.ask(b"/clusters/m1/api/v1/pods?limit=5", token=alice, headers=hostile)
    assert answer.status == 200
    assert answer.json()["target"] == "/api/v1/pods?limit=5"
    seen = [pair for pair in host.recorder.heads[-1].headers if pair[0] not in (b"host", b"audit-id")]
    assert sorted(seen) == [
        (b"accept", b"application/json"),
        (b"authorization", b"Bearer the-agents-own-token"),
        (b"impersonate-extra-skerry.dev%2fuser", b"alice"),
        (b"impersonate-group", b"skerry:edit"),
        (b"impersonate-user", b"skerry:alice"),
        (b"x-forwarded-for", b"127.0.0.1"),
    ]
    assert host.recorder.heads[-1].get(b"audit-id") != b"forged"


async def test_connection_tokens_remove_what_they_name_and_nothing_that_is_set_last(host: World) -> None:
    tokens = b"Connection: x-mine, impersonate-user, impersonate-group, authorization, x-forwarded-for, audit-id"
    head = b"GET /clusters/m1/api HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nX-Mine: 1\r\n%b\r\n\r\n"
    assert (await host.raw(head % (host.admin, tokens))).startswith(b"HTTP/1.1 200 ")
    names = {name for name, _ in host.recorder.heads[-1].headers}
    assert {b"impersonate-user", b"impersonate-group", b"authorization", b"x-forwarded-for", b"audit-id"} <= names
    assert b"x-mine" not in names


OWN_ID = b"6f0c1d52-8a3b-4e57-9d1c-0a7b5c3e2f10"


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        (b"/clusters/m1/api/v1/pods", b"", 200),
        (b"/clusters/none/api", b"", 404),
        (b"/apis/skerry.dev/v1alpha1/clusters", b"", 200),
        (b"/api", b"-", 401),
        (b"/healthz", b"-", 200),
    ],
)
async def test_every_answer_has_an_audit_id_which_a_client_may_choose(
    host: World, path: bytes, token: bytes, status: int
) -> None:
    made, other = [await host.ask(path, token=token) for _ in range(2)]
    chosen = await host.ask(path, token=token, headers=[(b"audit-id", OWN_ID)])
    foreign = await host.ask(path, token=token, headers=[(b"audit-id", b"x" * 36)])
    for answer in (made, other, chosen, foreign):
        assert answer.status == status
        assert len([name for name, _ in answer.headers if name == b"audit-id"]) == 1
    assert uuid.UUID((made.header(b"audit-id") or b"").decode()).version == 4
    assert len({each.header(b"audit-id") for each in (made, other, foreign)}) == 3
    assert chosen.header(b"audit-id") == OWN_ID
    assert foreign.header(b"audit-id") != b"x" * 36


async def test_the_member_is_told_the_id_and_cannot_answer_another(host: World) -> None:
    async def lying(exchange: Exchange) -> None:
        await exchange.respond(200, [(b"audit-id", b"of-the-member"), (b"content-type", b"text/plain")], b"ok")

    host.recorder.routes[b"/lying"] = lying
    answer = await host.ask(b"/clusters/m1/lying", headers=[(b"audit-id", OWN_ID)])
    assert [value for name, value in answer.headers if name == b"audit-id"] == [OWN_ID]
    assert host.recorder.heads[-1].get(b"audit-id") == OWN_ID


async def test_metrics_are_for_who_monitors_the_host(host: World) -> None:
    monitor, auditor = await host.token("mo", "skerry:monitor"), await host.token("au", "skerry:auditor")
    assert [(await host.ask(b"/metrics", token=each)).status for each in (monitor, auditor)] == [200, 403]
    refused = await host.ask(b"/metrics", token=await host.token("nobody"))
    assert "skerry:monitor" in refused.json()["message"]
    assert [(await host.ask(b"/clusters/m1/api", token=each)).status for each in (monitor, auditor)] == [403, 403]


async def test_impersonation_is_403_and_reaches_nobody(host: World) -> None:
    answer = await host.ask(b"/clusters/m1/api/v1/pods", headers=[(b"Impersonate_User", b"root")])
    assert answer.status == 403
    assert host.recorder.heads == []


async def test_without_a_group_every_cluster_is_the_same_403(host: World) -> None:
    nobody = await host.token("nobody", "shop")
    texts = [(await host.ask(b"/clusters/%b/api" % name, token=nobody)) for name in (b"m1", b"m9")]
    assert {answer.status for answer in texts} == {403}
    assert texts[0].body.replace(b"m1", b"?") == texts[1].body.replace(b"m9", b"?")
    assert b"skerry:view" in texts[0].body


async def test_an_unknown_cluster_is_404_whatever_its_name(host: World) -> None:
    one, other = [await host.ask(b"/clusters/%b/api" % name) for name in (b"m8", b"m9")]
    assert (one.status, one.json()["reason"]) == (404, "NotFound")
    assert one.body.replace(b"m8", b"?") == other.body.replace(b"m9", b"?")
    assert (await host.ask(b"/clusters/UPPER_case/api")).status == 404


async def test_the_host_without_kubernetes_says_so(host: World) -> None:
    await host.cluster("host", mode="none")
    answer = await host.ask(b"/clusters/host/api")
    assert answer.status == 404
    assert "without Kubernetes" in answer.json()["message"]


@pytest.mark.parametrize("target", [b"/clusters/m1/api/%2e%2e/x", b"/clusters/m1//api", b"/clusters/m1/api%2fv1"])
async def test_paths_that_mean_two_things_are_400(host: World, target: bytes) -> None:
    assert (await host.ask(target)).status == 400
    assert host.recorder.heads == []


async def test_an_agent_that_is_away_is_503_at_once_with_since_when(host: World) -> None:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Offline",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    await host.cluster("m2", conditions=[condition])
    answer = await host.ask(b"/clusters/m2/api/v1/pods", b"DELETE")
    assert (answer.status, answer.json()["reason"]) == (503, "ServiceUnavailable")
    assert "cluster m2 is away since 2026-01-02T03:04:05Z" in answer.json()["message"]
    assert b"m2 is away" in (answer.header(b"warning") or b"")
    assert answer.header(b"retry-after") is None


async def test_the_host_api_lists_clusters_and_filters_by_role(host: World) -> None:
    viewer = await host.token("v", "skerry:view")
    path = b"/apis/skerry.dev/v1alpha1/clusters"
    names = [item["metadata"]["name"] for item in (await host.ask(path, token=viewer)).json()["items"]]
    assert names == ["m1"]
    assert (await host.ask(path + b"/m1", b"DELETE", token=viewer)).status == 403
    assert (await host.ask(b"/apis/skerry.dev/v1alpha1/jointokens", token=viewer)).status == 403
    own = (await host.ask(b"/apis/skerry.dev/v1alpha1/credentials", token=viewer)).json()["items"]
    assert [item["spec"]["user"] for item in own] == ["v"]


async def test_a_heartbeat_fills_the_live_cells_and_says_since_when(host: World) -> None:
    await host.agent.beat(1.25)
    await eventually(lambda: bool(host.proxy.heartbeats.live("m1")))
    table = (
        await host.ask(
            b"/apis/skerry.dev/v1alpha1/clusters",
            headers=[(b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io")],
        )
    ).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    row = dict(zip(names, table["rows"][0]["cells"], strict=True))
    assert (row["RTT"], row["Last Heartbeat"]) in {("1.2ms", "0s"), ("1.2ms", "1s")}
    host.agent.kill()
    away = await host.ask(b"/clusters/m1/api")
    assert away.status == 503
    assert "is away since 20" in away.json()["message"]


async def test_a_revoked_token_is_401_from_then_on(host: World) -> None:
    token = await host.token("gone", "skerry:view")
    assert (await host.ask(b"/clusters/m1/api", token=token)).status == 200
    await host.revoke(token)
    assert (await host.ask(b"/clusters/m1/api", token=token)).status == 401


async def test_an_expired_token_is_401(host: World) -> None:
    token = await host.token("old", "skerry:view", expires_s=-1)
    assert "expired" in (await host.ask(b"/apis", token=token)).json()["message"]


async def test_events_are_for_monitors_and_administrators(host: World) -> None:
    alice, monitor = await host.token("alice", "skerry:edit", "shop"), await host.token("eve", "skerry:monitor")
    refused = await host.ask(b"/events", token=alice)
    assert refused.status == 403
    assert "skerry:monitor" in refused.json()["message"]
    for token in (monitor, host.admin):
        wrong = await host.ask(b"/events?since=yesterday", token=token)
        assert wrong.status == 400
        assert "use for example since=1h" in wrong.json()["message"]
