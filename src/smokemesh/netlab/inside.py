"""Runs a program inside a namespace: `inside.py PARENT NETWORK_FD USER_FD PROGRAM [ARGUMENT...]`.

Started as a file by a bare interpreter, so it imports nothing of ours and costs ten milliseconds. The program gets
SIGTERM should the process with the id PARENT, which started it, die. USER_FD is -1 when there is no user namespace.
"""

import ctypes
import os
import signal
import sys

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Enter, then become the program."""
    (parent, network, user), program = map(int, sys.argv[1:4]), sys.argv[4:]
    libc = ctypes.CDLL(None, use_errno=True)
    for namespace, kind in ((user, _NEW_USER), (network, _NEW_NET)):
        if namespace >= 0 and libc.setns(namespace, kind) < 0:
            sys.exit(f"namespace: {os.strerror(ctypes.get_errno())}")
    for namespace in (network, user):
        if namespace >= 0:
            os.close(namespace)
    # Entering a user namespace clears the death signal (credentials change), so it is set last.
    libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
