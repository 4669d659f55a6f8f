"""The tower process: `python -m services.tower`. It runs one proxy; the settings are the proxy's."""

from services.proxy.serve import main
from skerry.runtime import run

if __name__ == "__main__":
    run(main, name="tower")
