"""Sequence numbers: given out in turn, not again while an answer may come, found again by what came back."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.probes.channel import Channel

BASE = 0x1230


def channel(ids: int = 16, raw: bool = True) -> Channel:
    socket: Any = SimpleNamespace(id_base=BASE, ids=ids, raw=raw)
    return Channel(3, socket)


def take(lane: Any, first: int, count: int, until: float) -> Any:
    return lane.take(np.arange(first, first + count), np.full(count, until))


def test_a_number_rests_until_no_answer_can_come() -> None:
    lane = channel(ids=1).lane(0.0)
    assert lane is not None
    assert lane.free(70_000, 0.0) == 65_536
    take(lane, 0, 60_000, until=5.0)
    take(lane, 60_000, 5_536, until=9.0)
    assert lane.free(1, 4.9) == 0
    assert lane.free(70_000, 5.0) == 60_000
    assert take(lane, 70_000, 3, until=20.0).tolist() == [0, 1, 2]
    assert lane.free(70_000, 9.0) == 65_533


def test_a_new_identifier_is_begun_when_one_is_used_up_and_no_more_than_there_are() -> None:
    chosen = channel(ids=2)
    for number in range(2):
        lane = chosen.lane(0.0)
        assert lane is not None
        assert (lane.id, lane.number) == (BASE + number, number)
        take(lane, number * 65_536, 65_536, until=1.0)
    assert chosen.lane(0.5) is None
    assert chosen.lane(1.0) is chosen.lanes[0]


@given(st.integers(1, 3), st.booleans(), st.data())
def test_answers_find_their_pings(lanes: int, raw: bool, data: st.DataObject) -> None:
    chosen = channel(ids=4, raw=raw)
    lanes = lanes if raw else 1
    for number in range(lanes):
        lane = chosen.lane(0.0)
        assert lane is not None
        take(lane, number * 65_536, 65_536 if number < lanes - 1 else 100, until=1.0)
    ids = data.draw(st.lists(st.integers(-1, 0xFFFF) | st.integers(BASE - 1, BASE + 5), min_size=1, max_size=9))
    sequences = [data.draw(st.integers(0, 0xFFFF)) if id_ >= 0 else -1 for id_ in ids]
    rows, keys = chosen.pings(np.array(ids), np.array(sequences))
    for id_, sequence, row, key in zip(ids, sequences, rows.tolist(), keys.tolist(), strict=True):
        number = id_ - BASE if raw else 0
        used = id_ >= 0 and 0 <= number < lanes and (number < lanes - 1 or sequence < 100)
        assert row == (number * 65_536 + sequence if used else -1)
        if used:
            assert key == chosen.lanes[number].key | sequence
