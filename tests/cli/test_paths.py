"""Paths of the host's API as the command line writes them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from skerry.api.kinds import APP, APP_CATEGORY, APP_INSTANCE, APP_RELEASE, APP_STORE, APP_VERSION
from skerry.cli import paths


def test_parameters_that_are_empty_are_left_out() -> None:
    assert paths.query("/x", a="", b="1 2") == "/x?b=1%202"
    assert paths.query("/x") == "/x"


def test_an_object_is_in_its_namespace_if_its_kind_is_in_any() -> None:
    assert paths.path_in(APP_RELEASE, "shop", "web", "diff").endswith("/namespaces/shop/appreleases/web/diff")
    assert paths.path_in(APP_RELEASE, "").endswith("/v1alpha1/appreleases")
    assert paths.path_in(APP_CATEGORY, "shop", "a/b").endswith("/v1alpha1/appcategories/a%2Fb")


def test_names_of_kinds_are_those_of_the_kinds() -> None:
    pairs = (
        (paths.APPS, APP),
        (paths.APP_VERSIONS, APP_VERSION),
        (paths.APP_RELEASES, APP_RELEASE),
        (paths.APP_INSTANCES, APP_INSTANCE),
        (paths.APP_STORES, APP_STORE),
    )
    for ours, kind in pairs:
        assert (ours.plural, ours.singular, ours.namespaced) == (kind.plural, kind.singular, kind.namespaced)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_quoted_as_everybody_does(text: str) -> None:
    assert paths.quoted(text) == quote(text, safe="")
    assert paths.query("/x", a=text, b="") == (
        "/x?" + urlencode({"a": text}, quote_via=quote, safe="") if text else "/x"
    )
