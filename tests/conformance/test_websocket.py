"""A watch over WebSocket is the same on both sides: messages, sub-protocol, close code."""

from __future__ import annotations

import msgspec
import pytest

from tests.conformance.sides import Side

pytestmark = [pytest.mark.kube, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
PATH = "/apis/skerry.dev/v1alpha1/workspaces"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
HEADERS = {"content-type": "application/json"}


@pytest.mark.parametrize("protocols", [[], ["base64.binary.k8s.io"], ["anything"]])
async def test_both_sides_tell_the_same(apiserver: Side, host: Side, protocols: list[str]) -> None:
    name = f"socket-{len(protocols)}-{len(''.join(protocols))}"
    body = msgspec.json.encode(
        {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": name, "labels": {"of": name}},
            "spec": {},
        }
    )
    told = []
    for side in (apiserver, host):
        made = await side.ask("POST", PATH, body, HEADERS)
        assert made.status == 201, made
        told.append(await side.talk(f"{PATH}?watch=1&timeoutSeconds=1&labelSelector=of%3D{name}", protocols))
    assert told[1] == told[0]
    assert told[0].code == 1000
