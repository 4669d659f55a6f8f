"""What a process loads with the bus."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import skerry.bus
print("aiohttp" in sys.modules, "nats.js.api" in sys.modules)
import aiohttp
print(aiohttp.ClientSession.__name__)
import nats
print(nats.js.JetStreamContext.__name__, nats.js.api.Header.STATUS.value)
"""


def test_what_the_bus_does_not_speak_is_not_loaded_and_can_be_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    expected = ["False", "False", "ClientSession", "JetStreamContext", "Status"]
    assert (done.stdout.split(), done.stderr) == (expected, "")
