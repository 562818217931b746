"""The smoke graph as SVG, for downloads, mails and reports; the PNG is made from it. Pure: series in, text out.

The same rules as the page's canvas: bands, shades, loss colours and axis come from `analysis.smoke`. Total loss is
full height and red, no data is hatched, and neither looks like an answer.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal
from xml.sax.saxutils import escape

import numpy as np

from smokemesh.analysis import smoke
from smokemesh.master.web.language import Catalogue
from smokemesh.master.web.screen import duration, percent
from smokemesh.master.web.summary import Summary
from smokemesh.model.rounds import Flag
from smokemesh.model.series import BANDS, Series

NANO: Final = 10**9
FONT: Final = "DejaVu Sans, Noto Sans, Noto Sans CJK SC, WenQuanYi Micro Hei, PingFang SC, Microsoft YaHei, sans-serif"
LEFT, RIGHT, TOP, LINE = 68, 18, 46, 17
#: Colours of agents that have none of their own, as on the page.
AGENTS: Final = ("1f77b4", "e377c2", "2ca02c", "ff7f0e", "9467bd", "17becf", "bcbd22", "8c564b")
#: How light a line on a dark picture is at least, of 1.
LEAST_LIGHT: Final = 0.45
#: Of each agent when several share a graph: all pings, then their middle 80 %; (quantile, quantile, opacity).
RIBBONS: Final = ((0, len(BANDS) - 1, 0.13), (2, 18, 0.18))
#: Pixels from one agent's strip of loss to the next, below the plot, and their height.
STRIP, STRIP_HEIGHT = 6, 5


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a picture."""

    paper: str
    ink: str
    soft: str
    grid: str
    down: str
    down_edge: str
    hatch: str
    dark: bool


#: What the vertical axis holds.
Scale = Literal["auto", "max", "log"]

