"""The graph and the rounds as files to keep: SVG, PNG, CSV."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from urllib.parse import quote
from zoneinfo import ZoneInfo

from litestar import Response

from smokemesh.errors import UsageError
from smokemesh.master.assignments import upload_interval
from smokemesh.master.web import language, palette, ranges, status, svg
from smokemesh.master.web.answers import ChartBody, EntryBody, RoundBody, flag_names, view_title
from smokemesh.master.web.desk import Desk, View, check_number, choose_views, clock, drop_bare, parse_span
from smokemesh.master.web.summary import summarize
from smokemesh.model.probe import Probe
from smokemesh.model.series import BANDS, Series
from smokemesh.model.target import Node


def parse_zone(name: str) -> tzinfo:
    """A time zone by its IANA name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"zone {name!r}: no such time zone; write one like Europe/Zurich or UTC") from None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a picture is drawn from: a target as its agents see it, or several targets."""

    nodes: list[Node]
    found: list[tuple[View, Series]]
    span: ranges.Range

    @property
    def probes(self) -> dict[str, View]:
        """How it is measured: each probe, and one view of what it measures."""
        return {view.target.probe: view for view, _ in self.found}


def check_size(width: int, height: int) -> None:
    """Refuses pictures that are too small to be read or too great to be made."""
    check_number("width", width, 200, 4000)
    check_number("height", height, 80, 2000)


def draw(
    desk: Desk,
    targets: Sequence[str],
    agent: Sequence[str] | None,
    line: Sequence[str] | None,
    begin: str,
    end: str,
    points: int,
) -> Drawn:
    """Reads what a request names."""
    span = parse_span(begin, end)
    views = choose_views(desk, targets, agent, line)
    found = desk.series(views, span, points)
    nodes = [desk.node(path) for path in dict.fromkeys(view.page for view in views)]
    return Drawn(nodes, drop_bare(views, found), span)


def picture(
    desk: Desk, drawn: Drawn, theme: str, lang: str, zone: str, width: int, height: int, scale: svg.Scale
) -> str:
    """The graph as SVG."""
    texts = language.catalogue(lang)
    probes = [status.probe_of(desk.settings, view.target) for view in drawn.probes.values()]
    lines = [
        svg.Line(
            series=one,
            summary=summarize(one, min(drawn.span.end, clock()), status.patience(desk.settings)),
            title=view_title(desk, view),
            color=view.color or desk.agent_color(one.agent),
        )
        for view, one in drawn.found
    ]
    one_target = len({view.target.path for view, _ in drawn.found}) == 1
    return svg.draw(
        svg.Picture(
            title=_title(drawn, texts, lines),
            note=_note(desk, drawn, texts, probes),
            lines=lines,
            begin=drawn.span.begin,
            end=drawn.span.end,
            now=clock(),
            pings=max(probe.pings for probe in probes),
            texts=texts,
            theme=svg.THEMES[theme],
            zone=parse_zone(zone),
            width=width,
            height=height,
            delay=upload_interval(desk.settings),
            scale=scale,
            most=desk.settings.presentation.max_rtt,
            strips="loss_strips" if one_target else "loss_lines",
            colors=palette.loss_steps(desk.settings, max(probe.pings for probe in probes)),
        )
    )


def _title(drawn: Drawn, texts: language.Catalogue, lines: Sequence[svg.Line]) -> str:
    """A target and who sees it; a page of several targets by its own title, for its lines are named below."""
    titles = ", ".join(node.title or node.menu or node.name for node in drawn.nodes)
    if len(drawn.nodes) == 1 and drawn.nodes[0].target is not None:
        return texts("graph_title", title=titles, agent=", ".join(line.title for line in lines))
    return titles


def _note(desk: Desk, drawn: Drawn, texts: language.Catalogue, probes: Sequence[Probe]) -> str:
    if len(probes) > 1:
        return texts("graph_probes")
    hosts = ", ".join(dict.fromkeys(desk.host(view.target) for view, _ in drawn.found))
    return texts("graph_probe", pings=probes[0].pings, step=texts.span(probes[0].step), host=hosts)


def file_name(drawn: Drawn, suffix: str) -> str:
    """What the file is called when it is kept."""
    name = drawn.nodes[0].path.strip("/").replace("/", "-")
    return f"{name}-{ranges.rfc3339(drawn.span.end // ranges.NANO * ranges.NANO).replace(':', '')}.{suffix}"


def disposition(kind: str, name: str) -> str:
    """The header that names a file (RFC 6266): in ASCII for old programs, and as it is."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    return f"{kind}; filename=\"{safe}\"; filename*=UTF-8''{quote(name)}"


def inline(content: bytes, media_type: str, name: str) -> Response[bytes]:
    headers = {
        "Content-Disposition": disposition("inline", name),
        "Cache-Control": "no-cache",
        # A picture opened by itself may do nothing at all.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    return Response(content, media_type=media_type, headers=headers)


def points_csv(found: Sequence[tuple[View, Series]]) -> str:
    """Points as CSV (RFC 4180)."""
    counts = ("rounds", "sent", "received", "late", "duplicates", "reordered", "errors")
    out = io.StringIO()
    writer = csv.writer(out)
    quantiles = [f"rtt_p{round(100 * share)}" for share in BANDS]
    writer.writerow(
        [
            "time",
            "target",
            "agent",
            "address",
            "step",
            *counts,
            "loss",
            "mean",
            "deviation",
            "jitter",
            *quantiles,
            "flags",
        ]
    )
    for view, one in found:
        loss = one.loss
        for k, when in enumerate(one.time.tolist()):
            numbers = [loss[k], one.mean[k], one.deviation[k], one.jitter[k], *one.bands[k]]
            writer.writerow([
                ranges.rfc3339(when), view.target.path, one.agent, view.task.address, f"{one.step:g}", *(int(getattr(one, name)[k]) for name in counts),
                *("" if math.isnan(value) else f"{value:.9f}" for value in numbers),
                " ".join(flag_names(int(one.flags[k]))),
            ])  # fmt: skip
    return out.getvalue()


def charts_csv(bodies: Iterable[ChartBody]) -> str:
    """Charts as CSV (RFC 4180), one below the other."""
    fields = EntryBody.__struct_fields__
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["chart", *fields])
    for body in bodies:
        for entry in body.entries:
            values = (getattr(entry, name) for name in fields)
            cells = [f"{value:.9f}" if isinstance(value, float) else value for value in values]
            writer.writerow([body.name, *("" if cell == "nan" else cell for cell in cells)])
    return out.getvalue()


def rounds_csv(bodies: Iterable[RoundBody]) -> str:
    """Rounds as CSV (RFC 4180); RTTs are columns of their own, empty when lost."""
    rows = list(bodies)
    width = max((len(row.rtts) for row in rows), default=0)
    fixed = [name for name in RoundBody.__struct_fields__ if name not in ("flags", "rtts")]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*fixed, "flags", *(f"rtt{k + 1}" for k in range(width))])
    for row in rows:
        rtts = ["" if math.isnan(rtt) else f"{rtt:.9f}" for rtt in row.rtts]
        writer.writerow([*(getattr(row, name) for name in fixed), " ".join(row.flags), *rtts])
    return out.getvalue()


def csv_response(text: str, name: str) -> Response[str]:
    """CSV as a download."""
    return Response(
        text,
        media_type="text/csv",
        headers={"Content-Disposition": disposition("attachment", name)},
    )
