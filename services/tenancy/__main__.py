"""Tenancy as a process of its own: `python -m services.tenancy`."""

from services.tenancy.service import SERVICE
from skerry.service import run

if __name__ == "__main__":
    run(SERVICE)
