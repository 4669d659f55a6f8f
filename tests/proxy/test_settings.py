"""Listen addresses as people write them."""

from __future__ import annotations

import pytest

from services.proxy.settings import addresses
from skerry.settings import SettingsError


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:8443", ("127.0.0.1", 8443)),
        ("[::1]:0", ("::1", 0)),
        (":8443", ("", 8443)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_read(text: str, pair: tuple[str, int]) -> None:
    assert addresses([text]) == [pair]


@pytest.mark.parametrize("text", ["", "8443", "host:", "host:http", "host:70000", "host:\u00b2"])
def test_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="SKERRY_LISTEN"):
        addresses([text])
