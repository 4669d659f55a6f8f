"""What is sent and shown of packages and apps, as far as no host is asked."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from skerry.cli.commands.app.catalogue import chart_name, printable
from skerry.cli.commands.app.store import in_one_line, seen
from skerry.cli.failure import Failure
from tests.appstore.charts import package


def test_a_package_is_of_the_chart_whose_directory_it_has() -> None:
    assert chart_name(package("shop")) == "shop"


def test_what_is_no_package_is_not_sent() -> None:
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w:gz"):
        pass
    for content in (b"", b"text", empty.getvalue()):
        with pytest.raises(Failure, match="helm package makes one") as refused:
            chart_name(content)
        assert refused.value.code == 2


def test_a_strangers_text_moves_no_cursor() -> None:
    assert printable("# A\r\n\ttext \x1b[31mred\x1b[0m \x07") == "# A\n\ttext \ufffd[31mred\ufffd[0m \ufffd"


def test_the_switch_as_a_document() -> None:
    store = {
        "spec": {"enabled": False},
        "status": {
            "conditions": [
                {"type": "Usable", "status": "False", "reason": "OnlyOnMembers", "message": "only on m1"},
                {"type": "HelmReady", "status": "True", "reason": "Ready", "message": "helm 4.3.1 at /usr/bin/helm"},
            ],
            "helm": {"engine": "commandline", "version": "4.3.1", "walls": ["Landlock"]},
        },
    }
    clusters: list[dict[str, Any]] = [
        {"metadata": {"name": "host"}, "spec": {"role": "host"}},
        {"metadata": {"name": "m1"}, "spec": {"role": "member"}, "status": {"appStore": {"setting": "Enabled"}}},
        {"metadata": {"name": "m2"}, "spec": {"role": "member"}},
    ]
    assert seen(store, clusters) == {
        "enabled": False,
        "usable": False,
        "reason": "OnlyOnMembers",
        "message": "only on m1",
        "helm": {
            "engine": "commandline",
            "version": "4.3.1",
            "jail": ["Landlock"],
            "message": "helm 4.3.1 at /usr/bin/helm",
        },
        "clusters": [
            {"name": "m1", "setting": "Enabled", "usable": False, "reason": "OnlyOnMembers"},
            {"name": "m2", "setting": "Unset", "usable": False, "reason": "OnlyOnMembers"},
        ],
    }


def test_the_switch_and_the_helm_in_one_line() -> None:
    helm = {"engine": "commandline", "version": "4.3.1", "jail": ["limits", "files"], "message": "helm 4.3.1"}
    assert in_one_line({"reason": "Enabled", "helm": helm}) == "Enabled, helm 4.3.1 (commandline) behind limits, files"
    assert in_one_line({"reason": "HostDisabled", "helm": helm | {"jail": []}}).endswith(
        "(commandline) behind no walls"
    )
    none = {"engine": "", "version": "", "jail": [], "message": "no helm on PATH: install helm 4.2.2"}
    assert in_one_line({"reason": "Enabled", "helm": none}).endswith(
        "nothing can be installed: no helm on PATH: install helm 4.2.2"
    )
