"""The proxy as a process of its own: `python -m services.proxy`."""

from __future__ import annotations

from services.proxy.serve import serve
from services.proxy.settings import ProxySettings
from skerry.runtime import Runtime, run
from skerry.settings import load_or_help


async def main(runtime: Runtime) -> None:
    """Serve until stopped."""
    await serve(load_or_help(ProxySettings, "proxy"), runtime)


if __name__ == "__main__":
    run(main, name="proxy")
