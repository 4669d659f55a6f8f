"""The process that has Helm's library in it; what it does with a chart and a cluster is in test_sdk and test_engines."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import msgspec
import pytest

from services.appstore.helm.lookup import SDK
from services.appstore.helm.orders import Order, OrderAnswer
from services.appstore.helm.worker import OPERATIONS, is_manifest, main

PROGRAM = [sys.executable, "-m", main.__module__]


@pytest.mark.parametrize(
    ("path", "rendered"),
    [
        ("web/templates/a.yaml", True),
        ("web/charts/x/templates/a.json", True),
        ("web/templates/a.yml", True),
        ("web/templates/NOTES.txt", False),
        ("web/templates/_names.tpl", False),
        ("web/templates/_names.yaml", False),
    ],
)
def test_which_files_are_manifests(path: str, rendered: bool) -> None:
    assert is_manifest(path) is rendered


def test_it_does_each_operation_that_can_be_ordered() -> None:
    (annotation,) = (each.type for each in msgspec.structs.fields(Order) if each.name == "operation")
    assert set(annotation.__args__) == set(OPERATIONS)


@pytest.mark.integration
@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec(SDK) is None, reason="Helm's library is not installed")
def test_an_answer_stands_alone_and_an_error_is_told_as_helm_tells_it() -> None:
    done = subprocess.run(PROGRAM, input=b'{"operation": "version"}', capture_output=True, check=True, timeout=60)
    assert msgspec.json.decode(done.stdout, type=OrderAnswer).version.startswith("4.")
    order = msgspec.json.encode(Order(operation="template", chart="/nowhere.tgz"))
    done = subprocess.run(PROGRAM, input=order, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"\nError: " in done.stderr
