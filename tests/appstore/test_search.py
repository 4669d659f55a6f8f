"""Apps are found by their names, by beginnings, by keywords and where a name was misspelt; the best comes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.search import MOST, Search, SearchEntry

APPS = {
    "pg": SearchEntry("bitnami.postgresql", "sql database", "An object-relational database"),
    "ha": SearchEntry("bitnami.postgresql-ha", "sql database", "The same, for several nodes"),
    "ng": SearchEntry("bitnami.nginx", "http proxy web", "A web server"),
    "my": SearchEntry("other.mysql", "sql", "Not postgresql"),
    "de": SearchEntry("other.größe", "Maß", "Umlaute"),
}


@pytest.fixture(scope="module")
def search() -> Search:
    filled = Search()
    for key, entry in APPS.items():
        filled.put(key, entry)
    return filled


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("postgresql", ["pg", "ha", "my"]),
        ("PostgreSQL-HA", ["ha"]),
        ("postg", ["pg", "ha", "my"]),
        ("sql database", ["ha", "pg"]),
        ("web server", ["ng"]),
        ("relational", ["pg"]),
        ("bitnami", ["ng", "pg", "ha"]),
        ("ngnix", ["ng"]),
        ("postgrsql", ["pg", "ha"]),
        ("postgrsql ah", []),
        ("n", ["ng"]),
        ("GRÖSSE", ["de"]),
        ("GRÖßE", ["de"]),
        ("nothing-like-it", []),
        ("", []),
        ("\"*' OR name:", []),
        ("NEAR(", []),
        ("\x00", []),
    ],
)
def test_what_a_question_finds(search: Search, text: str, keys: list[str]) -> None:
    assert sorted(search.find(text)) == sorted(keys)


def test_the_name_itself_comes_first(search: Search) -> None:
    assert search.find("postgresql")[0] == "pg"
    assert search.find("postgresql")[-1] == "my"


def test_what_changed_is_found_as_it_is_now() -> None:
    search = Search()
    search.put("a", SearchEntry("one.web", "", ""))
    search.put("b", SearchEntry("two.web", "", ""))
    search.put("a", SearchEntry("one.redis", "", ""))
    assert (search.find("web"), search.find("redis"), search.find("wweb")) == (["b"], ["a"], ["b"])
    search.remove("b")
    search.remove("b")
    assert (search.find("web"), search.find("wweb")) == ([], [])


def test_there_is_an_end_to_answers_and_to_questions() -> None:
    search = Search()
    for number in range(MOST + 10):
        search.put(str(number), SearchEntry(f"web-{number}", "", ""))
    assert len(search.find("web")) == MOST
    assert len(search.find("weeb")) == MOST
    assert search.find("web " * 10_000) == search.find("web " * 8)


@given(st.text(max_size=40))
def test_any_text_is_a_question(text: str) -> None:
    search = Search()
    search.put("a", SearchEntry("one.web", text, text))
    assert search.find(text) in (["a"], [])
