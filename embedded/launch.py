"""Become another program that dies with its parent: the first thing every child of the embedded stack runs.

Called as ``python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM ARGUMENTS...``; a UID of -1 keeps the user. A
separate program and not ``preexec_fn``, because that runs Python between fork and exec, which is unsafe beside the
threads of the Temporal client. Linux only has the death signal; elsewhere the program is started without it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Does not return: replaces this process, or exits with 127 where the program cannot be started."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid, which would clear it; exec keeps it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before it could be watched
            os.kill(os.getpid(), signal.SIGKILL)
    try:
        os.execv(command[0], command)  # noqa: S606 - the whole point; no shell is wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
