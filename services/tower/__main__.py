"""The tower process: `python -m services.tower`. It runs one proxy; the settings are the proxy's."""

from __future__ import annotations

import gc

from services.proxy.serve import serve
from services.proxy.settings import ProxySettings
from skerry.runtime import Runtime, run
from skerry.settings import load_or_help


async def main(runtime: Runtime) -> None:
    """Serve until stopped."""
    settings = load_or_help(ProxySettings, "tower")
    gc.freeze()
    await serve(settings, runtime)


if __name__ == "__main__":
    run(main, name="tower")
