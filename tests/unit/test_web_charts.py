"""Charts: who is ranked, in which order, and what is left out."""

import math

import numpy as np
import pytest
from tests.web import world

from smokemesh.errors import NotFound
from smokemesh.master.web import charts, language, status
from smokemesh.settings.shape import Chart, MasterSettings, Presentation
from smokemesh.storage.ranking import Standing

TEXTS = language.catalogue("en")
NOW = 1_795_262_700 * 10**9


def snapshot() -> status.Snapshot:
    settings = world.settings()
    tasks = {target.path: [status.Numbered(status.task_of(target))] for target in settings.targets}
    return status.Snapshot(settings, NOW, {}, tasks)


def standing(rows: list[tuple[str, str, float, int]]) -> Standing:
    """Path, agent, median in seconds, answered of 20."""
    n = len(rows)
    median = np.array([row[2] for row in rows])
    return Standing(
        task=np.array([world.task(row[0]) for row in rows], "u8"), agent=[row[1] for row in rows],
        rounds=np.ones(n, "u8"), sent=np.full(n, 20, "u8"), received=np.array([row[3] for row in rows], "u8"),
        flags=np.zeros(n, "u4"), median=median, mean=median, least=median / 2, greatest=median * 3,
        deviation=median / 10,
    )  # fmt: skip


ROWS = [
    ("/office", "boomer", 0.009, 20),
    ("/office", "slater", 0.031, 18),
    ("/changzhou/rack30", "boomer", math.nan, 0),
    ("/transit/tokyo", "slater", 0.224, 20),
    ("/transit/tokyo", "gone", 9.9, 1),
    ("/dual", "boomer", 8.8, 1),
]


def ranked(sorter: str, most: int = 10) -> charts.Ranked:
    all_ = standing(ROWS)
    chart = Chart(name="x", menu="x", title="x", sorter=sorter)
    return charts.rank(chart, all_, charts.recognize(snapshot(), all_), most)


def names(sorter: str) -> list[str]:
    return [f"{entry.target.path}~{entry.agent}" for entry in ranked(sorter).entries]


def test_every_agent_is_ranked_and_what_has_no_value_is_not() -> None:
    assert names("median") == ["/transit/tokyo~slater", "/office~slater", "/office~boomer"]
    assert names("max") == names("deviation") == names("median")


def test_who_lost_nothing_is_no_entry_of_loss() -> None:
    found = ranked("loss")
    assert [(entry.target.path, entry.agent, entry.value) for entry in found.entries] == [
        ("/changzhou/rack30", "boomer", 1.0),
        ("/office", "slater", pytest.approx(0.1)),
    ]
    assert math.isnan(found.entries[0].median)


def test_the_count_goes_beyond_what_is_listed() -> None:
    found = ranked("median", 1)
    assert (found.count, len(found.entries), found.entries[0].rank) == (3, 1, 1)


def test_four_charts_unless_the_configuration_names_others() -> None:
    assert [chart.name for chart in charts.charts_of(world.settings(), TEXTS)] == ["median", "loss", "max", "stddev"]
    own = (Chart(name="worst", menu="w", title="Worst", sorter="loss", entries=3),)
    settings = MasterSettings(presentation=Presentation(charts=own))
    assert charts.charts_of(settings, TEXTS) == own
    assert charts.chart_named(own, "WORST") is own[0]
    with pytest.raises(NotFound, match="chart median: no such chart; there are worst"):
        charts.chart_named(own, "median")


def test_the_window_of_a_request() -> None:
    settings = world.settings()
    assert charts.window("", "", settings, NOW).span.seconds == 3600
    newest = charts.window("round", "", settings, NOW)
    assert newest.newest
    assert newest.offered == "round"
    assert newest.span.seconds >= 3 * 60
    assert charts.window("now-30d", "now", settings, NOW).offered == "30d"
    assert charts.window("now-30d", "now-1d", settings, NOW).offered == ""


class Counting:
    """A store that counts how often it is asked."""

    asked = 0

    def ranking(self, begin: int, end: int, *, newest: bool = False, most: int = 0) -> Standing:
        self.asked += 1
        return standing(ROWS)


def test_the_store_is_asked_once_for_all_who_look() -> None:
    store, now = Counting(), [NOW]
    kept = charts.Rankings(store, lambda: now[0])  # type: ignore[arg-type]
    asked = charts.window("now-1h", "now", world.settings(), NOW)
    for _ in range(5):
        kept.over(asked, 10)
    assert store.asked == 1
    kept.over(asked, 5000)
    assert store.asked == 2
    now[0] += 11 * 10**9
    kept.over(asked, 10)
    assert store.asked == 3
    for hours in range(1, 30):
        kept.over(charts.window(f"now-{hours}h", "now", world.settings(), NOW), 10)
    assert len(kept._held) <= 8
