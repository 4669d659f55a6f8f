"""Which app is meant: the workspace's own before the pool's, by name or by repository and chart, and never one of several."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from skerry.api.kinds import APP_INSTANCE
from skerry.api.meta import Document
from skerry.cli import apps as apps_
from skerry.cli.apps import changes, find_app, wait_for, workspace_of
from skerry.cli.failure import Failure


class Shelf:
    """Apps by workspace/name, as a host would answer for them."""

    def __init__(self, *apps: str) -> None:
        self.apps = apps

    def find(self, path: str) -> Document | None:
        place, _, rest = path.partition("/namespaces/")[2].partition("/apps")
        if rest.startswith("/"):
            if f"{place}{rest}" not in self.apps:
                return None
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


class Watched:
    """A host whose watch tells of a change when it is told to."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.happens = Event()

    def watch(self, path: str) -> Iterator[Document]:
        self.paths.append(path)
        self.happens.wait(10)
        yield {"type": "MODIFIED"}
        raise Failure("the watch broke off")


def test_who_waits_looks_when_something_changes_and_by_time_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps_, "FIRST_S", 60.0)
    monkeypatch.setattr(apps_, "POLL_S", 60.0)
    host: Any = Watched()
    looks: list[Document] = []

    def look() -> Document:
        looks.append({"number": len(looks)})
        host.happens.set()
        return looks[-1]

    with changes(host, APP_INSTANCE, "shop", fieldSelector="spec.release=web") as changed:
        document, done = wait_for(look, lambda each: each["number"] == 1, str, 30, changed)
        assert (document["number"], done) == (1, True)
        document, done = wait_for(look, lambda each: False, str, 0.01, changed)
    assert not done
    assert host.paths == [
        "/apis/skerry.dev/v1alpha1/namespaces/shop/appinstances?watch=1&fieldSelector=spec.release%3Dweb"
    ]
