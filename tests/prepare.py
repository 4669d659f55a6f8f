"""What the suites need and a clone does not have: system packages, Kubernetes, client programs. Once per machine.

`make test` runs this first, where progress can be shown: the suites themselves run in two processes, and each finds
everything in the cache. Where something cannot be had, its tiers are skipped later with the same line, or fail where
`SKERRY_TEST_KUBE_REQUIRED=1` says that they may not be.
"""

from __future__ import annotations

import os
import sys

from tests.clients import tools
from tests.clients_hostapi import program
from tests.kube.packages import PackagesMissing, ensure
from tests.kube.provider import Unavailable, choose


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


def main() -> int:
    """0, or 1 where a required tier cannot run."""
    try:
        ensure(say)
        provider = choose(say)
        say(f"kube tier: {provider.description}")
        provider.close()
        tools.obtain([name for name in tools.PROGRAMS if name not in tools.LONG], say)
        program.obtain(say)
    except (PackagesMissing, Unavailable, tools.Unavailable) as error:
        say(f"some tiers will be skipped: {error}")
        return 1 if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
