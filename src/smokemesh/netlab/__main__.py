"""`python -m smokemesh.netlab FD`: play the network that is asked for over a socket. Started by `network.Network`."""

import gc
import os
import signal
import socket
import sys

from smokemesh.netlab.responder import play


def main() -> None:
    """Play until the other end of the socket is closed: by a `with` that ends, or by the death of its process."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("smokemesh.netlab is started by the program that uses it; to see it at work: smokemesh demo")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing here makes cycles, and a collection is a pause in which answers would be late.
    gc.disable()
    # select(2) takes descriptors below 1024 only, and the program that started us may have had many open.
    low = os.dup(int(sys.argv[1]))
    os.close(int(sys.argv[1]))
    with socket.socket(fileno=low) as asker:
        play(asker)


if __name__ == "__main__":
    main()
