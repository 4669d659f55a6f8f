"""Which app is meant: the workspace's own before the pool's, by name or by repository and chart, and never one of several."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.meta import Document
from skerry.cli.apps import find_app, workspace_of
from skerry.cli.failure import Failure
from skerry.errors import NotFound


class Shelf:
    """Apps by workspace/name, as a host would answer for them."""

    def __init__(self, *apps: str) -> None:
        self.apps = apps

    def get(self, path: str, **more: Any) -> Document:
        place, _, rest = path.partition("/namespaces/")[2].partition("/apps")
        if rest.startswith("/"):
            if f"{place}{rest}" not in self.apps:
                raise NotFound("no")
            return self._app(f"{place}{rest}")
        chart = rest.rpartition("%3D")[2]
        names = [each for each in self.apps if each.startswith(f"{place}/") and each.endswith(chart)]
        return {"items": [self._app(each) for each in names]}

    def _app(self, place: str) -> Document:
        namespace, _, name = place.partition("/")
        return {"metadata": {"namespace": namespace, "name": name}}


@pytest.mark.parametrize(
    ("apps", "reference", "found"),
    [
        (["shop/web", "skerry-apps/web"], "web", "shop/web"),
        (["skerry-apps/web"], "web", "skerry-apps/web"),
        (["skerry-apps/stable.nginx"], "stable/nginx", "skerry-apps/stable.nginx"),
        (["shop/stable.nginx", "skerry-apps/stable.nginx"], "stable/nginx", "shop/stable.nginx"),
        (["lab/web"], "lab/web", "lab/web"),
        (["skerry-apps/stable.nginx"], "skerry-apps/stable.nginx", "skerry-apps/stable.nginx"),
        (["skerry-apps/stable.nginx"], "nginx", "skerry-apps/stable.nginx"),
        (["shop/own.nginx", "skerry-apps/stable.nginx"], "nginx", "shop/own.nginx"),
    ],
)
def test_the_app_that_is_meant(apps: list[str], reference: str, found: str) -> None:
    host: Any = Shelf(*apps)
    metadata = find_app(host, reference, "shop")["metadata"]
    assert f"{metadata['namespace']}/{metadata['name']}" == found


@pytest.mark.parametrize(
    ("apps", "reference", "text"),
    [
        ([], "web", "there is no app web in workspace shop or in the pool"),
        (
            ["skerry-apps/a.nginx", "skerry-apps/b.nginx"],
            "nginx",
            "several apps: skerry-apps/a.nginx, skerry-apps/b.nginx",
        ),
        (["lab/web", "skerry-apps/lab.web"], "lab/web", "several apps: skerry-apps/lab.web, lab/web"),
    ],
)
def test_none_and_several(apps: list[str], reference: str, text: str) -> None:
    host: Any = Shelf(*apps)
    with pytest.raises(Failure, match=text) as refused:
        find_app(host, reference, "shop")
    assert refused.value.code == 2


def test_a_workspace_and_the_pool_exclude_each_other() -> None:
    assert (workspace_of("", False), workspace_of("shop", False), workspace_of("", True)) == (
        "default",
        "shop",
        "skerry-apps",
    )
    with pytest.raises(Failure):
        workspace_of("shop", True)
