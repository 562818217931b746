"""Rounds as slaves bring them: of several agents in one insert, sorted, so that nothing can be said of jitter."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.storage.audit import audit
from smokemesh.storage.rounds import PIECE, open_rounds

NOW = 1_795_212_600 * 10**9
SECOND = 10**9


def batch(times: "list[int] | range", task: int = 7, flags: Flag = Flag.SORTED) -> RoundBatch:
    n = len(times)
    return RoundBatch.from_columns(n, {
        "task": [task] * n, "time": [NOW + t * SECOND for t in times], "step": [10.0] * n, "sent": [4] * n,
        "received": [3] * n, "flags": [flags] * n, "rtts": [0.01, 0.02, 0.04, np.nan] * n,
    })  # fmt: skip


def question(agent: str, task: int = 7, points: int = 1000) -> SeriesQuestion:
    return SeriesQuestion(task=task, agent=agent, begin=NOW, end=NOW + 400 * 86400 * SECOND, points=points)


def test_several_agents_in_one_insert(tmp_path: Path) -> None:
    store = open_rounds(f"chdb://{tmp_path}/rounds")
    parts = [("a", batch(range(0, 50, 10))), ("b", batch(range(0, 30, 10), 8)), ("c", batch([5, 25]))]
    try:
        for _ in range(2):  # the same token again adds nothing
            store.insert_together(parts, "group/1")
        store.insert("b", batch([40], 8), "group/2")
        for agent, task, times in (("a", 7, [0, 10, 20, 30, 40]), ("b", 8, [0, 10, 20, 40]), ("c", 7, [5, 25])):
            held = store.rounds(question(agent, task))
            assert [(time - NOW) // SECOND for time in held.time.tolist()] == times
            np.testing.assert_array_equal(held.rtts[:4], np.array([0.01, 0.02, 0.04, np.nan], np.float32))
        assert len(store.rounds(question("a", 8))) == 0
    finally:
        store.close()
    found = audit(f"chdb://{tmp_path}/rounds")
    assert (found.rounds.tolist(), found.rollups_agree) == (found.distinct.tolist(), True)


@pytest.mark.parametrize(("flags", "known"), [(Flag.SORTED, False), (Flag.NONE, True)])
def test_jitter_is_unknown_of_sorted_rounds_at_every_level(tmp_path: Path, flags: Flag, known: bool) -> None:
    store = open_rounds(f"chdb://{tmp_path}/rounds")
    try:
        store.insert("a", batch(range(0, 3600, 10), flags=flags), "x")
        levels = set()
        for points in (1000, 100, 3):
            (found,) = store.series([question("a", points=points)])
            levels.add(found.level)
            assert bool(found.pairs.any()) is known
            assert bool(np.isfinite(found.jitter).any()) is known
            assert found.mean == pytest.approx(0.07 / 3)
        assert len(levels) > 1
    finally:
        store.close()


def test_sorted_rounds_weigh_nothing_beside_others(tmp_path: Path) -> None:
    store = open_rounds(f"chdb://{tmp_path}/rounds")
    try:
        for name, flags, times in (("x", Flag.NONE, range(0, 300, 20)), ("y", Flag.SORTED, range(10, 300, 20))):
            store.insert("a", batch(times, flags=flags), name)
        (found,) = store.series([question("a", points=2)])
        assert int(found.pairs.sum()) == 2 * 15
        assert found.jitter[0] == pytest.approx(0.015)
    finally:
        store.close()


def test_a_large_group_is_cut_where_agents_do_not_matter(tmp_path: Path) -> None:
    store = open_rounds(f"chdb://{tmp_path}/rounds")
    try:
        half = PIECE // 2 + 10
        parts = [(name, batch(range(0, half * 10, 10))) for name in ("a", "b")]
        store.insert_together(parts, "big")
        for name, last in itertools.product("ab", [half]):
            found = store.rounds(question(name, points=10**6))
            assert len(found) == last
    finally:
        store.close()


@pytest.mark.parametrize("tasks", [1, 40_000])
def test_rounds_of_many_tasks_fit_into_memory(tmp_path: Path, tasks: int) -> None:
    """Each round of another task makes a sketch at every level: what one statement may have is bounded."""
    n = 40_000
    rounds = RoundBatch.from_columns(n, {
        "task": np.arange(n) % tasks + 1, "time": (NOW + np.arange(n) // tasks * 10 * SECOND), "step": [10.0] * n,
        "sent": [20] * n, "received": [20] * n, "rtts": np.tile(np.linspace(0.001, 2, 20), n),
    })  # fmt: skip
    store = open_rounds(f"chdb://{tmp_path}/rounds")
    try:
        store.insert_together([("a", rounds)], "many")
        (usage,) = (level for level in store.usage() if level.level == "raw")
        assert usage.rows == n
    finally:
        store.close()
