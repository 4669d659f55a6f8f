"""One environment for a process: what its services declare, each name once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from skerry.service.settings import ProcessSettings, composed, part_of, trust_of
from skerry.settings import Settings, SettingsError, about, load, redacted, table

BUS = {
    "SKERRY_BUS_SERVERS": "tls://a:1,tls://b:1",
    "SKERRY_BUS_CA_FILE": "/ca",
    "SKERRY_BUS_CREDENTIALS_FILE": "/creds",
    "SKERRY_TRUST_ROOT": "A",
}


class Tides(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one service."""

    tide_file: Annotated[Path, about("When it comes.")]
    tide_names: Annotated[list[str], about("Of whom.")] = []


class Winds(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of another."""

    wind: Annotated[float, about("How strong.", secret=True)] = 3.0


def test_a_process_reads_the_settings_of_all_its_services() -> None:
    whole = load(composed({"tides": Tides, "winds": Winds}), {**BUS, "SKERRY_TIDE_FILE": "/tides", "SKERRY_WIND": "7"})
    assert whole.bus_servers == ["tls://a:1", "tls://b:1"]
    assert part_of(whole, Tides) == Tides(tide_file=Path("/tides"))
    assert part_of(whole, Winds) == Winds(wind=7.0)
    assert redacted(whole)["SKERRY_WIND"] == "***"


def test_the_table_has_a_row_for_each_with_its_default_and_description() -> None:
    text = table(composed({"tides": Tides, "winds": Winds}))
    assert "SKERRY_TIDE_FILE" in text
    assert "(required)" in text
    assert "How strong." in text
    assert len(text.splitlines()) == 12


def test_who_is_believed_is_a_key_or_a_file_of_keys_and_one_of_them_is_required(tmp_path: Path) -> None:
    path = tmp_path / "trust-roots"
    path.write_text("B\nC\n")
    assert trust_of(load(ProcessSettings, BUS))() == ("A",)
    assert trust_of(load(ProcessSettings, {**BUS, "SKERRY_TRUST_ROOT_FILE": str(path)}))() == ("B", "C")
    with pytest.raises(SettingsError, match="SKERRY_TRUST_ROOT or SKERRY_TRUST_ROOT_FILE must be set"):
        trust_of(load(ProcessSettings, {**BUS, "SKERRY_TRUST_ROOT": ""}))


def test_what_one_service_requires_is_required() -> None:
    with pytest.raises(SettingsError, match="SKERRY_TIDE_FILE must be set"):
        load(composed({"tides": Tides}), BUS)


def test_a_name_that_two_services_declare_is_refused_with_both() -> None:
    with pytest.raises(SettingsError, match="SKERRY_WIND is declared by winds and by gales"):
        composed({"winds": Winds, "gales": Winds})


def test_a_name_of_the_process_is_nobody_elses() -> None:
    with pytest.raises(SettingsError, match="SKERRY_BUS_SERVERS is declared by the process and by odd"):
        composed({"odd": ProcessSettings})


def test_an_unknown_name_is_refused_where_the_environment_was_made_for_the_process() -> None:
    with pytest.raises(SettingsError, match="SKERRY_WINDS: no such setting"):
        load(composed({"winds": Winds}), {**BUS, "SKERRY_STRICT": "1", "SKERRY_WINDS": "7"})