THEMES: Final = {
    "light": Theme("#ffffff", "#1b232c", "#5d6975", "#e3e7eb", "#f7c3c6", "#b00010", "#b9c1c9", False),
    "dark": Theme("#171d24", "#e4e9ee", "#9aa7b3", "#29313a", "#5c1f25", "#ff4a50", "#46515c", True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One agent in the picture."""

    series: Series
    summary: Summary
    title: str
    color: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is to be drawn. Times are nanoseconds UTC, sizes pixels of the plotting area."""

    title: str
    note: str
    lines: Sequence[Line]
    begin: int
    end: int
    now: int
    pings: int
    texts: Catalogue
    theme: Theme
    zone: tzinfo
    width: int = 800
    height: int = 240
    #: Seconds a finished round may wait for its upload.
    delay: float = 0.0
    #: As on the page: the usual values, every ping, or every ping on a logarithmic axis.
    scale: Scale = "auto"
    #: The axis goes no higher, seconds; 0 for as high as is needed.
    most: float = 0.0
    #: The colours of loss; () for the usual ones.
    colors: Sequence[smoke.LossStep] = ()

    #: What the strips of loss below the plot are said to be.
    strips: str = "loss_strips"

    @property
    def steps(self) -> Sequence[smoke.LossStep]:
        """The colours of loss, from none to total."""
        return self.colors or smoke.loss_colors(self.pings)

    def clipped(self, limit: float) -> float:
        """Where the axis ends."""
        return min(limit, self.most) if self.most > 0 else limit


@dataclass(frozen=True, slots=True)
class _Frame:
    """From times and RTTs to pixels."""

    picture: Picture
    #: Where the vertical axis begins and ends, seconds.
    least: float
    limit: float

    def x(self, times: np.ndarray) -> np.ndarray:
        """Pixels from the left, inside the plot."""
        p = self.picture
        share = (times - p.begin) / (p.end - p.begin)
        return LEFT + np.clip(share, 0.0, 1.0) * p.width

    def y(self, seconds: np.ndarray) -> np.ndarray:
        """Pixels from the top, inside the plot."""
        if self.picture.scale == "log":
            above: np.ndarray = np.log(np.maximum(seconds, self.least) / self.least)
            share = above / np.log(self.limit / self.least)
        else:
            share = seconds / self.limit
        height: np.ndarray = TOP + self.picture.height * (1.0 - np.clip(share, 0.0, 1.0))
        return height

    def ticks(self) -> list[float]:
        """Where the vertical axis is labelled: nowhere without an answer."""
        if not any(line.summary.received for line in self.picture.lines):
            return []
        if self.picture.scale != "log":
            return list(smoke.ticks(self.limit))
        first, last = (math.floor(math.log10(value)) for value in (self.least, self.limit))
        factors = (1, 2, 5) if last - first < 3 else (1,)
        values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        return [value for value in values if self.least * 0.999 <= value <= self.limit * 1.001]


def _frame(picture: Picture) -> _Frame:
    """The axis that the picture's scale asks for, by the page's rules."""
    heard = [line.series for line in picture.lines if line.summary.received]
    if picture.scale == "auto" or not heard:
        limit = max((smoke.upper_limit(one.median) for one in heard), default=0.001)
        return _Frame(picture, 1e-4, picture.clipped(limit))
    most = 1.05 * max(float(np.nanmax(one.bands[:, -1])) for one in heard)
    least = max(1e-7, min(float(np.nanmin(one.bands[:, 0])) for one in heard))
    if picture.scale == "max":
        return _Frame(picture, least, picture.clipped(most))
    return _Frame(picture, _rounded(least, up=False), _rounded(max(most, 1.5 * least), up=True))


def _rounded(value: float, *, up: bool) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = [factor * power for factor in (1, 2, 5, 10)]
    return min(step for step in steps if step >= value) if up else max(step for step in steps if step <= value)


def draw(picture: Picture) -> str:
    """The picture as an SVG document."""
    frame = _frame(picture)
    below = _below(picture)
    foot = TOP + picture.height + 36 + _strips(picture)
    height = foot + 4 + LINE * (len(below) + 1) + 10
    width = LEFT + picture.width + RIGHT
    theme = picture.theme
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" font-size="11">',
        f"<title>{escape(picture.title)}</title>",
        f'<defs><pattern id="none" width="7" height="7" patternUnits="userSpaceOnUse">'
        f'<path d="M0 7L7 0" stroke="{theme.hatch}" stroke-width="1"/></pattern>'
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{picture.width}" height="{picture.height}"/></clipPath></defs>',
        f'<rect width="{width}" height="{height}" fill="{theme.paper}"/>',
        f'<text x="{LEFT}" y="20" font-size="15" font-weight="bold" fill="{theme.ink}">{escape(picture.title)}</text>',
        f'<text x="{LEFT}" y="36" fill="{theme.soft}">{escape(picture.note)}</text>',
        *_axes(frame),
        '<g clip-path="url(#plot)" shape-rendering="crispEdges">',
        *_ground(frame),
        *_lines(frame),
        "</g>",
        '<g shape-rendering="crispEdges">',
        *(part for k, line in enumerate(picture.lines) for part in _strip(frame, line, k)),
        "</g>",
        f'<rect x="{LEFT}" y="{TOP}" width="{picture.width}" height="{picture.height}" fill="none" stroke="{theme.soft}"/>',
        *_legend(picture, foot),
        *(
            f'<text x="{LEFT}" y="{foot + LINE * (k + 1)}" fill="{theme.ink}" xml:space="preserve">{text}</text>'
            for k, text in enumerate(below)
        ),
        "</svg>\n",
    ]
    return "\n".join(parts)


# ---------------------------------------------------------------- axes


#: Steps of a time axis, seconds.
_STEPS: Final = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_MONTH: Final = 30.44 * 86400


def time_ticks(begin: int, end: int, zone: tzinfo, most: int) -> list[tuple[int, str]]:
    """Round moments of a range in a time zone, and how they are written; at most about `most`."""
    span = (end - begin) / NANO
    step = next((s for s in _STEPS if span / s <= most), 0)
    if step == 0:
        return _month_ticks(begin, end, zone, max(1, round(span / most / _MONTH + 0.5)))
    offset = datetime.fromtimestamp(begin / NANO, zone).utcoffset()
    shift = round(offset.total_seconds()) if offset else 0
    first = -(-(begin // NANO + shift) // step) * step - shift
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%m-%d"
    return [(second * NANO, _written(second, zone, form)) for second in range(first, -(-end // NANO), step)]


def _written(second: int, zone: tzinfo, form: str) -> str:
    when = datetime.fromtimestamp(second, zone)
    return when.strftime("%m-%d" if form == "%H:%M" and (when.hour, when.minute) == (0, 0) else form)


def _month_ticks(begin: int, end: int, zone: tzinfo, months: int) -> list[tuple[int, str]]:
    first = datetime.fromtimestamp(begin / NANO, zone)
    ticks = []
    for count in range(first.year * 12 + first.month, 10**6, months):
        when = datetime(count // 12, count % 12 + 1, 1, tzinfo=zone)
        time = round(when.timestamp()) * NANO
        if time >= end:
            break
        ticks.append((time, when.strftime("%Y-%m")))
    return ticks


def _axes(frame: _Frame) -> list[str]:
    picture, theme = frame.picture, frame.picture.theme
    bottom, right = TOP + picture.height, LEFT + picture.width
    labels = bottom + 15 + _strips(picture)
    parts = []
    for value in frame.ticks():
        y = float(frame.y(np.array(value)))
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{theme.grid}"/>')
        parts.append(
            f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" fill="{theme.soft}">{axis_label(value, frame.limit)}</text>'
        )
    for time, text in time_ticks(picture.begin, picture.end, picture.zone, max(2, picture.width // 75)):
        x = float(frame.x(np.array(time)))
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{theme.grid}"/>')
        parts.append(f'<text x="{x:.1f}" y="{labels}" text-anchor="middle" fill="{theme.soft}">{text}</text>')
    return parts


def axis_label(value: float, limit: float) -> str:
    """An RTT on the axis, in the unit of its end."""
    scale, unit = (1.0, "s") if limit >= 1 else (1e3, "ms") if limit >= 1e-3 else (1e6, "µs")
    return "0" if value == 0 else f"{value * scale:.4g} {unit}"


# ---------------------------------------------------------------- what was measured


def _spans(frame: _Frame, series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Where each point begins and ends, whole pixels; neighbours share their border."""
    step = round(series.step * NANO)
    ends = series.time + step
    if len(series) > 1:
        follows = np.append(series.time[1:] - ends[:-1] < 0.3 * step, False)
        ends = np.where(follows, np.append(series.time[1:], 0), ends)
    begin, end = np.round(frame.x(series.time)), np.round(frame.x(ends))
    return begin, np.maximum(end, begin + 1)


def gaps(series: Series, begin: int, end: int, now: int, delay: float = 0.0) -> list[tuple[int, int]]:
    """Stretches without a point; the newest round may still be under way, or wait `delay` seconds for its upload."""
    step = round(series.step * NANO)
    found, covered = [], begin
    for k, time in enumerate(series.time.tolist()):
        # The round under way at the begin of the range began before it.
        if time - covered > (1.05 if k == 0 else 0.5) * step:
            found.append((covered, time))
        covered = max(covered, time + step)
    last = min(end, now)
    grace = 2 * step + (5 + delay) * NANO if end >= now - NANO else 0.5 * step
    return [*found, (covered, last)] if last - covered > grace else found


def common(lists: Sequence[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """The parts that all lists of gaps share."""
    result = lists[0] if lists else []
    for other in lists[1:]:
        pairs = [(max(a, c), min(b, d)) for a, b in result for c, d in other]
        result = [(first, last) for first, last in pairs if first < last]
    return result


def _ground(frame: _Frame) -> list[str]:
    """Hatching, smoke or ribbons, outages."""
    picture = frame.picture
    bare = common([gaps(line.series, picture.begin, picture.end, picture.now, picture.delay) for line in picture.lines])
    parts = []
    for first, last in bare:
        left, right = (float(frame.x(np.array(t))) for t in (first, last))
        parts.append(
            f'<rect x="{left:.0f}" y="{TOP}" width="{max(1.0, right - left):.0f}" height="{picture.height}" fill="url(#none)"/>'
        )
    if len(picture.lines) == 1:
        parts += _smoke(frame, picture.lines[0].series)
    else:
        parts += [box for k, line in enumerate(picture.lines) for box in _ribbon(frame, line, k)]
    return parts + _outages(frame)


def _smoke(frame: _Frame, series: Series) -> list[str]:
    left, right = _spans(frame, series)
    return [
        f'<path d="{_boxes(left, right, frame.y(series.bands[:, layer.high]), frame.y(series.bands[:, layer.low]))}" '
        f'fill="{shade(layer.grey, frame.picture.theme.dark)}"/>'
        for layer in smoke.LAYERS
    ]


def _ribbon(frame: _Frame, line: Line, k: int) -> list[str]:
    left, right = _spans(frame, line.series)
    bands = line.series.bands
    return [
        f'<path d="{_boxes(left, right, frame.y(bands[:, high]), frame.y(bands[:, low]))}" '
        f'fill="{agent_color(line, k, frame.picture.theme.dark)}" fill-opacity="{opacity}"/>'
        for low, high, opacity in RIBBONS
    ]


def _boxes(left: np.ndarray, right: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> str:
    """One path of boxes; those whose height is not known are left out."""
    known = ~(np.isnan(top) | np.isnan(bottom))
    return "".join(
        f"M{a:.0f} {t:.1f}H{b:.0f}V{max(u, t):.1f}H{a:.0f}z"
        for a, b, t, u in zip(left[known], right[known], top[known], bottom[known], strict=True)
    )


def _outages(frame: _Frame) -> list[str]:
    """Full height where every agent that measured lost every ping."""
    picture, theme = frame.picture, frame.picture.theme
    found: list[tuple[float, float]] = []
    for line in picture.lines:
        series = line.series
        down = (series.sent > 0) & (series.received == 0)
        middle = series.time + round(series.step * NANO / 2)
        for other in picture.lines:
            down &= ~_answers(other.series, middle)
        left, right = _spans(frame, series)
        found += zip(left[down].tolist(), right[down].tolist(), strict=True)
    spans = np.array(_merged(found)).reshape(-1, 2)
    a, b = spans[:, 0], spans[:, 1]
    top, bottom = np.full(len(a), float(TOP)), np.full(len(a), float(TOP + picture.height))
    return [
        f'<path d="{_boxes(a, b, top, bottom)}" fill="{theme.down}"/>',
        f'<path d="{_boxes(a, b, top, top + 3)}" fill="{theme.down_edge}"/>',
    ]


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that touch or overlap become one."""
    result: list[tuple[float, float]] = []
    for first, last in sorted(spans):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def _answers(series: Series, times: np.ndarray) -> np.ndarray:
    """Whether a point that holds each time had an answer."""
    place = np.searchsorted(series.time, times, side="right") - 1
    inside = place >= 0
    if not len(series):
        return np.zeros(len(times), bool)
    held = times - series.time[place] < round(1.3 * series.step * NANO)
    return inside & held & (series.received[place] > 0)


def _lines(frame: _Frame) -> list[str]:
    picture = frame.picture
    single = len(picture.lines) == 1
    parts = []
    for k, line in enumerate(picture.lines):
        color = picture.theme.ink if single else agent_color(line, k, picture.theme.dark)
        # Of several agents the line keeps its colour; the loss is a halo around it.
        stairs, medians = (
            _stairs(frame, line.series, color, 0.5 if single else 1.0),
            _medians(frame, line.series, single),
        )
        parts += [stairs, *medians] if single else [*medians, stairs]
        parts += _over(frame, line.series, color, TOP if single else TOP + 3 * k)
    return parts


def _stairs(frame: _Frame, series: Series, color: str, opacity: float) -> str:
    left, right = _spans(frame, series)
    path, pen = [], np.nan
    for a, b, y in zip(left.tolist(), right.tolist(), frame.y(series.median).tolist(), strict=True):
        if np.isnan(y):
            pen = np.nan
            continue
        path.append(f"{'L' if abs(pen - a) <= 1 else 'M'}{a:.0f} {y:.1f}H{b:.0f}")
        pen = b
    width = 1 if opacity < 1 else 1.5
    return f'<path d="{"".join(path)}" fill="none" stroke="{color}" stroke-opacity="{opacity}" stroke-width="{width}"/>'


def _medians(frame: _Frame, series: Series, single: bool) -> list[str]:
    """The median of each point as a bar in the colour of its loss."""
    steps = frame.picture.steps
    classes = smoke.loss_classes(series.loss, steps)
    left, right = _spans(frame, series)
    half = 1.5 if single else 3.0
    y = frame.y(series.median)
    parts = []
    for place, step in enumerate(steps):
        chosen = (classes == place) & (single or place > 0)
        if chosen.any():
            boxes = _boxes(
                left[chosen], np.maximum(right, left + (3 if place else 1))[chosen], y[chosen] - half, y[chosen] + half
            )
            parts.append(f'<path d="{boxes}" fill="#{step.color}"/>')
    return parts


def _over(frame: _Frame, series: Series, color: str, top: int) -> list[str]:
    """At the top edge: an arrow for each median higher than the scale, a bar where single pings are."""
    left, right = _spans(frame, series)
    cut = np.nan_to_num(series.bands[:, -1]) > frame.limit
    edge = np.full(np.count_nonzero(cut), float(top))
    bars = _boxes(left[cut], np.maximum(right, left + 2)[cut], edge, edge + 2)
    above = np.nan_to_num(series.median) > frame.limit
    marks = "".join(
        f"M{x - 4:.1f} {top + 8}L{x:.1f} {top + 1}L{x + 4:.1f} {top + 8}z" for x in ((left + right) / 2)[above]
    )
    return [f'<path d="{bars}{marks}" fill="{color}"/>'] if bars or marks else []


def _strips(picture: Picture) -> int:
    """Pixels below the plot that the strips of loss take."""
    return STRIP * len(picture.lines) + 2


def _strip(frame: _Frame, line: Line, lane: int) -> list[str]:
    """Below the plot: every point that lost something, in the colour of its loss; one strip for each agent."""
    picture, series = frame.picture, line.series
    top = TOP + picture.height + 2 + STRIP * lane
    ground = f'<rect x="{LEFT}" y="{top}" width="{picture.width}" height="{STRIP_HEIGHT}" fill="{picture.theme.grid}"/>'
    if len(picture.lines) == 1:
        return [ground, *_rug(frame, series, top)]
    mark = f'<rect x="{LEFT - 5}" y="{top}" width="4" height="{STRIP_HEIGHT}" fill="{agent_color(line, lane, picture.theme.dark)}"/>'
    return [ground, mark, *_bare(frame, series, top), *_rug(frame, series, top)]


def _rug(frame: _Frame, series: Series, top: int) -> list[str]:
    picture = frame.picture
    steps = picture.steps
    classes = smoke.loss_classes(series.loss, steps)
    left, right = _spans(frame, series)
    parts = []
    for place, step in list(enumerate(steps))[1:]:
        chosen = classes == place
        n = int(np.count_nonzero(chosen))
        if n:
            color = picture.theme.down_edge if place == len(steps) - 1 else f"#{step.color}"
            boxes = _boxes(
                left[chosen],
                np.maximum(right, left + 2)[chosen],
                np.full(n, float(top)),
                np.full(n, float(top + STRIP_HEIGHT)),
            )
            parts.append(f'<path d="{boxes}" fill="{color}"/>')
    return parts


def _bare(frame: _Frame, series: Series, top: int) -> list[str]:
    """In the strip of one agent of several: where it measured nothing."""
    picture = frame.picture
    parts = []
    for first, last in gaps(series, picture.begin, picture.end, picture.now, picture.delay):
        left, right = (float(frame.x(np.array(t))) for t in (first, last))
        parts.append(
            f'<rect x="{left:.0f}" y="{top}" width="{max(1.0, right - left):.0f}" height="{STRIP_HEIGHT}" fill="url(#none)"/>'
        )
    return parts


# ---------------------------------------------------------------- below the graph


def shade(grey: int, dark: bool) -> str:
    """A layer of the smoke; on a dark picture the innermost is the lightest."""
    if not dark:
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    depth = (240 - grey) / 190
    return "#" + "".join(f"{round(a + (b - a) * depth):02x}" for a, b in ((28, 158), (35, 168), (43, 178)))


def agent_color(line: Line, k: int, dark: bool = False) -> str:
    """An agent's own colour, or one of ours; what is too dark to be seen on a dark picture is mixed with white."""
    color = line.color or AGENTS[k % len(AGENTS)]
    parts = [int(color[at : at + 2], 16) for at in (0, 2, 4)]
    light = (0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2]) / 255
    share = max(0.0, (LEAST_LIGHT - light) / (1 - light)) if dark and light < 1 else 0.0
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def _legend(picture: Picture, y: int) -> list[str]:
    steps = picture.steps
    theme, t = picture.theme, picture.texts
    several = len(picture.lines) > 1
    # Of several agents the lines keep their colours: no loss is not painted.
    items = [(f"#{step.color}", step.label) for step in steps[several:-1]]
    items += [(theme.down, t("legend_down")), ("url(#none)", t("legend_nodata"))]
    lead = t(picture.strips if several else "loss_color", pings=picture.pings)
    parts = [f'<text x="{LEFT}" y="{y}" fill="{theme.soft}">{escape(lead)}</text>']
    x = LEFT + 12 + _wide(lead)
    for fill, label in items:
        parts.append(f'<rect x="{x}" y="{y - 8}" width="12" height="8" fill="{fill}" stroke="{theme.grid}"/>')
        if fill == theme.down:
            parts.append(f'<rect x="{x}" y="{y - 8}" width="12" height="3" fill="{theme.down_edge}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}" fill="{theme.soft}">{escape(label)}</text>')
        x += 28 + _wide(label)
    return parts


def _wide(text: str) -> int:
    """About how many pixels a text of the usual size takes."""
    return round(sum(12 if unicodedata.east_asian_width(c) in "WF" else 5.8 for c in text))


def _below(picture: Picture) -> list[str]:
    """SmokePing's lines: median RTT and packet loss, each agent's."""
    t, lines = picture.texts, []
    for k, line in enumerate(picture.lines):
        s = line.summary
        if len(picture.lines) > 1:
            lines.append(
                f'<tspan font-weight="bold" fill="{agent_color(line, k, picture.theme.dark)}">■ </tspan><tspan font-weight="bold">{escape(line.title)}</tspan>'
            )
        medians = _figures(t, duration, (s.median_average, s.median_most, s.median_least, s.median_now))
        losses = _figures(t, percent, (s.loss_average, s.loss_most, s.loss_least, s.loss_now))
        lines.append(escape(f"{t('median')}:  {medians}   {t('deviation')} {duration(s.deviation)}"))
        doubt = f"   {t('doubtful_text', count=s.doubtful)}" if s.doubtful else ""
        lines.append(escape(f"{t('loss')}:  {losses}{doubt}"))
    if any((line.series.flags & Flag.IMPORTED).any() for line in picture.lines):
        lines.append(escape(t("imported_text")))
    zone = datetime.fromtimestamp(picture.end / NANO, picture.zone).isoformat()[-6:]
    span = " – ".join(
        datetime.fromtimestamp(time / NANO, picture.zone).strftime("%Y-%m-%d %H:%M")
        for time in (picture.begin, picture.end)
    )
    return [*lines, escape(f"{span} (UTC{'' if zone == '+00:00' else zone})")]


def _figures(t: Catalogue, written: Callable[[float], str], values: Sequence[float]) -> str:
    names = ("average", "most", "least", "now")
    return "   ".join(f"{t(name)} {written(value)}" for name, value in zip(names, values, strict=True))
