"""What `skerry up` in the foreground becomes once the host is ready: a small process that waits for the supervisor.

The front end (typer, rich, keys) replaces itself by this, so that no memory is held for pretty printing. Signals are
passed on; the supervisor stops everything in order and this process tells how it ended.
"""

import os
import signal
import sys


def main() -> None:
    """`python -m skerry.cli.follow PID`: PID is a child of this process."""
    pid = int(sys.argv[1])
    got: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        got.append(number)
        if number == signal.SIGINT:
            os.write(2, b"\nstopping the host...\n")
        os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    _, status = os.waitpid(pid, 0)
    if signal.SIGINT in got:
        sys.exit(130)
    code = os.waitstatus_to_exitcode(status)
    if not got:
        os.write(2, b"the host has stopped\n")
    sys.exit(code if code >= 0 else 1)


if __name__ == "__main__":
    main()
