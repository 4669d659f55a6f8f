"""Settings from the environment: types, what is missing, what is unknown, and what is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from skerry.settings import Settings, SettingsError, about, load, read_secret, redacted, table


class Example(Settings, frozen=True, kw_only=True):
    """Settings of an imagined process."""

    bus_servers: Annotated[list[str], about("Where the bus is.")]
    key_file: Annotated[Path | None, about("A key.")] = None
    workers: Annotated[int, about("How many.")] = 4
    verbose: Annotated[bool, about("Talk.")] = False
    password: Annotated[str, about("Never do this.", secret=True)] = ""


ENV = {"SKERRY_BUS_SERVERS": "tls://a:1, tls://b:2"}


def test_lists_are_comma_separated() -> None:
    assert load(Example, ENV).bus_servers == ["tls://a:1", "tls://b:2"]


def test_values_become_the_fields_types() -> None:
    found = load(Example, ENV | {"SKERRY_WORKERS": "7", "SKERRY_VERBOSE": "yes", "SKERRY_KEY_FILE": "/k"})
    assert (found.workers, found.verbose, found.key_file) == (7, True, Path("/k"))


def test_an_empty_variable_is_unset() -> None:
    assert load(Example, ENV | {"SKERRY_WORKERS": ""}).workers == 4


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="SKERRY_BUS_SERVERS must be set"):
        load(Example, {})


def test_a_value_of_the_wrong_type_is_named_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="SKERRY_WORKERS"):
        load(Example, ENV | {"SKERRY_WORKERS": "many"})


def test_a_boolean_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="SKERRY_VERBOSE is 'perhaps': use 1 or 0"):
        load(Example, ENV | {"SKERRY_VERBOSE": "perhaps"})


def test_other_programs_variables_do_not_disturb() -> None:
    assert load(Example, ENV | {"SKERRY_STATE": "/x"}).workers == 4


def test_a_strict_environment_refuses_unknown_names() -> None:
    with pytest.raises(SettingsError, match="SKERRY_WORKRS: no such setting"):
        load(Example, ENV | {"SKERRY_STRICT": "1", "SKERRY_WORKRS": "1", "SKERRY_LOG_LEVEL": "debug"})


def test_help_lists_every_variable_with_default_and_description() -> None:
    lines = table(Example).splitlines()
    assert lines[0].split(maxsplit=2) == ["SKERRY_BUS_SERVERS", "(required)", "Where the bus is."]
    assert lines[2].split(maxsplit=2) == ["SKERRY_WORKERS", "4", "How many."]


def test_secrets_are_not_dumped() -> None:
    found = load(Example, ENV | {"SKERRY_PASSWORD": "hunter2"})
    assert redacted(found)["SKERRY_PASSWORD"] == "***"
    assert redacted(found)["SKERRY_BUS_SERVERS"] == "tls://a:1,tls://b:2"


def test_a_secret_is_read_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("value\n")
    assert read_secret(tmp_path / "s") == "value"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_secret_that_cannot_be_had_names_its_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "s").write_bytes(content)
    with pytest.raises(SettingsError, match=str(tmp_path / "s")):
        read_secret(tmp_path / "s")
