"""SmokePing's archives as rounds and coarse rows: nothing left out, nothing twice, fractions carried on."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import ConfigError
from smokemesh.model.rounds import Flag
from smokemesh.smokeping.archive import SECOND, Archive, Table, carried, history, parse_dump, rounds, split, spread

STEP = 300
NAN = float("nan")


def table(kind: str, per_row: int, end: int, rows: list[list[float]]) -> Table:
    """Rows that end with the one at `end`; each is loss, median, pings."""
    resolution = STEP * per_row
    ends = end - resolution * np.arange(len(rows) - 1, -1, -1)
    return Table(kind, resolution, ends, np.array([[NAN, *row] for row in rows]))


def archive(*tables: Table) -> Archive:
    return Archive(STEP, 10_000_000, ("uptime", "loss", "median", "ping1", "ping2", "ping3"), tables)


def test_a_row_begins_a_step_before_its_stamp() -> None:
    batch = rounds(table("AVERAGE", 1, 900, [[0, 0.02, 0.01, 0.02, 0.03]]), 3, task=7)
    assert batch.time.tolist() == [600 * SECOND]
    assert batch.task.tolist() == [7]
    assert batch.received.tolist() == [3]
    assert batch.matrix().tolist() == [pytest.approx([0.01, 0.02, 0.03])]
    assert batch.flags.tolist() == [int(Flag.SORTED | Flag.IMPORTED)]


def test_lost_pings_are_unknown_on_both_sides() -> None:
    batch = rounds(table("AVERAGE", 1, 900, [[2, 0.02, NAN, 0.02, NAN]]), 3, task=7)
    assert batch.received.tolist() == [1]
    assert batch.matrix()[0].tolist() == [
        pytest.approx(0.02),
        pytest.approx(NAN, nan_ok=True),
        pytest.approx(NAN, nan_ok=True),
    ]


def test_total_loss_is_a_round_and_unknown_loss_is_none() -> None:
    finest, _ = split(archive(table("AVERAGE", 1, 900, [[NAN, NAN, NAN, NAN, NAN], [3, NAN, NAN, NAN, NAN]])), 10_000)
    batch = rounds(finest, 3, task=7)
    assert batch.time.tolist() == [600 * SECOND]
    assert (batch.sent.tolist(), batch.received.tolist()) == ([3], [0])
    assert np.isnan(batch.rtts).all()


def test_fractions_of_lost_pings_are_carried_on() -> None:
    assert carried(np.full(10, 0.3), 5).sum() == 3
    assert carried(np.array([1.0, 0.0, 2.0, 5.0]), 5).tolist() == [1, 0, 2, 5]


@given(st.lists(st.floats(0, 5), max_size=50))
def test_the_sum_of_carried_losses_is_that_of_the_losses(losses: list[float]) -> None:
    whole = carried(np.array(losses, np.float64), 5)
    assert abs(whole.sum() - sum(losses)) <= 0.5 + 1e-6
    assert ((whole >= 0) & (whole <= 6)).all()


def test_where_too_many_are_known_their_distribution_stays() -> None:
    assert spread(np.array([1.0, 2.0, 3.0, 4.0]), 4).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert spread(np.array([1.0, 2.0, 3.0]), 1).tolist() == [2.0]
    few = spread(np.array([1.0, 3.0]), 4)
    assert (few >= 1).all()
    assert (few <= 3).all()
    assert few.mean() == pytest.approx(2.0)


def test_levels_meet_without_gap_and_without_overlap() -> None:
    fine = table("AVERAGE", 1, 36_000, [[0, 0.02, 0.01, 0.02, 0.03]] * 20)
    coarse = table("AVERAGE", 12, 36_000, [[1, 0.02, 0.01, 0.02, 0.03]] * 9)
    coarsest = table("AVERAGE", 36, 32_400, [[1, 0.02, 0.01, 0.02, 0.03]] * 3)
    finest, others = split(archive(coarsest, fine, coarse), 10**9)
    assert finest is not None
    spans = [(b, e) for t in [finest, *others] for b, e in zip(t.begin.tolist(), t.end.tolist(), strict=True)]
    spans.sort()
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert spans[-1][1] == 36_000
    assert spans[0][0] == 0


def test_a_young_archive_gives_all_its_rounds() -> None:
    """Its coarse rows reach back before the first round that is known: they are not needed."""
    unknown = [[NAN, NAN, NAN, NAN, NAN]] * 30
    fine = table("AVERAGE", 1, 36_000, [*unknown, *[[0, 0.02, 0.01, 0.02, 0.03]] * 14])
    coarse = table("AVERAGE", 12, 36_000, [[0, 0.02, 0.01, 0.02, 0.03]] * 2)
    finest, others = split(archive(fine, coarse), 10**9)
    assert finest is not None
    assert len(finest.end) == 14
    assert [len(other.end) for other in others] == [0]


def test_nothing_is_taken_from_when_it_was_measured_otherwise() -> None:
    fine = table("AVERAGE", 1, 36_000, [[0, 0.02, 0.01, 0.02, 0.03]] * 20)
    finest, _ = split(archive(fine), 34_000)
    assert finest is not None
    assert finest.end.max() <= 34_000


def test_a_coarse_row_counts_all_its_rounds() -> None:
    rows = history(archive(), [table("AVERAGE", 12, 7200, [[0.5, 0.02, 0.01, 0.02, 0.03], [3, NAN, NAN, NAN, NAN]])])
    assert rows.rounds.tolist() == [12, 12]
    assert rows.sent.tolist() == [36, 36]
    assert rows.received.tolist() == [30, 0]
    assert rows.time.tolist() == [0, 3600 * SECOND]
    assert rows.least[0] == 0.01
    assert np.isnan(rows.least[1])


def test_extremes_come_from_their_own_tables() -> None:
    average = table("AVERAGE", 12, 3600, [[0, 0.02, 0.01, 0.02, 0.03]])
    least = table("MIN", 12, 3600, [[0, 0.02, 0.001, 0.002, 0.003]])
    most = table("MAX", 12, 3600, [[0, 0.02, 0.1, 0.2, 0.3]])
    rows = history(archive(average, least, most), [average])
    assert (rows.least[0], rows.greatest[0]) == (0.001, 0.3)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is no archive"),
        ("<step>300</step><lastupdate>5</lastupdate><ds><name> speed </name></ds>", "sources are speed"),
        (
            "<step>300</step><lastupdate>5</lastupdate>"
            + "".join(f"<name> {name} </name>" for name in ("uptime", "loss", "median", "ping1"))
            + "<rra><cf>AVERAGE</cf><pdp_per_row>1</pdp_per_row><database><!-- x / 300 --><row><v>1</v></row></database></rra>",
            "too many or too few values",
        ),
    ],
)
def test_what_is_no_archive_is_said(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        parse_dump(text, "some.rrd")
    assert "some.rrd" in str(caught.value)


@given(st.text(alphabet="<>/abcdrstv0123456789.-e \n", max_size=300))
def test_hostile_dumps_are_refused_in_one_line(text: str) -> None:
    head = "<step>300</step><lastupdate>5</lastupdate>"
    names = "".join(f"<name> {name} </name>" for name in ("uptime", "loss", "median", "ping1"))
    problem = ""
    try:
        parse_dump(head + names + text, "some.rrd")
    except ConfigError as error:
        problem = str(error)
    assert "\n" not in problem
