"""Rankings by a real store, against NumPy's figures of the same pings."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from smokemesh.model.rounds import RoundBatch
from smokemesh.storage.ranking import Standing
from smokemesh.storage.rounds import ClickHouseRounds, open_rounds

NANO = 10**9
STEP = 300
NOW = time.time_ns() // (STEP * NANO) * STEP * NANO
DAYS = 3
SLOW, DEAD, FAST = 11, 12, 2**63 + 5


def made(task: int, seed: int, scale: float, loss: float) -> RoundBatch:
    times = np.arange(NOW - DAYS * 86400 * NANO, NOW, STEP * NANO)
    rng = np.random.default_rng(seed)
    rtts = rng.gamma(3, scale, (len(times), 10)).astype("f4")
    rtts[rng.random(rtts.shape) < loss] = np.nan
    n = len(times)
    return RoundBatch.from_columns(n, {
        "task": np.full(n, task, "u8"), "time": times, "step": np.full(n, STEP), "sent": np.full(n, 10),
        "received": np.count_nonzero(~np.isnan(rtts), axis=1), "rtts": rtts.ravel(),
    })  # fmt: skip


ROUNDS = {
    (SLOW, "a"): made(SLOW, 1, 0.05, 0.1),
    (SLOW, "b"): made(SLOW, 2, 0.02, 0.0),
    (DEAD, "a"): made(DEAD, 3, 0.01, 1.0),
    (FAST, "b"): made(FAST, 4, 0.001, 0.02),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseRounds]:
    opened = open_rounds(f"chdb://{tmp_path_factory.mktemp('ranking') / 'rounds'}")
    for (task, agent), batch in ROUNDS.items():
        opened.insert(agent, batch, f"{task}/{agent}")
    yield opened
    opened.close()


def rows(found: Standing) -> dict[tuple[int, str], int]:
    return {pair: k for k, pair in enumerate(zip(found.task.tolist(), found.agent, strict=True))}


@pytest.mark.parametrize("seconds", [600, 3600, 6 * 3600, 86400 + 1800, 2 * 86400])
def test_all_figures_are_those_of_the_pings(store: ClickHouseRounds, seconds: int) -> None:
    begin = NOW - seconds * NANO
    found = store.ranking(begin, NOW)
    place = rows(found)
    assert set(place) == set(ROUNDS)
    for pair, batch in ROUNDS.items():
        inside = batch.time >= begin
        pings = batch.matrix()[inside].astype("f8")
        answered = pings[~np.isnan(pings)]
        k = place[pair]
        assert (found.rounds[k], found.sent[k], found.received[k]) == (inside.sum(), pings.size, answered.size)
        assert found.loss[k] == pytest.approx(1 - answered.size / pings.size)
        if answered.size == 0:
            assert np.isnan([found.median[k], found.greatest[k], found.deviation[k]]).all()
            continue
        assert found.median[k] == pytest.approx(np.median(answered), rel=0.011)
        assert found.greatest[k] == pytest.approx(answered.max(), rel=1e-6)
        assert found.deviation[k] == pytest.approx(answered.std(), rel=1e-3)


def test_the_newest_round_of_each(store: ClickHouseRounds) -> None:
    found = store.ranking(NOW - 3600 * NANO, NOW + NANO, newest=True)
    place = rows(found)
    assert set(place) == set(ROUNDS)
    last = ROUNDS[SLOW, "b"].matrix()[-1].astype("f8")
    k = place[SLOW, "b"]
    assert (found.rounds[k], found.sent[k]) == (1, 10)
    assert found.median[k] == pytest.approx(np.median(last))
    assert found.deviation[k] == pytest.approx(last.std(), rel=1e-4)
    assert np.isnan(found.median[place[DEAD, "a"]])


def test_a_range_without_rounds_ranks_nobody(store: ClickHouseRounds) -> None:
    for newest in (False, True):
        assert len(store.ranking(NOW - 20 * 86400 * NANO, NOW - 19 * 86400 * NANO, newest=newest)) == 0


def test_of_the_first_few_the_medians_are_known_whatever_they_lead_by(store: ClickHouseRounds) -> None:
    begin = NOW - 6 * 3600 * NANO
    every, found = store.ranking(begin, NOW), store.ranking(begin, NOW, most=1)
    place = rows(found)
    first = (SLOW, "a")
    assert found.median[place[first]] == every.median[rows(every)[first]] == np.nanmax(every.median)
    assert np.isnan(found.median[place[FAST, "b"]])
    assert found.greatest[place[FAST, "b"]] > 0
