"""From the kernel's wall-clock stamps to monotonic time, through steps of the wall clock.

The kernel slews both clocks alike, so their difference changes only when the wall clock is set: each reading of
both tells whether that happened since the last. Stamps from around a step belong to one difference or the other;
where that cannot be told, the stamp is not trusted. Times are integer nanoseconds.
"""

import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

#: A smaller difference is the noise of reading two clocks, and no larger than the error of an RTT.
_NOISE: Final = 20_000
#: How far a true stamp may lie outside the time in which it must have been made.
_SLACK: Final = 100_000


def read_clocks() -> tuple[int, int, int]:
    """The monotonic clock, the wall clock, and the monotonic clock once more."""
    return time.monotonic_ns(), time.time_ns(), time.monotonic_ns()


class StepGuard:
    """Knows the difference between wall clock and monotonic clock, and when it changed."""

    def __init__(self, read: Callable[[], tuple[int, int, int]] = read_clocks) -> None:
        self._read = read
        #: When both clocks were last read, their difference, and how far that may be wrong.
        self._checked, self._offset, self._doubt = self._measure()
        #: The difference before a step, while stamps from before it may still be read.
        self._before: int | None = None
        #: Monotonic time of the last reading before that step.
        self.since = self._checked
        self.steps = 0

    def check(self) -> bool:
        """Read both clocks; whether the wall clock was set since the last check."""
        now, offset, noise = self._measure()
        stepped = abs(offset - self._offset) > _NOISE + noise + self._doubt
        if stepped:
            if self._before is None:
                self._before, self.since = self._offset, self._checked
            self.steps += 1
        if stepped or noise < self._doubt:
            self._offset, self._doubt = offset, noise
        self._checked = now
        return stepped

    def settle(self) -> None:
        """Everything stamped before the last check has been read."""
        self._before = None

    def monotonic(self, stamps: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Wall-clock stamps, just read, as monotonic times, and which of them can be trusted."""
        times = stamps - self._offset
        if self._before is None:
            return times, (stamps > 0) & (times <= self._checked + _SLACK)
        earlier = stamps - self._before
        fits, fits_before = self._possible(times), self._possible(earlier)
        return np.where(fits, times, earlier), (stamps > 0) & (fits ^ fits_before)

    def _possible(self, times: Ints) -> NDArray[np.bool_]:
        return (times >= self.since - _SLACK) & (times <= self._checked + _SLACK)

    def _measure(self) -> tuple[int, int, int]:
        """Now, the difference, and its uncertainty; of a few tries the one least disturbed."""
        best = (0, 0, 1 << 62)
        for _ in range(4):
            before, wall, after = self._read()
            if after - before < best[2]:
                best = (after, wall - (before + after) // 2, after - before)
            if best[2] < _NOISE // 2:
                break
        return best
