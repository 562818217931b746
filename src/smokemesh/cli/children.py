"""Programs that `smokemesh up` starts and keeps running: started again when they die, stopped in order.

A child that ends with 2 (configuration) or 3 (this host) has said why on stderr and would say it again: its status
becomes ours. Anything else is started again, later each time.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

#: Seconds before a child that died is started again: the first, and the longest.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
#: A child that ran so long died by an accident of its own.
STEADY: Final = 60.0
#: Seconds a child has to stop before it is killed.
GRACE: Final = 5.0
_HOPELESS: Final = (2, 3)
_PR_SET_PDEATHSIG: Final = 1


class Child:
    """One program. Call `check` now and then; it starts the program again when it is due."""

    def __init__(self, name: str, argv: Sequence[str], say: Callable[[str], None], keep: Sequence[int] = ()) -> None:
        """`keep` are descriptors it inherits."""
        self.name, self._argv, self._say, self._keep = name, list(argv), say, tuple(keep)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._due = 0.0
        self._wait = FIRST_WAIT

    def start(self) -> None:
        """Start it now."""
        self._began = time.monotonic()
        # A session of its own: Ctrl-C in the terminal reaches it through us, in order.
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._keep,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  # there are no threads here
        )

    @property
    def pid(self) -> int | None:
        """Its process number while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def signal(self, number: signal.Signals) -> None:
        """Pass a signal on, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def check(self) -> int | None:
        """The status with which we should end because of this child, None to go on."""
        if self._process is None:
            if self._due and time.monotonic() >= self._due:
                self.start()
            return None
        status = self._process.poll()
        if status is None:
            return None
        self._process = None
        if status in _HOPELESS:
            return status
        if time.monotonic() - self._began > STEADY:
            self._wait = FIRST_WAIT
        self._say(f"the {self.name} ended {_cause(status)}; it is started again in {self._wait:g} s")
        self._due = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        return None

    def stop(self) -> None:
        """Ask it to end, wait, and kill it when it does not."""
        process, self._process, self._due = self._process, None, 0.0
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._say(f"the {self.name} did not stop within {GRACE:g} s and was killed")
            process.kill()
            process.wait()


def _cause(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes its program: be told to stop when its parent dies (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(0)

    return prepare
