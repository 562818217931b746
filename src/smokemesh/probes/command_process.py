"""One program running: its pipes, what it printed so far, its end. Never blocks but for starting it.

It leads a process group of its own, so that what it starts ends with it. Its exit is an event on a file (pidfd_open(2)).
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO, Final

from smokemesh.probes.command_rules import DIRECTORIES
from smokemesh.probes.tools.run import SECRET_FILE, Run

#: More than this a program need not print, on each of its streams.
MOST_OUTPUT: Final = 64 * 1024
_CHUNK: Final = 16 * 1024
#: Of our own environment a program gets these: ssh finds its key by them.
_KEPT: Final = ("HOME", "USER", "LOGNAME")


class Process:
    """A program under way. Raises OSError when it cannot be started."""

    def __init__(self, run: Run) -> None:
        with contextlib.ExitStack() as opened:
            stdin: IO[bytes] | int = opened.enter_context(_memory(run.stdin)) if run.stdin else subprocess.DEVNULL
            kept: list[int] = []
            words: Sequence[str] = run.argv
            if any(SECRET_FILE in word for word in words):
                secret = opened.enter_context(_memory(run.secret)).fileno()
                words = [word.replace(SECRET_FILE, f"/proc/self/fd/{secret}") for word in words]
                kept = [secret]
            self._popen = subprocess.Popen(  # no shell; `command_rules` decided what may be run
                words, executable=find(words[0]), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=_environment(run), cwd="/", close_fds=True, pass_fds=kept, start_new_session=True, bufsize=0,
            )  # fmt: skip
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self.pid = self._popen.pid
        self.streams = {self._popen.stdout.fileno(): bytearray(), self._popen.stderr.fileno(): bytearray()}
        self._stdout, self._stderr = self.streams
        for fd in self.streams:
            os.set_blocking(fd, False)
        #: Becomes readable when the program has ended.
        try:
            self.exit_fd = os.pidfd_open(self.pid)
        except OSError:
            self._abandon()
            raise

    @property
    def stdout(self) -> bytes:
        """What it printed so far."""
        return bytes(self.streams[self._stdout])

    @property
    def stderr(self) -> bytes:
        """What it complained of so far."""
        return bytes(self.streams[self._stderr])

    def read(self, fd: int) -> bool:
        """Read what a stream holds; False when there will be no more, or there is too much."""
        held = self.streams[fd]
        while len(held) <= MOST_OUTPUT:
            try:
                chunk = os.read(fd, _CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not chunk:
                return False
            held += chunk
        return False

    @property
    def flooding(self) -> bool:
        """It printed more than we care to read."""
        return any(len(held) > MOST_OUTPUT for held in self.streams.values())

    def ask_to_end(self) -> None:
        """SIGTERM to it and all it started."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and all it started."""
        self._signal(signal.SIGKILL)

    def reap(self) -> int:
        """It has ended: end what it left behind, and give everything back. Its exit status."""
        os.close(self.exit_fd)
        return self._abandon()

    def _abandon(self) -> int:
        # Until it is waited for, its number and its group's are no one else's.
        self._signal(signal.SIGKILL)
        status = self._popen.wait()
        for stream in (self._popen.stdout, self._popen.stderr):
            if stream is not None:
                stream.close()
        return status

    def _signal(self, number: int) -> None:
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def find(program: str) -> str:
    """The path of a program: as written, or in a system directory. Raises FileNotFoundError."""
    if "/" in program:
        return program
    for directory in DIRECTORIES:
        path = f"{directory}/{program}"
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(2, "not found; install it on the agent", program)


def _memory(data: bytes) -> IO[bytes]:
    """A file that holds these bytes and stands on no disk (memfd_create(2))."""
    file = open(os.memfd_create("smokemesh", os.MFD_CLOEXEC), "w+b", buffering=0)  # noqa: SIM115  # the caller closes it
    file.write(data)
    file.seek(0)
    return file


def _environment(run: Run) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PATH": ":".join(DIRECTORIES), "LANG": "C", "LC_ALL": "C"} | kept | dict(run.environment)
