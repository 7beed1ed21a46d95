"""Child: a process of the table -> that process, in place of this one (`python -m deploy.local.child HOME NAME`).

The manager starts every process through this wrapper. It binds the process's life to the manager's, writes down who
it is, waits until what the process needs is ready, and then executes it: signals and exit status are the process's.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from deploy.local.environment import inherited
from deploy.local.home import Home
from deploy.local.leftovers import record
from deploy.local.process import Process
from deploy.local.processes import table

_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWUSER: Final = 0x10000000
_POLL_S: Final = 0.2
_OPEN_FILES: Final = 65536
_STAND_IN_ID: Final = 65534  # nobody: any but 0, and one that has a name everywhere, for programs that ask for it


def die_with_parent() -> None:
    """Have the kernel kill this process when the manager dies, also after it has executed something else.

    Called after the process's last change of credentials, which would clear it again.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    if os.getppid() != parent:  # it died between the two
        sys.exit(1)


def leave_root() -> None:
    """Enter a user namespace in which this process is not root; files stay the outer user's, nothing is chowned.

    Raises:
        OSError: User namespaces are forbidden on this machine.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{_STAND_IN_ID} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{_STAND_IN_ID} {gid} 1", encoding="ascii")


def raise_file_limit() -> None:
    """Allow as many open files as this user may have, up to what the servers want."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def wait_for(needed: list[Process], home: Home, name: str) -> None:
    """Return when each of `needed` is ready; write down what `name` waits for meanwhile."""
    for process in needed:
        if process.ready():
            continue
        record(home, name, waiting_for=process.name)
        print(f"waiting for {process.name}", flush=True)
        while not process.ready():
            time.sleep(_POLL_S)
    record(home, name)


def become(process: Process) -> NoReturn:
    """Execute the process in place of this one."""
    os.execve(process.command[0], process.command, inherited() | dict(process.environment))  # noqa: S606 -- no shell on purpose


def main(arguments: list[str]) -> NoReturn:
    """Run the named process of the home."""
    home, name = Home(Path(arguments[0])), arguments[1]
    processes = {process.name: process for process in table(home)}
    process = processes[name]
    if process.refuses_root and os.geteuid() == 0:
        try:
            leave_root()
        except OSError as error:
            print(
                f"{name} refuses to run as root, and this machine forbids user namespaces ({error.strerror}): "
                "run Heimdex as a normal user, or allow them (sysctl user.max_user_namespaces)",
                flush=True,
            )
            sys.exit(1)
    die_with_parent()
    raise_file_limit()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where `up` ran in the background; some are stopped by it
    record(home, name)
    wait_for([processes[other] for other in process.after], home, name)
    become(process)


if __name__ == "__main__":
    main(sys.argv[1:])
