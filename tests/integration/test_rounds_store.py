"""The store of rounds on the embedded database: exact, idempotent, one answer at every zoom."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from smokemesh.analysis import stats
from smokemesh.errors import StoreError
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import BANDS, LEVELS, Series, SeriesQuestion
from smokemesh.settings.shape import Retention
from smokemesh.storage import arrows
from smokemesh.storage.rounds import PIECE, ClickHouseRounds, open_rounds
from smokemesh.storage.schema import ACCURACY
from smokemesh.storage.store import RoundStore

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
#: Midnight a few days ago: nothing expires, and no test depends on the hour it runs at.
MIDNIGHT = time.time_ns() // DAY * DAY - 5 * DAY
IPV4 = np.frombuffer(bytes(10) + b"\xff\xff\x7f\x00\x00\x01", np.uint8)

Open = Callable[..., ClickHouseRounds]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Opens the test's store, closing the one before: a process can have one embedded database open."""
    opened: list[ClickHouseRounds] = []

    def again(**options: Any) -> ClickHouseRounds:
        while opened:
            opened.pop().close()
        opened.append(open_rounds(f"chdb://{tmp_path / 'rounds'}", **options))
        return opened[-1]

    yield again
    while opened:
        opened.pop().close()


def rounds(
    n: int, *, task: int = 7, begin: int = MIDNIGHT, step: int = 60, pings: int = 20, seed: int = 1, loss: float = 0.05
) -> RoundBatch:
    """Rounds of one task, one each step, with loss and a long tail."""
    dice = np.random.default_rng(seed)
    rtts = (0.02 + dice.exponential(0.005, (n, pings))).astype(np.float32)
    rtts[dice.random(rtts.shape) < loss] = np.nan
    received = stats.answered(rtts)
    columns = {
        "task": np.full(n, task),
        "time": begin + np.arange(n) * step * SECOND,
        "step": np.full(n, step),
        "sent": np.full(n, pings),
        "received": received,
        "late": received // 10,
        "duplicates": np.arange(n) % 2,
        "reordered": np.arange(n) % 3,
        "errors": (pings - received) // 2,
        "flags": 1 << (np.arange(n) % 11),
        "address": np.tile(IPV4, (n, 1)),
        "rtts": rtts.ravel(),
    }
    return RoundBatch.from_columns(n, columns)


def ask(store: RoundStore, begin: int, end: int, *, points: int = 100_000, level: str = "", task: int = 7) -> Series:
    question = SeriesQuestion(task=task, agent="a", begin=begin, end=end, points=points, level=level)
    [series] = store.series([question])
    return series


def counts(store: RoundStore, *, task: int = 7) -> dict[str, tuple[int, int, int]]:
    """Level -> (rounds, sent, received) of everything."""
    answers = {level: ask(store, MIDNIGHT - 400 * DAY, MIDNIGHT + 10 * DAY, level=level, task=task) for level in LEVELS}
    return {level: (int(s.rounds.sum()), int(s.sent.sum()), int(s.received.sum())) for level, s in answers.items()}


def expected(*batches: RoundBatch) -> dict[str, tuple[int, int, int]]:
    total = RoundBatch.concatenate(batches)
    return dict.fromkeys(LEVELS, (len(total), int(total.sent.sum()), int(total.received.sum())))


def test_a_store_is_what_the_contract_says(open_store: Open) -> None:
    store: RoundStore = open_store()
    store.ping()
    assert [usage.rows for usage in store.usage()] == [0, 0, 0, 0]
    assert len(ask(store, MIDNIGHT, MIDNIGHT + DAY)) == 0
    assert len(ask(store, MIDNIGHT, MIDNIGHT + DAY, level="1h")) == 0
    assert store.latest([7], 0) == []
    assert store.latest([], 0) == []
    assert store.series([]) == []
    store.insert("a", RoundBatch.empty(), "nothing")
    assert len(store.rounds(SeriesQuestion(task=7, agent="a", begin=0, end=DAY))) == 0


