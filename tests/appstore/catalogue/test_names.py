"""Names of apps and their versions: readable, valid, and never one for two."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.appstore.catalogue.names import LONGEST, app_name, version_name
from services.appstore.metadata import NAME
from skerry.api.validation import is_subdomain

IDENTIFIER = st.from_regex(r"[0-9A-Za-z-]{1,12}", fullmatch=True)
VERSIONS = st.builds(
    lambda numbers, pre, build: (
        ".".join(map(str, numbers)) + (f"-{pre}" if pre else "") + (f"+{build}" if build else "")
    ),
    st.tuples(*[st.integers(0, 10**6)] * 3),
    st.one_of(st.just(""), IDENTIFIER),
    st.one_of(st.just(""), IDENTIFIER),
)
CHARTS = st.from_regex(NAME, fullmatch=True)


def test_names_as_people_read_them() -> None:
    assert app_name("stable", "nginx") == "stable.nginx"
    assert app_name("", "nginx") == "nginx"
    assert version_name("stable.nginx", "1.2.3") == "stable.nginx-1.2.3"
    assert version_name("nginx", "1.2.3-rc.1") == "nginx-1.2.3-rc.1"
    assert re.fullmatch("nginx-1.2.3-build-[0-9a-f]{8}", version_name("nginx", "1.2.3+Build"))


@given(CHARTS, VERSIONS, VERSIONS)
def test_two_versions_have_two_names(chart: str, one: str, other: str) -> None:
    assert (version_name(chart, one) == version_name(chart, other)) == (one == other)


@given(CHARTS, st.one_of(VERSIONS, st.just("1.0.0-" + "a" * 250)))
def test_a_name_is_one_that_an_object_may_have(chart: str, version: str) -> None:
    name = version_name(chart, version)
    assert len(name) <= LONGEST
    assert is_subdomain(name)


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    one, other = app_name("r" * 240, "nginx-a-long-one"), app_name("r" * 240, "nginx-a-long-two")
    assert one != other
    assert len(one) <= LONGEST
