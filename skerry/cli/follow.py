"""What `skerry up` in the foreground becomes once the host is ready: a small process that waits for the supervisor.

The front end (typer, rich, keys) replaces itself by this, so that no memory is held for pretty printing. Signals are
passed on; the supervisor stops everything in order and this process tells how it ended.
"""

import os
import signal
import subprocess
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    """`python -m skerry.cli.follow PID [COMMAND…]`: PID is a child of this process; COMMAND cleans up at the end."""
    pid, cleanup = int(sys.argv[1]), sys.argv[2:]
    got: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        got.append(number)
        if number == signal.SIGINT:
            os.write(2, b"\nstopping the host...\n")
        os.kill(pid, signal.SIGTERM)

    for number in SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup: the end of the terminal is not ours
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # the front end blocked them until they are heard here
    _, status = os.waitpid(pid, 0)
    if cleanup:
        subprocess.run(cleanup, check=False)
    if signal.SIGINT in got:
        sys.exit(130)
    code = os.waitstatus_to_exitcode(status)
    if not got:
        os.write(2, b"the host has stopped\n")
    sys.exit(code if code >= 0 else 1)


if __name__ == "__main__":
    main()
