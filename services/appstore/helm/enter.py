"""Enter a jail and become a program: `python -I -S enter.py PROGRAM ARG…`, the jail in the environment's SKERRY_JAIL, as `described` writes it.

    {"parent": pid, "read": [path], "write": [path], "connect": [port] or null, "nice": n, "limits": {"DATA": bytes, "CPU": s, …}}

The walls are the kernel's and stay over execve(2): no new privileges, resource limits, the parent's death (PR_SET_PDEATHSIG), and
Landlock (docs.kernel.org/userspace-api/landlock.html): what is not named can be neither read nor written, TCP goes to the named
ports alone, or to none. A kernel without Landlock leaves that wall out (exit 78 with "require": true). Standard library only, and little of
it: some 15 ms of CPU.
"""

import ctypes
import marshal
import os
import resource
import stat
import struct
import sys

NO_JAIL = 78
"""Exit code where a wall is missing that is required (EX_CONFIG)."""
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH, NET_PORT = 1, 2
_VERSION = 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Rights over files that a version of Landlock knows; later ones know 16."""
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPES = 3
"""Abstract unix sockets, and signals to processes outside."""


def landlock_version() -> int:
    """The version of the kernel's Landlock; 0 if it has none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def described(jail: dict) -> str:  # type: ignore[type-arg]
    """The jail for the environment of the same Python: json and signal would take half of the time until the program runs."""
    return marshal.dumps(jail).hex()


def main() -> None:
    """Never returns."""
    jail = marshal.loads(bytes.fromhex(os.environ.pop("SKERRY_JAIL")))  # noqa: S302 - of our own parent
    program = sys.argv[1:]
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        if os.getppid() != jail["parent"]:
            sys.exit(1)
    if patience := jail.get("nice", 0):
        os.setpgid(0, 0)
        os.nice(patience)
        if sys.platform == "linux":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # whoever wakes up has its turn at once
    for name, value in jail["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    version = landlock_version()
    if version:
        _restrict(jail, version)
    elif jail.get("require"):
        sys.stderr.write("this kernel has no Landlock, and the jail requires it\n")
        sys.exit(NO_JAIL)
    os.execve(program[0], program, dict(os.environ))  # noqa: S606 - the program is the jail's


def _restrict(jail: dict, version: int) -> None:  # type: ignore[type-arg]
    libc = _libc()
    handled_files = (1 << _FS_BITS.get(version, 16)) - 1
    handled_ports = _BIND_TCP | _CONNECT_TCP if version >= 4 else 0
    attributes = struct.pack("=QQQ", handled_files, handled_ports, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(libc.syscall(CREATE_RULESET, attributes[:size], ctypes.c_size_t(size), ctypes.c_uint32(0)))
    for path in jail["read"]:
        _allow(ruleset, path, EXECUTE | READ_FILE | READ_DIR)
    for path in jail["write"]:
        _allow(ruleset, path, handled_files)
    for port in (jail["connect"] or ()) if handled_ports else ():
        _add(ruleset, NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(libc.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = rights if stat.S_ISDIR(os.fstat(place).st_mode) else rights & _FILE_RIGHTS
    _add(ruleset, PATH_BENEATH, struct.pack("=Qi", rights, place))
    os.close(place)


def _add(ruleset: int, kind: int, rule: bytes) -> None:
    _checked(_libc().syscall(ADD_RULE, ruleset, kind, rule, ctypes.c_uint32(0)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main()