def test_every_rtt_comes_back_as_it_was(open_store: Open) -> None:
    store, batch = open_store(), rounds(500)
    store.insert("a", batch, "t")
    back = store.rounds(SeriesQuestion(task=7, agent="a", begin=MIDNIGHT, end=MIDNIGHT + DAY, points=1000))
    for name in RoundBatch.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(back, name), getattr(batch, name), err_msg=name)
    few = store.rounds(SeriesQuestion(task=7, agent="a", begin=MIDNIGHT + MINUTE, end=MIDNIGHT + DAY, points=3))
    np.testing.assert_array_equal(few.time, batch.time[1:4])


def test_rounds_that_sent_nothing_are_kept(open_store: Open) -> None:
    store = open_store()
    flags = [int(Flag.UNRESOLVED)]
    columns = {"task": [7], "time": [MIDNIGHT], "step": [60], "sent": [0], "flags": flags, "error": [4 << 16]}
    store.insert("a", RoundBatch.from_columns(1, columns), "t")
    for level in LEVELS:
        series = ask(store, MIDNIGHT, MIDNIGHT + DAY, level=level)
        assert (series.rounds.tolist(), series.sent.tolist(), series.flags.tolist()) == ([1], [0], flags)
        assert np.isnan([series.loss, series.median, series.mean, series.deviation, series.jitter]).all()
    [latest] = store.latest([7], 0)
    assert (latest.address, latest.sent, latest.error, np.isnan(latest.median)) == ("", 0, 4 << 16, True)


def test_the_same_token_counts_once_in_every_level(open_store: Open) -> None:
    # The batch spans three days: three partitions of raw, so three blocks under one token.
    store, batch = open_store(), rounds(3 * 1440)
    for _ in range(3):
        store.insert("a", batch, "a/e/1-9")
    assert counts(store) == expected(batch)
    store = open_store()
    store.insert("a", batch, "a/e/1-9")
    assert counts(store) == expected(batch)


def test_equal_rounds_under_another_token_are_other_rounds(open_store: Open) -> None:
    store, batch = open_store(), rounds(10)
    store.insert("a", batch, "first")
    store.insert("a", batch, "second")
    assert counts(store) == expected(batch, batch)


def test_a_batch_larger_than_one_insert_is_cut_at_the_same_places(open_store: Open) -> None:
    store, batch = open_store(), rounds(PIECE + 1000, step=1, pings=1)
    store.insert("a", batch, "t")
    store.insert("a", batch, "t")
    assert counts(store) == expected(batch)


def test_the_store_tells_which_rounds_it_holds(open_store: Open) -> None:
    store = open_store()
    assert store.held("a", RoundBatch.empty()).tolist() == []
    mine = RoundBatch.concatenate([rounds(1100, task=task) for task in (7, 2**64 - 1)])
    assert not store.held("a", mine).any()
    store.insert("a", rounds_slice(mine, 5, 1500), "t")
    store.insert("b", rounds(3), "u")
    # Other times of the same tasks, and other tasks at the same times, are other rounds.
    others = RoundBatch.concatenate([rounds(10, begin=MIDNIGHT + 1), rounds(10, task=8)])
    asked = RoundBatch.concatenate([others, mine])
    held = store.held("a", asked)
    assert np.flatnonzero(held).tolist() == list(range(20 + 5, 20 + 1500))
    assert store.held("b", asked).sum() == 3
    assert not store.held("c'\\", asked).any()
    backward = rounds_slice(mine, 0, 6)
    for name in RoundBatch.__dataclass_fields__:
        if name not in ("offsets", "rtts"):
            object.__setattr__(backward, name, getattr(backward, name)[::-1])
    assert store.held("a", backward).tolist() == [True, False, False, False, False, False]


