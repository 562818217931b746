"""What is remembered of slaves' views, in a real catalogue, and how lines are judged by it."""

from pathlib import Path

from smokemesh.master.slaves import judge
from smokemesh.smokeping.results import read_lines, write_lines
from smokemesh.storage.catalogue import open_catalogue
from smokemesh.storage.slave_book import MOST_VIEWS, PastView, SlaveBook


def test_views_are_kept_newest_first_and_bounded(tmp_path: Path) -> None:
    catalogue = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    try:
        book = SlaveBook(catalogue)
        for last in range(1, 20):
            found = book.views("fra", PastView(last, {"/A": (2**64 - last, 10.0)}))
            assert [view.last for view in found] == list(range(last, max(0, last - MOST_VIEWS), -1))
        assert [view.tasks["/A"] for view in found] == [(2**64 - view.last, 10.0) for view in found]
        assert len(book.views("other", PastView(1, {}))) == 1
        again = SlaveBook(catalogue).views("fra", PastView(19, {"/B": (7, 1.0)}))
        assert (len(again), again[0].tasks, again[1].last) == (MOST_VIEWS, {"/B": (7, 1.0)}, 18)
    finally:
        catalogue.close()


def judged(views: list[PastView], config_time: int, *lines: tuple[str, int]) -> list[tuple[int, float]]:
    read = read_lines(b"\n".join(write_lines((path, at, 2, [0.1]) for path, at in lines)))
    known, tasks, steps = judge(read, views, config_time)
    assert (tasks.dtype.name, steps.dtype.name) == ("uint64", "float32")
    return [(t, s) if k else (0, 0.0) for k, t, s in zip(known.tolist(), tasks.tolist(), steps.tolist(), strict=True)]


def test_lines_are_judged_by_the_view_they_were_measured_under() -> None:
    views = [
        PastView(300, {"/A": (13, 10.0), "/C": (33, 10.0)}),
        PastView(200, {"/A": (12, 0.0), "/B": (22, 20.0)}),
        PastView(100, {"/A": (11, 10.0), "/B": (21, 20.0)}),
    ]
    assert judged(views, 300, ("/A", 310), ("/A", 250), ("/A", 150), ("/A", 50)) == [
        (13, 10.0), (12, 1.0), (11, 10.0), (11, 10.0),
    ]  # fmt: skip
    assert judged(views, 200, ("/A", 310), ("/A", 199)) == [(12, 1.0), (11, 10.0)]
    assert judged(views, 0, ("/A", 310), ("/A", 250)) == [(13, 10.0), (12, 1.0)]
    assert judged(views, 10**30, ("/B", 310), ("/B", 150), ("/C", 150)) == [(22, 20.0), (21, 20.0), (33, 10.0)]
    assert judged(views, 300, ("/D", 310)) == [(0, 0.0)]
    assert judged(views, 300) == []
    assert judged([PastView(300, {})], 300, ("/A", 310)) == [(0, 0.0)]
