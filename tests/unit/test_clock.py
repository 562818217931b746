"""Steps of the wall clock: noticed, and stamps from around one told apart or not trusted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.probes.clock import StepGuard

SECOND = 1_000_000_000


class Clocks:
    """A pair of clocks that tests move by hand; nanoseconds."""

    def __init__(self) -> None:
        self.now = 100 * SECOND
        self.difference = 1_700_000_000 * SECOND

    def __call__(self) -> tuple[int, int, int]:
        return self.now, self.now + self.difference + 50, self.now + 100

    def wall(self, at: int) -> int:
        """The kernel's stamp for a packet that arrives at this monotonic time, with the difference of now."""
        return at + self.difference


def test_without_a_step_stamps_become_monotonic() -> None:
    clocks = Clocks()
    guard = StepGuard(clocks)
    clocks.now += SECOND
    assert not guard.check()
    times, trusted = guard.monotonic(np.array([clocks.wall(clocks.now - 500)]))
    assert times.tolist() == [clocks.now - 500]
    assert trusted.all()


def test_a_packet_without_a_stamp_is_not_trusted() -> None:
    guard = StepGuard(Clocks())
    assert not guard.monotonic(np.array([0]))[1].any()


@given(st.integers(1_000_000, 10**15).flatmap(lambda size: st.sampled_from([size, -size])))
def test_a_step_is_noticed_and_both_sides_of_it_are_told_apart(step: int) -> None:
    """A step of a millisecond or more, looked for every 400 microseconds: each stamp fits only one side."""
    clocks = Clocks()
    guard = StepGuard(clocks)
    clocks.now += 200_000
    before = clocks.wall(clocks.now)
    arrived_before = clocks.now
    clocks.difference += step
    clocks.now += 200_000
    after = clocks.wall(clocks.now)
    assert guard.check()
    times, trusted = guard.monotonic(np.array([before, after]))
    assert trusted.all()
    assert times.tolist() == [arrived_before, clocks.now]
    guard.settle()
    clocks.now += SECOND
    assert not guard.check()
    assert guard.monotonic(np.array([clocks.wall(clocks.now)]))[0].tolist() == [clocks.now]
    assert guard.steps == 1


def test_where_both_sides_are_possible_nothing_is_trusted() -> None:
    clocks = Clocks()
    guard = StepGuard(clocks)
    clocks.now += SECOND // 2
    stamp = clocks.wall(clocks.now)
    clocks.difference += SECOND // 10
    clocks.now += SECOND // 2
    assert guard.check()
    assert not guard.monotonic(np.array([stamp]))[1].any()


def test_a_disturbed_reading_is_not_taken_for_a_step() -> None:
    """A process kept off the processor between two readings sees the wall clock late."""
    clocks = Clocks()
    disturbed = iter([False, True, True, False])

    def read() -> tuple[int, int, int]:
        late = 5_000_000 if next(disturbed, False) else 0
        before, wall, after = clocks()
        return before, wall + late, after + late

    guard = StepGuard(read)
    assert not guard.check()
    assert guard.steps == 0


def test_a_disturbed_first_reading_is_made_good_later() -> None:
    clocks = Clocks()
    late = iter([True] * 4)

    def read() -> tuple[int, int, int]:
        before, wall, after = clocks()
        disturbance = 3_000_000 if next(late, False) else 0
        return before, wall + disturbance, after + disturbance

    guard = StepGuard(read)
    clocks.now += SECOND
    assert not guard.check()
    times, _ = guard.monotonic(np.array([clocks.wall(clocks.now)]))
    assert abs(int(times[0]) - clocks.now) < 1000
    clocks.difference += 50_000_000
    assert guard.check()
