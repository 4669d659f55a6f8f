"""Apps are found by their names, by beginnings, by keywords and where a name was misspelt; the best comes first."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.search import ALIKE, MOST, RANKED, Search, SearchEntry

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


def test_a_chart_that_is_called_as_its_repository_changes_and_goes() -> None:
    search = Search()
    for keywords in ("cache", "queue"):
        search.put("a", SearchEntry("redis.redis", keywords, ""))
    assert (search.find("redis"), search.find("cache"), search.find("queue")) == (["a"], [], ["a"])
    search.remove("a")
    assert search.find("redis") == []


def test_there_is_an_end_to_answers_and_to_questions() -> None:
    search = Search()
    for number in range(MOST + 10):
        search.put(str(number), SearchEntry(f"web-{number}", "", ""))
    assert len(search.find("web")) == MOST
    assert len(search.find("weeb")) == MOST
    assert search.find("web " * 10_000) == search.find("web " * 8)


def test_a_name_comes_first_however_many_have_the_word_elsewhere() -> None:
    search = Search()
    for number in range(RANKED + 10):
        search.put(str(number), SearchEntry(f"web-{number}", "redis", "a redis for the web"))
    search.put("own", SearchEntry("bitnami.redis", "", ""))
    search.put("ours", SearchEntry("lab.redis", "", ""))
    assert search.find("redis")[:2] == ["own", "ours"]
    assert len(search.find("redis")) == MOST
    assert search.find("redis", lambda key: key in ("7", "ours")) == ["ours", "7"]


@given(
    st.lists(st.text("abcdef7_", min_size=3, max_size=12), min_size=1, max_size=8),
    st.text("abcdef7", min_size=3, max_size=9),
)
def test_names_that_are_alike_are_found_whatever_their_letters(names: list[str], word: str) -> None:
    search = Search()
    for number, name in enumerate(names):
        search.put(str(number), SearchEntry(name, "", ""))
    alike = {
        str(number)
        for number, name in enumerate(names)
        if any(SequenceMatcher(None, each, word).ratio() >= ALIKE for each in name.split("_"))
    }
    begun = {str(number) for number, name in enumerate(names) if any(each.startswith(word) for each in name.split("_"))}
    assert set(search.find(word)) == (begun or alike)
    for number in range(len(names)):
        search.remove(str(number))
    assert search.find(word) == []


@given(st.text(max_size=40))
def test_any_text_is_a_question(text: str) -> None:
    search = Search()
    search.put("a", SearchEntry("one.web", text, text))
    assert search.find(text) in (["a"], [])
