"""The proxy as a process of its own: `python -m services.proxy`."""

from services.proxy.serve import main
from skerry.runtime import run

if __name__ == "__main__":
    run(main, name="proxy")
