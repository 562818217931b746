"""The picture as SVG: well formed, with the figures, and total loss, no data and answers never alike."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.web.shapes import DEAD, LOSSY, NANO, NOW, OK, cut, series

from smokemesh.analysis import smoke
from smokemesh.master.web import language, svg
from smokemesh.master.web.summary import summarize
from smokemesh.model.rounds import Flag
from smokemesh.model.series import Series

SVG = "{http://www.w3.org/2000/svg}"


def picture(
    *found: Series, title: str = "Rack", lang: str = "en", theme: str = "light", **changes: object
) -> svg.Picture:
    made = svg.Picture(
        title=title, note="20 pings every 1 min",
        lines=[svg.Line(series=one, summary=summarize(one, NOW), title=f"<{one.agent}>") for one in found],
        begin=NOW - 600 * NANO, end=NOW, now=NOW, pings=4, texts=language.catalogue(lang), theme=svg.THEMES[theme], zone=UTC,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def words(text: str) -> str:
    return " ".join("".join(e.itertext()) for e in ET.fromstring(text).iter(f"{SVG}text"))


@pytest.mark.parametrize("theme", list(svg.THEMES))
@pytest.mark.parametrize("lang", list(language.LANGUAGES))
def test_it_is_well_formed_and_says_what_it_shows(theme: str, lang: str) -> None:
    text = svg.draw(picture(series([OK] * 10), title='<b>"R&D"</b>', lang=lang, theme=theme))
    said = words(text)
    assert '<b>"R&D"</b>' in said
    assert "11.5 ms" in said
    assert "0 %" in said
    assert "2026-11-21 11:32" in said
    assert "nan" not in text.lower().replace("pattern", "")


def test_total_loss_is_painted_full_height_in_its_own_colour() -> None:
    theme = svg.THEMES["light"]
    healthy, dead = (svg.draw(picture(series(rows))) for rows in ([OK] * 10, [OK] * 5 + [DEAD] * 3 + [OK] * 2))
    fill = f'fill="{theme.down}"'
    boxes = next(line for line in dead.splitlines() if fill in line)
    assert re.search(rf"M\d+ {svg.TOP}\.0H\d+V{svg.TOP + 240}\.0", boxes)
    assert boxes.count("z") == 1
    left, right = (int(x) for x in re.search(r"M(\d+) [\d.]+H(\d+)", boxes).groups())  # type: ignore[union-attr]
    assert (left - svg.LEFT, right - svg.LEFT) == (400, 640)
    assert next(line for line in healthy.splitlines() if fill in line).count("z") == 0


def test_partial_loss_colours_the_median() -> None:
    text = svg.draw(picture(series([OK, LOSSY] * 5)))
    color = smoke.loss_colors(4)[1].color
    assert f'fill="#{color}"' in text
    assert "12.5 %" in words(text)


def test_no_data_is_hatched_and_nothing_else() -> None:
    early, late = series([OK] * 3), series([OK] * 2, begin=NOW - 120 * NANO)
    joined = series([OK] * 5)
    gap = replace(joined, time=np.concatenate([early.time, late.time]))
    text = svg.draw(picture(gap))
    hatched = [line for line in text.splitlines() if 'fill="url(#none)"' in line and f'y="{svg.TOP}"' in line]
    assert len(hatched) == 1
    # From the third minute to the eighth of ten.
    left, width = (float(re.search(rf' {name}="([\d.]+)"', hatched[0])[1]) for name in ("x", "width"))  # type: ignore[index]
    assert [left - svg.LEFT, width] == pytest.approx([240, 400], abs=1)


def test_nothing_measured_at_all_is_drawn() -> None:
    text = svg.draw(picture(series([OK] * 10), begin=NOW - 7200 * NANO, end=NOW - 3600 * NANO))
    assert ET.fromstring(text).tag == f"{SVG}svg"
    assert "no data" in words(svg.draw(picture(cut(series([OK]), 0))))


def test_several_agents_are_lines_with_their_names_and_outage_needs_all() -> None:
    down = series([OK] * 5 + [DEAD] * 5, agent="one")
    up = series([OK] * 10, agent="two")
    text = svg.draw(picture(down, up))
    assert {"<one>", "<two>"} <= set(re.findall(r"<\w+>", words(text)))
    fill = f'fill="{svg.THEMES["light"].down}"'
    assert next(line for line in text.splitlines() if fill in line).count("z") == 0
    both = svg.draw(picture(down, replace(down, agent="two")))
    assert next(line for line in both.splitlines() if fill in line).count("z") == 1


def test_a_spike_does_not_flatten_the_rest_and_is_marked() -> None:
    text = svg.draw(picture(series([OK] * 9 + [[2.0] * 4])))
    labels = re.findall(r">([\d.]+ m?s)</text>", text)
    assert "2 s" not in labels
    assert f'z" fill="{svg.THEMES["light"].ink}"' in text


@pytest.mark.parametrize(
    ("span", "zone", "expected"),
    [
        (3600, "UTC", ["10:50", "11:00"]),
        (86400, "Asia/Shanghai", ["21:00", "11-21"]),
        (10 * 86400, "UTC", ["11-12", "11-14"]),
        (400 * 86400, "UTC", ["2025-11", "2026-01"]),
        (60, "UTC", ["11:41:10", "11:41:20"]),
    ],
)
def test_times_are_round_in_their_zone(span: int, zone: str, expected: list[str]) -> None:
    ticks = svg.time_ticks(NOW - span * NANO, NOW, ZoneInfo(zone), 10)
    assert set(expected) <= {text for _, text in ticks}
    assert 2 <= len(ticks) <= 14
    assert all(NOW - span * NANO <= time < NOW for time, _ in ticks)


def test_the_newest_round_on_its_way_is_not_a_gap() -> None:
    one = series([OK] * 9)
    assert svg.gaps(one, NOW - 600 * NANO, NOW, NOW) == []
    assert svg.gaps(one, NOW - 600 * NANO, NOW + 600 * NANO, NOW + 400 * NANO) == [(NOW - 60 * NANO, NOW + 400 * NANO)]


def test_a_round_that_waits_for_its_upload_is_not_a_gap() -> None:
    one = series([OK] * 9)
    end = NOW + 180 * NANO
    assert svg.gaps(one, NOW - 600 * NANO, end, end, delay=120.0) == []
    assert svg.gaps(one, NOW - 600 * NANO, end, end, delay=1.0) == [(NOW - 60 * NANO, end)]


def test_points_that_lie_closer_or_farther_than_their_step_leave_no_gap() -> None:
    """Rounds each 1000 s in points of 900 s: now and then a point is left out, and nothing is missing."""
    begin = NOW - NOW % (1800 * NANO) - 36_000 * NANO
    one = series([OK] * 36, begin=begin, step=1000.0)
    binned = replace(one, step=1800.0, time=one.time - one.time % (900 * NANO))
    assert svg.gaps(binned, begin, begin + 36_000 * NANO, NOW + 10**6 * NANO) == []
    hourly = replace(series([OK] * 10, begin=begin, step=3600.0), level="5m")
    assert svg.gaps(hourly, begin, begin + 36_000 * NANO, NOW + 10**6 * NANO) == []


def test_loss_that_may_be_the_agents_own_is_said() -> None:
    doubtful = replace(series([LOSSY] * 3), flags=np.full(3, Flag.OWN_DROPS, "u4"))
    assert "up to 3 perhaps lost by the agent itself" in words(svg.draw(picture(doubtful)))
    assert "perhaps" not in words(svg.draw(picture(series([LOSSY] * 3))))


def test_every_ping_of_several_agents_is_drawn_and_what_the_scale_cuts_is_marked() -> None:
    """One ping of four at a second: outside the middle 80 %, and far above the scale."""
    slow = series([OK] * 9 + [[0.010, 0.011, 0.012, 1.0]], agent="slow")
    text = svg.draw(picture(slow, series([OK] * 10, agent="other")))
    color = f"#{svg.AGENTS[0]}"
    bands = [line for line in text.splitlines() if f'fill="{color}" fill-opacity' in line]
    assert len(bands) == 2
    assert all(f" {svg.TOP}.0H" in band for band in bands[:1])
    marks = [line for line in text.splitlines() if line.endswith(f'fill="{color}"/>') and f"V{svg.TOP + 2}.0" in line]
    assert len(marks) == 1


def test_strips_of_loss_stand_below_the_plot_and_cover_no_answer() -> None:
    text = svg.draw(picture(series([LOSSY] * 10, agent="one"), series([LOSSY] * 10, agent="two")))
    bottom = svg.TOP + 240
    tops = [int(y) for y in re.findall(rf'y="(\d+)" width="800" height="{svg.STRIP_HEIGHT}"', text)]
    assert tops == [bottom + 2, bottom + 2 + svg.STRIP]
    color = smoke.loss_colors(4)[1].color
    starts = {
        float(y) for y in re.findall(r"M\d+ ([\d.]+)H", "".join(re.findall(rf'd="([^"]+)" fill="#{color}"', text)))
    }
    assert {float(top) for top in tops} < starts
    assert not {y for y in starts if bottom - 12 < y < bottom}


def test_the_zone_is_told_by_its_distance_from_utc() -> None:
    said = words(svg.draw(picture(series([OK] * 10), zone=ZoneInfo("Asia/Shanghai"))))
    assert "(UTC+08:00)" in said
    assert "CST" not in said
    assert "(UTC)" in words(svg.draw(picture(series([OK] * 10))))


def test_the_scale_fits_the_usual_values_every_ping_or_is_logarithmic() -> None:
    rows = [OK] * 9 + [[0.010, 0.011, 0.012, 1.0]]
    labels = {
        scale: re.findall(r">([\d.]+ (?:m|µ)?s)</text>", svg.draw(picture(series(rows), scale=scale)))
        for scale in ("auto", "max", "log")
    }
    assert labels["auto"][-1] == "12.5 ms"
    assert labels["max"][-1] == "1 s"
    assert labels["log"] == ["0.01 s", "0.02 s", "0.05 s", "0.1 s", "0.2 s", "0.5 s", "1 s", "2 s"]
    assert ET.fromstring(svg.draw(picture(series([DEAD] * 10), scale="log"))).tag == f"{SVG}svg"


def test_without_an_answer_the_axis_measures_nothing() -> None:
    said = words(svg.draw(picture(series([DEAD] * 10))))
    assert "1 ms" not in said
    assert "100 %" in said