def test_points_of_single_rounds_are_exact(open_store: Open) -> None:
    store, batch = open_store(), rounds(300)
    batch.rtts[5 * 20 : 6 * 20] = np.nan
    batch.received[5] = 0
    store.insert("a", batch, "t")
    series = ask(store, MIDNIGHT, MIDNIGHT + DAY)
    rtts = batch.matrix()
    assert (series.level, series.step, len(series)) == ("raw", 60.0, 300)
    np.testing.assert_array_equal(series.time, batch.time)
    np.testing.assert_allclose(series.bands, stats.quantiles(rtts, BANDS), rtol=1e-7)
    np.testing.assert_allclose(series.mean, stats.mean(rtts), rtol=1e-7)
    np.testing.assert_allclose(series.deviation, stats.deviation(rtts), rtol=1e-6)
    np.testing.assert_allclose(series.jitter, stats.jitter(rtts), rtol=1e-6)
    np.testing.assert_array_equal(series.loss, stats.loss(batch.sent, batch.received))
    for name in ("sent", "received", "late", "duplicates", "reordered", "errors", "flags"):
        np.testing.assert_array_equal(getattr(series, name), getattr(batch, name), err_msg=name)
    assert np.isnan(series.bands[5]).all()


def test_raw_rounds_merge_into_whole_steps_exactly(open_store: Open) -> None:
    # The phase is 7 s after the minute; 100 s a point are asked for, so two rounds share a point of 120 s.
    store, batch = open_store(), rounds(300, begin=MIDNIGHT + 7 * SECOND)
    store.insert("a", batch, "t")
    series = ask(store, MIDNIGHT, MIDNIGHT + 5 * HOUR, points=180)
    assert (series.level, series.step, len(series)) == ("raw", 120.0, 150)
    assert set(series.rounds.tolist()) == {2}
    np.testing.assert_array_equal(series.time, MIDNIGHT + np.arange(150) * 120 * SECOND)
    merged = batch.matrix().reshape(150, 40)
    np.testing.assert_allclose(series.bands, stats.quantiles(merged, BANDS), rtol=1e-7)
    np.testing.assert_allclose(series.deviation, stats.deviation(merged), rtol=1e-6)


