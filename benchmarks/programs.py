"""Start real programs for a benchmark, and read what they cost from /proc. Times are seconds, sizes bytes."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """A loopback port nobody listens on now, below those the kernel gives to clients.

    From among those, a client that retries while its server is down may be given the very port, and hold it.
    """
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return int(s.getsockname()[1])


def smokemesh(*arguments: str) -> list[str]:
    """The command line of our own program under the Python that runs the benchmark."""
    return [sys.executable, "-m", "smokemesh", *arguments]


@dataclass
class Cost:
    """What a process (and its children) used until now."""

    cpu: float = 0.0
    rss_most: int = 0
    rss_last: int = 0
    samples: list[int] = field(default_factory=list)

    def seen(self, cpu: float, rss: int) -> None:
        """Take a reading; CPU only grows, children that ended are in their parent's account."""
        self.cpu = max(self.cpu, cpu)
        self.rss_last = rss
        self.rss_most = max(self.rss_most, rss)
        self.samples.append(rss)


def _reading(pid: int) -> tuple[float, int]:
    """CPU seconds (with those of children already waited for) and resident bytes of one process."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(v) for v in stat[11:15]) / TICK, int(stat[21]) * PAGE


def _tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += _tree(int(child))
    return found


def read_tree(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process with all its descendants; zeros when it is gone."""
    cpu, rss = 0.0, 0
    for member in _tree(pid):
        with contextlib.suppress(OSError, IndexError):
            c, r = _reading(member)
            cpu, rss = cpu + c, rss + r
    return cpu, rss


class Watched:
    """A program under watch: started, sampled once a second, ended by its own id."""

    def __init__(self, argv: list[str], log: Path, *, stop_with: signal.Signals = signal.SIGTERM) -> None:
        self.log, self.stop_with, self.cost = log, stop_with, Cost()
        with log.open("ab") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(1.0):
            self.read()

    def read(self) -> Cost:
        """The cost until now."""
        if self.process.poll() is None:
            self.cost.seen(*read_tree(self.process.pid))
        return self.cost

    def check(self) -> None:
        """Raise RuntimeError with the end of its log when it is no longer running."""
        if self.process.poll() is not None:
            raise RuntimeError(
                f"{self.log.name}: ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}"
            )

    def stop(self, patience: float = 30.0) -> int:
        """End it and wait; killed when it does not end in `patience` seconds. Returns its exit status."""
        self.read()
        self._over.set()
        if self.process.poll() is None:
            self.process.send_signal(self.stop_with)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._thread.join()
        return int(self.process.returncode)


@contextlib.contextmanager
def running(argv: list[str], log: Path, **how: signal.Signals) -> Iterator[Watched]:
    """A watched program for the length of a block."""
    program = Watched(argv, log, **how)
    try:
        yield program
    finally:
        program.stop()


def wait_until_ready(url: str, patience: float = 60.0, check: Callable[[], None] = lambda: None) -> None:
    """Return when the address answers with success; raise TimeoutError when it does not in time, or what `check` raises."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        check()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {patience} s")
