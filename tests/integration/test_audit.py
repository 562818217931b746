"""The audit finds what must never be: a round twice in raw, and a rollup that counts otherwise."""

import time
from pathlib import Path

import numpy as np

from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.storage.audit import audit
from smokemesh.storage.clients import Clients
from smokemesh.storage.rounds import open_rounds

#: Recent, so that no level drops it by age; fixed within a run.
NOW = time.time_ns()


def _batch(tasks: int) -> RoundBatch:
    columns = {
        "task": np.arange(tasks) + 1,
        "time": np.full(tasks, NOW),
        "step": np.full(tasks, 60.0),
        "sent": np.full(tasks, 3),
        "received": np.full(tasks, 2),
        "flags": np.where(np.arange(tasks) == 0, int(Flag.OWN_DROPS), 0),
        "rtts": np.tile([0.1, np.nan, 0.2], tasks),
    }
    return RoundBatch.from_columns(tasks, columns)


def test_a_sound_store_agrees_with_itself(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path / 'rounds'}"
    store = open_rounds(dsn)
    store.insert("a", _batch(5), "t/1")
    store.insert("a", _batch(5), "t/1")
    store.insert("b", _batch(2), "t/2")
    store.close()
    found = audit(dsn)
    assert found.rounds.tolist() == found.distinct.tolist() == [1] * 7
    assert (found.sent.sum(), found.received.sum()) == (21, 14)
    assert found.flagged(Flag.OWN_DROPS) == 2
    assert found.rollups_agree


def test_a_doubled_round_and_a_rollup_that_differs_are_found(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path / 'rounds'}"
    store = open_rounds(dsn)
    store.insert("a", _batch(1), "t/1")
    store.insert("a", _batch(1), "another token")
    store.close()
    clients = Clients(dsn, readers=1, writers=0)
    clients.enter_database()
    with clients.reading() as client:
        client.command("INSERT INTO rollups (bin, task, agent, time, rounds) VALUES (3600, 1, 'a', now(), 1)")
    clients.close()
    found = audit(dsn)
    assert found.rounds.tolist() == [2]
    assert found.distinct.tolist() == [1]
    assert found.disagreeing == ("1h",)


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path / 'rounds'}"
    open_rounds(dsn).close()
    found = audit(dsn)
    assert len(found.task) == 0
    assert found.rollups_agree
