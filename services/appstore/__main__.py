"""The App Store as a process of its own: `python -m services.appstore`."""

from services.appstore.service import SERVICE
from skerry.service import run

if __name__ == "__main__":
    run(SERVICE)
