"""The service as a process of its own: `python -m services.audit`."""

from services.audit.service import SERVICE
from skerry.service import run

if __name__ == "__main__":
    run(SERVICE)
