"""The registry as a process of its own: `python -m services.registry`."""

from services.registry.service import SERVICE
from skerry.service import run

if __name__ == "__main__":
    run(SERVICE)
