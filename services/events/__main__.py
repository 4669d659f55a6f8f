"""The process of the service events alone: `python -m services.events`."""

from services.events.service import SERVICE
from skerry.service import run

if __name__ == "__main__":
    run(SERVICE)
