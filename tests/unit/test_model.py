"""The words: identities that must never change, and columns that must stay together."""

import numpy as np
import pytest

from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import COLUMNS, RoundBatch
from smokemesh.model.series import BANDS
from smokemesh.model.target import Node


def test_task_id_is_the_same_everywhere_and_forever() -> None:
    # Stored rounds are found again by this number: a change here would orphan every store in the field.
    assert task_id("/changzhou/rack29", "ping") == 0xF999ED267AAFE2FD


def test_task_id_keeps_its_three_parts_apart() -> None:
    assert len({task_id("/a", "b"), task_id("/a", "b", "c"), task_id("/a", "bc"), task_id("/ab", "")}) == 4
    assert task_id("/a", "b", "192.0.2.1") != task_id("/a", "b", "192.0.2.2")


@pytest.mark.parametrize(
    ("step", "pings", "interval", "spacing"),
    [(60.0, 20, None, 1.0), (10.0, 10, None, 0.6), (300.0, 20, None, 1.0), (60.0, 20, 0.05, 0.05), (1.0, 1, None, 0.6)],
)
def test_pings_of_a_round_are_spread_within_the_step(
    step: float, pings: int, interval: float | None, spacing: float
) -> None:
    probe = Probe(name="p", step=step, pings=pings, interval=interval)
    assert probe.spacing == pytest.approx(spacing)


def _batch(time: int, rtts: list[list[float]]) -> RoundBatch:
    sent = [len(r) for r in rtts]
    return RoundBatch.from_columns(
        len(rtts),
        {
            "task": np.arange(len(rtts)),
            "time": np.full(len(rtts), time),
            "step": np.ones(len(rtts)),
            "sent": sent,
            "received": [int(np.sum(~np.isnan(r))) for r in rtts],
            "rtts": np.concatenate([np.asarray(r) for r in rtts]) if rtts else [],
        },
    )


def test_batches_joined_keep_every_rtt_with_its_round() -> None:
    joined = RoundBatch.concatenate([_batch(1, [[0.1, np.nan], []]), RoundBatch.empty(), _batch(2, [[0.3, 0.4, 0.5]])])
    assert len(joined) == 3
    assert joined.time.tolist() == [1, 1, 2]
    np.testing.assert_array_equal(
        joined.matrix(), np.array([[0.1, np.nan, np.nan], [np.nan] * 3, [0.3, 0.4, 0.5]], np.float32)
    )


def test_an_empty_batch_has_every_column() -> None:
    empty = RoundBatch.empty()
    assert len(empty) == 0
    assert all(len(getattr(empty, name)) == 0 for name in COLUMNS)
    assert RoundBatch.concatenate([]).matrix().shape == (0, 0)


def test_bands_are_symmetric_about_the_median() -> None:
    assert BANDS[len(BANDS) // 2] == 0.5
    assert all(low + high == pytest.approx(1.0) for low, high in zip(BANDS, reversed(BANDS), strict=True))


def test_a_node_is_found_by_its_path_and_not_by_a_prefix_of_a_name() -> None:
    leaf = Node(path="/a/bc", menu="bc", title="bc")
    tree = Node(
        path="/",
        menu="",
        title="",
        children=(Node(path="/a", menu="a", title="a", children=(Node(path="/a/b", menu="b", title="b"), leaf)),),
    )
    assert tree.find("/a/bc") is leaf
    assert tree.find("/a/b/c") is None
    assert [node.path for node in tree.walk()] == ["/", "/a", "/a/b", "/a/bc"]
    assert (tree.name, leaf.name) == ("", "bc")
