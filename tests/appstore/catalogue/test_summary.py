"""What an App says, made of its versions: the newest that may be installed, and what that says of itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from services.appstore.catalogue.summary import is_installable, newest, status_of
from skerry.api.meta import Document


def version(text: str, phase: str = "Active", *, problem: Document | None = None, **chart: Any) -> Document:
    status: Document = {"phase": phase, "chart": chart}
    if problem:
        status["problem"] = problem
    return {"spec": {"app": "a", "version": text, "chart": "nginx", "repository": "stable"}, "status": status}


@pytest.mark.parametrize(
    ("each", "namespace", "may"),
    [
        (version("1.0.0"), "skerry-apps", True),
        (version("1.0.0", "Draft"), "skerry-apps", False),
        (version("1.0.0", "Draft"), "shop", True),
        (version("1.0.0", "Suspended"), "shop", False),
        (version("1.0.0", problem={"reason": "TooLarge"}), "shop", False),
        (version("1.0.0", type="library"), "shop", False),
        ({"spec": {"version": "1.0.0"}}, "skerry-apps", False),
    ],
)
def test_who_may_install_what(each: Document, namespace: str, may: bool) -> None:
    assert is_installable(each, namespace) is may


@pytest.mark.parametrize(
    ("versions", "latest"),
    [
        ([version("1.9.0"), version("1.10.0"), version("1.2.0")], "1.10.0"),
        ([version("1.0.0"), version("2.0.0-rc.1")], "1.0.0"),
        ([version("2.0.0-rc.1"), version("2.0.0-rc.2")], "2.0.0-rc.2"),
        ([version("1.0.0"), version("1.1.0", prerelease=True)], "1.0.0"),
        ([version("1.0.0"), version("3.0.0", "Suspended")], "1.0.0"),
        ([version("1.0.0", "Suspended"), version("3.0.0", "Draft")], "3.0.0"),
        ([version("not one"), version("0.0.1")], "0.0.1"),
    ],
)
def test_the_latest_is_the_newest_that_is_for_production_and_may_be_installed(
    versions: list[Document], latest: str
) -> None:
    random.shuffle(versions)
    assert newest(versions, "skerry-apps")["spec"]["version"] == latest


def test_the_whole_status() -> None:
    versions = [
        version("1.0.0", description="old"),
        version("1.1.0", description="a server", appVersion="2", containsSecurityUpdates=True, keywords=["web"]),
        version("1.2.0", "Draft"),
    ]
    assert status_of(versions, "skerry-apps") == {
        "chart": "nginx",
        "repository": "stable",
        "latest": "1.1.0",
        "appVersion": "2",
        "versions": 3,
        "installable": 2,
        "description": "a server",
        "keywords": ["web"],
        "securityUpdates": True,
    }
