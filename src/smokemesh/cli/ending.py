"""Ending: SIGINT and SIGTERM as something a program can wait for, and share with its children's upkeep."""

import os
import select
import signal
from collections.abc import Callable, Iterable
from typing import Final, Self

from smokemesh.cli.children import Child
from smokemesh.errors import HostError

#: Seconds between two looks at the children.
TICK: Final = 0.2
#: Seconds the master has to become ready: a large store takes a while to open.
PATIENCE: Final = 120.0


class Ending:
    """Whether we were asked to end, by SIGINT or SIGTERM.

    A pipe, because the handler may run between any two steps of this very thread: an Event it sets could be locked by
    the wait it interrupts.
    """

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = {
            number: signal.signal(number, lambda *_: self.ask()) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def ask(self) -> None:
        """Ask ourselves to end; may be called in a signal handler."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # asked so often that the pipe is full

    def wait(self, seconds: float) -> bool:
        """Wait for it so long; whether it came."""
        return bool(select.select([self._read], [], [], seconds)[0])


def begin(master: Child, is_ready: Callable[[], bool], ending: Ending) -> int | None:
    """Start the master and wait until it is ready; the status to end with if it will not be."""
    master.start()
    for _ in range(round(PATIENCE / TICK)):
        status = master.check()
        if status is not None:
            return status
        if ending.wait(TICK):
            return 0
        if is_ready():
            return None
    raise HostError(f"the master was not ready within {PATIENCE:g} s; its log says why")


def watch(children: Iterable[Child], ending: Ending) -> int:
    """Keep the programs running until we are to end; the status to end with."""
    programs = list(children)
    while not ending.wait(TICK):
        for child in programs:
            status = child.check()
            if status is not None:
                return status
    return 0
