"""The port of the RequestInfo resolver against a table that the Go resolver of Kubernetes 1.36.3 made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skerry.errors import BadRequest
from skerry.httpwire.requestinfo import RequestInfo, classify, exec_like, reads_only, resolve
from skerry.httpwire.target import unquote

_TABLE = [json.loads(line) for line in (Path(__file__).parent / "requestinfo" / "table.jsonl").read_text().splitlines()]


def _resolve(method: str, target: str) -> tuple[RequestInfo, bytes]:
    path, _, query = target.encode().partition(b"?")
    return resolve(method.encode(), unquote(path), query), query


@pytest.mark.parametrize("row", _TABLE, ids=lambda row: f"{row['method']} {row['target']}")
def test_a_request_means_what_the_api_server_says(row: dict[str, Any]) -> None:
    if "error" in row:
        with pytest.raises(BadRequest):
            _resolve(row["method"], row["target"])
        return
    info, query = _resolve(row["method"], row["target"])
    expected = row["info"]
    assert info == RequestInfo(
        is_resource=expected["IsResourceRequest"],
        path=expected["Path"],
        verb=expected["Verb"],
        api_prefix=expected["APIPrefix"],
        group=expected["APIGroup"],
        version=expected["APIVersion"],
        namespace=expected["Namespace"],
        resource=expected["Resource"],
        subresource=expected["Subresource"],
        name=expected["Name"],
        parts=tuple(expected["Parts"] or ()),
        field_selector=expected["FieldSelector"],
        label_selector=expected["LabelSelector"],
    )
    if not row["target"].startswith("/debug/"):
        assert classify(info, query).long_running is row["longRunning"]


def test_the_table_covers_every_case() -> None:
    cases = (Path(__file__).parent / "requestinfo" / "cases.txt").read_text().splitlines()
    assert [f"{row['method']} {row['target']}" for row in _TABLE] == cases
    assert len(cases) >= 60


@pytest.mark.parametrize(
    ("request_line", "kind"),
    [
        ("GET /api/v1/pods", "bulk"),
        ("GET /api/v1/pods?watch=1", "interactive"),
        ("GET /api/v1/namespaces/a/pods/b", "interactive"),
        ("DELETE /api/v1/namespaces/a/pods", "bulk"),
        ("DELETE /api/v1/namespaces/a/pods/b", "interactive"),
        ("POST /api/v1/namespaces/a/pods", "interactive"),
        ("GET /api/v1/namespaces/a/pods/b/log", "bulk"),
        ("GET /api/v1/namespaces/a/pods/b/log?follow=false", "bulk"),
        ("GET /api/v1/namespaces/a/pods/b/log?follow=true", "interactive"),
        ("GET /api/v1/namespaces/a/pods/b/exec?command=tar", "bulk"),
        ("GET /api/v1/namespaces/a/pods/b/exec?command=sh&tty=true", "interactive"),
        ("GET /api/v1/namespaces/a/pods/b/attach", "interactive"),
        ("GET /api/v1/namespaces/a/pods/b/portforward", "bulk"),
        ("GET /api/v1/namespaces/a/services/b/proxy/x", "bulk"),
        ("GET /version", "interactive"),
        ("GET /openapi/v2", "bulk"),
    ],
)
def test_classes_are_those_of_the_vocabulary(request_line: str, kind: str) -> None:
    method, target = request_line.split(" ")
    assert classify(*_resolve(method, target)).kind == kind


@pytest.mark.parametrize("sub", ["exec", "attach", "portforward", "proxy", "proxy/a/b"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_reaching_into_a_workload_is_seen_whatever_the_method(method: str, sub: str) -> None:
    info, _ = _resolve(method, f"/api/v1/namespaces/a/pods/b/{sub}")
    assert exec_like(info)
    assert not reads_only(info)


@pytest.mark.parametrize(
    ("request_line", "reads"),
    [
        ("GET /api/v1/pods", True),
        ("GET /api/v1/watch/pods", True),
        ("HEAD /healthz", True),
        ("POST /healthz", False),
        ("POST /api/v1/namespaces/a/pods", False),
        ("GET /api/v1/proxy/nodes/n", False),
        ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", True),
        ("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", True),
        ("POST /apis/example.com/v1/selfsubjectreviews", False),
        ("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", False),
        ("POST /api/v1/namespaces/a/serviceaccounts/b/token", False),
        ("GET /api/v1/namespaces/a/pods/b/log", True),
    ],
)
def test_a_read_only_ceiling_lets_reads_and_questions_about_oneself_pass(request_line: str, reads: bool) -> None:
    method, target = request_line.split(" ")
    assert reads_only(_resolve(method, target)[0]) is reads