def test_a_bin_is_the_same_whatever_range_is_asked(open_store: Open) -> None:
    store = open_store()
    store.insert("a", rounds(300, begin=MIDNIGHT + 7 * SECOND), "t")
    for level, width in (("raw", 100 * SECOND), ("5m", 900 * SECOND), ("1h", HOUR)):
        whole = ask(store, MIDNIGHT, MIDNIGHT + 5 * HOUR, points=5 * HOUR // width, level=level)
        begin = MIDNIGHT + HOUR + 17 * MINUTE + 30 * SECOND
        part = ask(store, begin, begin + 2 * HOUR, points=2 * HOUR // width, level=level)
        shared = np.isin(whole.time, part.time)
        assert shared.sum() == len(part) > 1
        # The first and the last may be cut by the range; those between are whole.
        np.testing.assert_array_equal(whole.rounds[shared][1:-1], part.rounds[1:-1])
        np.testing.assert_array_equal(whole.bands[shared][1:-1], part.bands[1:-1])
        assert begin - part.time[0] < int(part.step * SECOND)


def test_only_what_lies_in_the_range_is_counted(open_store: Open) -> None:
    store = open_store()
    store.insert("a", rounds(1440, step=10), "t")
    begin = MIDNIGHT + HOUR + 3 * SECOND
    for points in (1000, 20, 7, 1):
        series = ask(store, begin, begin + 25 * MINUTE, points=points, level="raw")
        assert (series.rounds.sum(), series.sent.sum()) == (150, 3000)
    # Rollups cannot be cut finer than their own bins: 0:55 to 1:35, though a point is 15 minutes wide.
    series = ask(store, begin - 6 * SECOND, begin + 32 * MINUTE, points=3, level="5m")
    assert (series.step, series.rounds.sum()) == (900.0, 40 * 6)
    assert series.time.tolist() == [MIDNIGHT + minutes * MINUTE for minutes in (45, 60, 75, 90)]


@pytest.mark.parametrize(("step", "expected"), [(60, 900.0), (900, 900.0), (1000, 1800.0), (3600, 3600.0)])
def test_a_point_lasts_as_long_as_the_rounds_it_is_made_of(open_store: Open, step: int, expected: float) -> None:
    store = open_store()
    store.insert("a", rounds(10 * DAY // SECOND // step // 5, step=step, pings=1, begin=MIDNIGHT + 5 * SECOND), "t")
    series = ask(store, MIDNIGHT - 5 * DAY, MIDNIGHT + 5 * DAY, points=1000)
    assert (series.level, series.step) == ("5m", expected)
    assert np.diff(series.time).max() <= series.step * SECOND


def test_no_step_makes_a_series_unreadable(open_store: Open) -> None:
    # What agents send is checked before; a store must be readable whatever it holds.
    store = open_store()
    for i, step in enumerate((1e-8, 0.0, -1.0, 1e30, np.inf, np.nan)):
        batch = rounds(1, begin=MIDNIGHT + i * MINUTE)
        batch.step[:] = step
        store.insert("a", batch, f"t{i}")
    for level in LEVELS:
        assert ask(store, MIDNIGHT, MIDNIGHT + DAY, points=100, level=level).rounds.sum() == 6
    assert len(store.latest([7], 0)) == 1


def test_jitter_tells_its_weight(open_store: Open) -> None:
    store, batch = open_store(), rounds(60, loss=0.3)
    store.insert("a", batch, "t")
    steps = np.abs(np.diff(batch.matrix(), axis=1))
    raw = ask(store, MIDNIGHT, MIDNIGHT + HOUR)
    np.testing.assert_array_equal(raw.pairs, np.count_nonzero(~np.isnan(steps), axis=1))
    for level in LEVELS:
        series = ask(store, MIDNIGHT, MIDNIGHT + HOUR, points=7, level=level)
        assert series.pairs.sum() == raw.pairs.sum()
        assert np.nansum(series.pairs * series.jitter) == pytest.approx(float(np.nansum(steps)), rel=1e-5)


@pytest.mark.parametrize(("level", "width"), [("5m", 5 * MINUTE), ("5m", 15 * MINUTE), ("1h", 3 * HOUR), ("1d", DAY)])
def test_rollups_are_true_at_every_zoom(open_store: Open, level: str, width: int) -> None:
    store, batch = open_store(), rounds(2880)
    # In many small inserts, so that bins come together from many sketches.
    for i in range(0, 2880, 290):
        store.insert("a", rounds_slice(batch, i, min(i + 290, 2880)), f"t{i}")
    series = ask(store, MIDNIGHT, MIDNIGHT + 2 * DAY, points=2 * DAY // width, level=level)
    assert (series.level, series.step, len(series)) == (level, width / SECOND, 2 * DAY // width)
    merged = batch.matrix().reshape(len(series), -1)
    for row, bands, mean, deviation in zip(merged, series.bands, series.mean, series.deviation, strict=True):
        known = row[~np.isnan(row)].astype(float)
        # A sketch answers with a true RTT give or take its accuracy, without interpolating between two.
        low = np.quantile(known, BANDS, method="lower") * (1 - 1.001 * ACCURACY)
        high = np.quantile(known, BANDS, method="higher") * (1 + 1.001 * ACCURACY)
        assert np.all((low <= bands) & (bands <= high))
        assert (bands[0], bands[-1]) == (known.min(), known.max())
        assert np.all(np.diff(bands) >= 0)
        assert mean == pytest.approx(known.mean(), rel=1e-6)
        assert deviation == pytest.approx(known.std(), rel=1e-4)
    assert counts(store) == expected(batch)
    per_round = np.abs(np.diff(batch.matrix(), axis=1)).reshape(len(series), -1)
    np.testing.assert_allclose(series.jitter, np.nanmean(per_round.astype(float), axis=1), rtol=1e-6)
    flags = np.bitwise_or.reduce(batch.flags.reshape(len(series), -1), axis=1)
    np.testing.assert_array_equal(series.flags, flags)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 100.0])
def test_sketches_are_as_exact_for_microseconds_as_for_seconds(open_store: Open, scale: float) -> None:
    store = open_store()
    dice = np.random.default_rng(3)
    rtts = (scale * np.exp(dice.normal(0, 1, (60, 20)))).astype(np.float32)
    batch = rounds(60, loss=0.0)
    batch.rtts[:] = rtts.ravel()
    store.insert("a", batch, "t")
    series = ask(store, MIDNIGHT, MIDNIGHT + HOUR, points=1, level="1h")
    known = np.sort(rtts.ravel()).astype(float)
    low, high = (np.quantile(known, BANDS, method=method) for method in ("lower", "higher"))
    assert np.all(low * (1 - 1.001 * ACCURACY) <= series.bands[0])
    assert np.all(series.bands[0] <= high * (1 + 1.001 * ACCURACY))


def test_the_newest_bin_grows_as_rounds_come(open_store: Open) -> None:
    store, batch = open_store(), rounds(70, step=120)
    for i in range(0, 70, 2):
        store.insert("a", rounds_slice(batch, i, i + 2), f"t{i}")
        if i % 20 == 6:
            for level in ("5m", "1h", "1d"):
                series = ask(store, MIDNIGHT, MIDNIGHT + 3 * HOUR, level=level)
                assert series.rounds.sum() == i + 2
                assert series.received.sum() == batch.received[: i + 2].sum()


def test_a_round_from_the_future_hides_none_before_it(open_store: Open) -> None:
    store, now = open_store(), MIDNIGHT + HOUR
    store.insert("a", rounds(10, begin=now - 10 * MINUTE), "true")
    store.insert("a", rounds(1, begin=now + 4 * MINUTE), "ahead")
    store.insert("a", rounds(1, begin=now + MINUTE, task=8), "a step ahead")
    store.insert("b", rounds(1, begin=now + 4 * MINUTE), "nothing else")
    store.insert("c", rounds(1, begin=now - MINUTE), "another")
    found = {(one.task, one.agent): one for one in store.latest([7, 8], MIDNIGHT, now)}
    times = {name: (one.time - now) // SECOND for name, one in found.items()}
    assert times == {(7, "a"): -60, (8, "a"): 60, (7, "c"): -60}
    plain = open_store().latest([7], MIDNIGHT, now + 4 * MINUTE)
    assert sorted((one.agent, (one.time - now) // SECOND) for one in plain) == [("a", 240), ("b", 240), ("c", -60)]
    true = rounds(10, begin=now - 10 * MINUTE)
    hidden = found[7, "a"]
    assert (hidden.sent, hidden.received, hidden.address) == (20, true.received[9], "127.0.0.1")
    assert hidden.median == pytest.approx(float(stats.round_medians(true)[9]))
    assert hidden.flags == true.flags[9]


def test_what_raw_no_longer_holds_comes_from_a_rollup(open_store: Open) -> None:
    store, batch = open_store(retention=Retention(raw=86400.0)), rounds(60)
    store.insert("a", batch, "t")
    series = ask(store, MIDNIGHT, MIDNIGHT + HOUR)
    assert (series.level, series.rounds.sum()) == ("5m", 60)


def test_many_questions_are_few_statements(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    tasks = [2**64 - 1 - i for i in range(50)]
    for agent in ("a", "b'`\\"):
        batch = RoundBatch.concatenate([rounds(5, task=task, seed=i) for i, task in enumerate(tasks)])
        store.insert(agent, batch, f"{agent}/t")
    asked: list[str] = []
    really = ClickHouseRounds._ask

    def counted(self: ClickHouseRounds, name: str, table: str, values: dict[str, Any], pairs: str = "") -> pa.Table:
        asked.append(name)
        return really(self, name, table, values, pairs)

    monkeypatch.setattr(ClickHouseRounds, "_ask", counted)
    questions = [
        SeriesQuestion(task=task, agent=agent, begin=MIDNIGHT, end=MIDNIGHT + HOUR, level=level)
        for level in ("raw", "5m")
        for agent in ("b'`\\", "a", "nobody")
        for task in [*tasks, tasks[0]]
    ]
    answers = store.series(questions)
    assert asked == ["series_raw", "series_rollup"]
    for question, series in zip(questions, answers, strict=True):
        assert (series.task, series.agent, series.level) == (question.task, question.agent, question.level)
        assert series.rounds.sum() == (0 if question.agent == "nobody" else 5)
    alone = store.series([questions[7]])[0]
    np.testing.assert_array_equal(alone.bands, answers[7].bands)


def test_steps_of_one_question_may_differ(open_store: Open) -> None:
    store = open_store()
    store.insert("a", rounds(60, step=60, begin=MIDNIGHT), "minute")
    store.insert("a", rounds(360, step=10, begin=MIDNIGHT + HOUR), "ten seconds")
    series = ask(store, MIDNIGHT, MIDNIGHT + 2 * HOUR, points=120)
    assert series.rounds.tolist() == [1] * 60 + [6] * 60
    assert series.step == 60.0


def test_latest_is_the_newest_round_whatever_comes_late(open_store: Open) -> None:
    store, batch = open_store(), rounds(10)
    store.insert("a", rounds_slice(batch, 5, 10), "new")
    store.insert("a", rounds_slice(batch, 0, 5), "late")
    store.insert("b", rounds_slice(batch, 0, 3), "other")
    store.insert("a", rounds(1, task=8), "another task")
    found = store.latest([7, 99], MIDNIGHT)
    assert [(latest.task, latest.agent, latest.time) for latest in found] == [
        (7, "a", int(batch.time[9])),
        (7, "b", int(batch.time[2])),
    ]
    newest = found[0]
    assert (newest.sent, newest.received) == (20, batch.received[9])
    assert newest.median == pytest.approx(float(stats.round_medians(batch)[9]))
    assert (newest.flags, newest.step, newest.address) == (batch.flags[9], 60.0, "127.0.0.1")
    assert [latest.agent for latest in store.latest([7], int(batch.time[3]))] == ["a"]


def test_usage_tells_what_each_level_holds(open_store: Open) -> None:
    store, batch = open_store(), rounds(1440)
    store.insert("a", batch, "t")
    usage = {level.level: level for level in store.usage()}
    assert {name: level.rows for name, level in usage.items()} == {"raw": 1440, "5m": 288, "1h": 24, "1d": 1}
    assert all(level.bytes > 0 and level.first == MIDNIGHT for level in usage.values())
    assert usage["raw"].last == batch.time[-1]


def test_old_rounds_expire_and_the_rollups_stay(open_store: Open) -> None:
    store = open_store()
    store.insert("a", rounds(10, begin=MIDNIGHT - 35 * DAY), "old")
    store.insert("a", rounds(10), "new")
    with store._clients.writing() as client:
        client.command("OPTIMIZE TABLE rounds FINAL")
    found = counts(store)
    assert found["raw"][0] == 10
    assert found["5m"][0] == found["1h"][0] == found["1d"][0] == 20


def test_retention_can_change_later(open_store: Open) -> None:
    open_store().insert("a", rounds(10, begin=MIDNIGHT - 200 * DAY), "old")
    store = open_store(retention=Retention(raw=3600.0, m5=86400.0))
    with store._clients.writing() as client:
        rollups = client.command("SHOW CREATE TABLE rollups")
        client.command("OPTIMIZE TABLE rounds FINAL")
        client.command("OPTIMIZE TABLE rollups FINAL")
    assert "multiIf(bin = 300, 86400, bin = 3600, 94608000, 315360000)" in str(rollups)
    assert {level: found[0] for level, found in counts(store).items()} == {"raw": 0, "5m": 0, "1h": 10, "1d": 10}


def test_unchanged_retention_alters_nothing(open_store: Open) -> None:
    open_store()
    store = open_store()
    with store._clients.reading() as client:
        assert client.query("SELECT count() FROM system.mutations").result_rows == [(0,)]
        for table, ttl in store._schema.ttls().items():
            assert f"TTL {ttl} " in str(
                client.command(f"SELECT create_table_query FROM system.tables WHERE name = '{table}'")
            )


def test_threads_insert_and_ask_at_once(open_store: Open) -> None:
    store = open_store()
    done = threading.Event()
    waits: list[float] = []

    def insert(agent: int) -> None:
        for i in range(4):
            batch = rounds(200, task=agent, begin=MIDNIGHT + i * 200 * MINUTE, seed=i)
            store.insert("a", batch, f"{agent}/{i}")
            store.insert("a", batch, f"{agent}/{i}")

    def watch() -> None:
        while not done.is_set():
            begun = time.monotonic()
            ask(store, MIDNIGHT, MIDNIGHT + 2 * DAY, points=500, task=1)
            waits.append(time.monotonic() - begun)

    with ThreadPoolExecutor(8) as threads:
        watchers = [threads.submit(watch) for _ in range(4)]
        for inserting in [threads.submit(insert, agent) for agent in range(4)]:
            inserting.result()
        done.set()
        for watcher in watchers:
            watcher.result()
    assert len(waits) >= 4
    for agent in range(4):
        wanted = [rounds(200, task=agent, begin=MIDNIGHT + i * 200 * MINUTE, seed=i) for i in range(4)]
        assert counts(store, task=agent) == expected(*wanted)


def test_an_answer_that_failed_is_not_part_of_the_next(open_store: Open) -> None:
    store, batch = open_store(), rounds(60)
    store.insert("a", batch, "t")
    begun = "SELECT number AS task, throwIf(number = 450) FROM numbers(500) SETTINGS max_block_size=100, max_threads=1"
    for borrow in [store._clients.reading, store._clients.writing] * 4:
        with pytest.raises(StoreError, match="throwIf"), borrow() as client:
            client.raw_query(begun, fmt="Arrow")
        for level in LEVELS:
            assert ask(store, MIDNIGHT, MIDNIGHT + HOUR, level=level).rounds.sum() == 60
        with borrow() as client:
            table = arrows.read(client.raw_query("SELECT currentDatabase() AS name", fmt="Arrow"))
        assert table.to_pydict() == {"name": ["smokemesh"]}
    store.insert("a", batch, "t")
    assert counts(store) == expected(batch)


def test_no_connection_is_lost_by_failing(open_store: Open) -> None:
    store = open_store()
    for borrow in [store._clients.reading, store._clients.writing] * 6:
        with pytest.raises(ZeroDivisionError), borrow():
            raise ZeroDivisionError
    store.insert("a", rounds(1), "t")
    assert counts(store)["raw"][0] == 1
    store.close()
    for _ in range(6):
        with pytest.raises(StoreError, match="storage chdb://"):
            store.ping()


def test_answers_that_are_not_one_whole_file_are_refused() -> None:
    first, second = (arrows.write("a", rounds(n)) for n in (3, 5))
    assert arrows.read(second).num_rows == 5
    for damaged in (
        first + second,
        first[:100] + second,
        second + first,
        first[:-20] + second,
        second[:-1],
        b"nonsense",
    ):
        with pytest.raises(StoreError, match="storage: an answer of the database"):
            arrows.read(damaged)


def test_a_store_in_use_says_by_whom(open_store: Open, tmp_path: Path) -> None:
    open_store()
    program = f"from smokemesh.storage.rounds import open_rounds; open_rounds('chdb://{tmp_path / 'rounds'}')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    [line] = done.stderr.strip().splitlines()[-1:]
    assert "StoreError: storage" in line
    assert line.endswith("stop it, or choose another directory")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    with pytest.raises(StoreError, match="file/rounds: cannot be written: Not a directory; choose another directory"):
        open_rounds(f"chdb://{file}/rounds")


def test_a_store_that_is_damaged_says_so_and_can_be_left(open_store: Open, tmp_path: Path) -> None:
    open_store().close()
    for file in (tmp_path / "rounds" / "metadata").rglob("*.sql"):
        file.write_text("nonsense")
    with pytest.raises(StoreError, match=r"storage chdb://\S+: .+") as caught:
        open_store()
    assert "\n" not in str(caught.value)


def rounds_slice(batch: RoundBatch, start: int, stop: int) -> RoundBatch:
    """Some rounds of a batch whose rounds have 20 pings each."""
    fields = {name: getattr(batch, name)[start:stop] for name in RoundBatch.__dataclass_fields__}
    fields |= {"rtts": batch.rtts[start * 20 : stop * 20], "offsets": np.arange(stop - start + 1) * 20}
    return RoundBatch(**fields)
