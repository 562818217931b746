"""What a round must look like, worked out from records written by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.model.rounds import Flag
from smokemesh.netlab.expect import expected, overtaken
from smokemesh.netlab.fate import Did
from smokemesh.netlab.truth import RECORD, Truth

SECOND = 1_000_000_000


def records(*packets: tuple[Did, float, int]) -> np.ndarray:
    """Packets a second apart: what was done, seconds until the answer left, copies of it."""
    table = np.zeros(len(packets), RECORD)
    for number, (did, held, copies) in enumerate(packets, 1):
        row = table[number - 1]
        row["number"], row["did"], row["copies"] = number, int(did), copies
        row["arrived"] = number * SECOND
        row["left"] = number * SECOND + int(held * SECOND) if copies else 0
    return table


def test_each_outcome_counts_where_it_should() -> None:
    wanted = expected(
        records(
            (Did.ANSWERED, 0.1, 1),
            (Did.LOST, 0.0, 0),
            (Did.ANSWERED | Did.DUPLICATED, 0.1, 3),
            (Did.ANSWERED | Did.DELAYED, 1.6, 1),
            (Did.ANSWERED | Did.CORRUPTED, 0.1, 1),
            (Did.REFUSED, 0.1, 1),
        ),
        timeout=1.5,
        stale_is_lost=False,
    )
    assert (wanted.sent, wanted.received, wanted.late, wanted.duplicates) == (6, 3, 1, 2)
    assert (wanted.corrupted, wanted.errors, wanted.reordered) == (1, 1, 0)
    assert wanted.flags == Flag.LATE | Flag.DUPLICATE | Flag.CORRUPTED | Flag.ICMP_ERROR
    assert np.allclose(wanted.held, [0.1, np.nan, 0.1, 1.6, np.nan, np.nan], equal_nan=True)


def test_answers_the_kernel_drops_are_only_lost() -> None:
    wanted = expected(records((Did.ANSWERED | Did.CORRUPTED, 0.1, 1)), timeout=1.5, stale_is_lost=True)
    assert (wanted.received, wanted.corrupted, wanted.flags) == (0, 0, Flag.NONE)


@pytest.mark.parametrize(
    ("left", "count"), [([], 0), ([1, 2, 3], 0), ([1, 3, 2], 1), ([3, 1, 2], 1), ([3, 2, 1], 2), ([5, 1, 2, 6, 4], 2)]
)
def test_an_answer_is_overtaken_when_a_later_pings_answer_left_before(left: list[int], count: int) -> None:
    assert overtaken(np.array(left, np.int64)) == count


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=20))
def test_overtaken_is_what_rfc_4737_defines(left: list[int]) -> None:
    arrived = sorted(range(len(left)), key=lambda ping: left[ping])
    wanted = sum(any(earlier > ping for earlier in arrived[:at]) for at, ping in enumerate(arrived))
    assert overtaken(np.array(left, np.int64)) == wanted


def test_truth_is_found_by_address() -> None:
    table = records((Did.ANSWERED, 0.1, 1), (Did.ANSWERED, 0.2, 1), (Did.LOST, 0.0, 0))
    table["pair"] = [0, 1, 2]
    table["delay"] = [int(0.1 * SECOND), int(0.2 * SECOND) - 5_000, 0]
    here, there, six = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), bytes(15) + b"\1"
    truth = Truth(table, [(here, there), (there, there), (six, six)])
    assert truth.between("10.0.0.1", "10.0.0.2")["number"].tolist() == [1]
    assert truth.to("10.0.0.2")["number"].tolist() == [1, 2]
    assert truth.to("::1")["number"].tolist() == [3]
    assert len(truth.to("10.9.9.9")) == len(truth.between("10.0.0.1", "10.9.9.9")) == 0
    assert truth.errors() == pytest.approx([0.0, 5e-6], abs=1e-8)
