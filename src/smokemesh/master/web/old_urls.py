"""SmokePing's addresses, and the page here that shows the same. Pure: parameters in, an address out.

`target=A.B~slave`, `displaymode`, `start` and `end`, `hierarchy`, `filter`, `_charts.NAME`; between parameters stands
`;` or `&`. Nothing is looked up: an address of something that is not here leads to the page that says so.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote_plus, urlencode

#: Later moments (Unix seconds) mean now, as in SmokePing.
_FAR: Final = 2**32
_MOST_PARAMETERS: Final = 50
_MOST_CHARACTERS: Final = 300

_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
#: A time as rrdtool writes them: where it begins, then what is added or taken away.
_BEGIN: Final = re.compile(
    r"(?:now|n|end|e|start|s)(?![a-z])|(midnight|noon|teatime)?\s*(today|yesterday|tomorrow)?", re.ASCII
)
_STEP: Final = re.compile(r"\s*([+-]?)\s*(\d{1,9})\s*([a-z]*)", re.ASCII)
_HOURS: Final = {"midnight": 0, "noon": 12, "teatime": 16}
_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_UNITS: Final = {
    ("", "s", "sec", "secs", "second", "seconds"): 1,
    ("m", "min", "mins", "minute", "minutes"): 60,
    ("h", "hr", "hour", "hours"): 3600,
    ("d", "day", "days"): 86400,
    ("w", "wk", "week", "weeks"): 7 * 86400,
    ("mon", "month", "months"): 30 * 86400,
    ("y", "yr", "year", "years"): 365 * 86400,
}
_SECONDS: Final = {name: size for names, size in _UNITS.items() for name in names}


def parameters(query: str) -> dict[str, str]:
    """The parameters of a query string; of one given twice, the first."""
    found: dict[str, str] = {}
    for part in re.split("[;&]", query)[:_MOST_PARAMETERS]:
        name, _, value = part.partition("=")
        found.setdefault(unquote_plus(name), unquote_plus(value)[:_MOST_CHARACTERS])
    found.pop("", None)
    return found


def old_url(params: Mapping[str, str], now: datetime | None = None) -> str:
    """The address here of what SmokePing shows under these parameters.

    Days have no zone there: they are this host's, or those of `now`, the moment asked at, where it is given.
    """
    hierarchy = _name(params.get("hierarchy", ""))
    hierarchy = "" if hierarchy == "0" else hierarchy
    target = params.get("target", "")
    if expression := params.get("filter", "").strip():
        return _address("/search", [("filter", expression), *([("hierarchy", hierarchy)] if hierarchy else [])])
    span = _span(params, now)
    if target == "_charts" or target.startswith("_charts."):
        return _address("/charts" + "".join(f"/{quote(part)}" for part in target.split(".")[1:2] if part), span)
    place, _, agent = target.partition("~")
    path = "".join(f"/{quote(part)}" for part in place.split(".") if part) if ".." not in place else ""
    if hierarchy:
        return _address(f"/hierarchies/{quote(hierarchy)}{path}", _agent(agent) + span if path else [])
    if not path:
        return "/"
    if params.get("displaymode") == "a":
        begin_end = [({"from": "begin", "to": "end"}[name], value) for name, value in span]
        return _address("/api/v1/graph.png", [("target", _unquoted(place)), *_agent(agent), *begin_end])
    return _address(f"/targets{path}", _agent(agent) + span)


def _unquoted(place: str) -> str:
    return "/" + "/".join(part for part in place.split(".") if part)


def _name(text: str) -> str:
    """A name as SmokePing lets one be; "" for anything else."""
    return text if re.fullmatch(r"[-_0-9a-zA-Z.]+", text) and ".." not in text else ""


def _agent(name: str) -> list[tuple[str, str]]:
    return [("agent", name)] if name else []


def _address(path: str, query: list[tuple[str, str]]) -> str:
    return path + (f"?{urlencode(query, safe=':/', quote_via=quote)}" if query else "")


def _span(params: Mapping[str, str], now: datetime | None) -> list[tuple[str, str]]:
    """The range that is asked for, as our pages write it; nothing when it was none, or cannot be read."""
    if params.get("displaymode", "s") == "s" and not ("start" in params and "end" in params):
        return []
    # The zoom script of SmokePing's pages wrote what it chose to fields of their own.
    begin = moment(params.get("epoch_start") or params.get("start", ""), now)
    end = moment(params.get("epoch_end") or params.get("end", "") or "now", now)
    return [("from", begin), ("to", end)] if begin and end and begin != end else []


def moment(text: str, now: datetime | None = None) -> str:
    """A time of SmokePing as ours: `now`, `now-10800s`, RFC 3339; "" when it is none."""
    written = text.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d*)?", written, re.ASCII):
        seconds = int(written.partition(".")[0])
        return "now" if seconds > _FAR else _rfc3339(datetime.fromtimestamp(seconds, UTC))
    if day := _DAY.fullmatch(written):
        return _day(day, now)
    return _rrdtool(written, now)


def _day(match: re.Match[str], now: datetime | None) -> str:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        wall = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # the zone follows
        return _rfc3339(wall.replace(tzinfo=now.tzinfo) if now else wall.astimezone())
    except (ValueError, OverflowError, OSError):
        return ""


def _rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rrdtool(text: str, now: datetime | None) -> str:
    """An expression of rrdtool's: `now-3h`, `-2d5h`, `end-1w`, `midnight`, `noon yesterday - 2 hours`."""
    begin = _BEGIN.match(text)
    assert begin is not None  # it matches nothing too
    shift = _shift(text[begin.end() :])
    if shift is None or not text:
        return ""
    if begin[1] or begin[2]:
        today = now or datetime.now(UTC).astimezone()
        hour = _HOURS[begin[1]] if begin[1] else today.hour
        when = today.replace(hour=hour, minute=0 if begin[1] else today.minute, second=0, microsecond=0)
        return _rfc3339(when + timedelta(days=_DAYS.get(begin[2] or "today", 0), seconds=shift))
    return f"now-{-shift}s" if shift < 0 else "now"


def _shift(text: str) -> int | None:
    """Seconds of what is added or taken away: `-2d5h`, `- 1 week`; a sign holds until the next. None: not understood."""
    total, sign, place = 0, 0, 0
    while place < len(text.rstrip()):
        step = _STEP.match(text, place)
        if step is None or step[3] not in _SECONDS or not (step[1] or sign):
            return None
        sign = {"+": 1, "-": -1}.get(step[1], sign)
        total += sign * int(step[2]) * _SECONDS[step[3]]
        place = step.end()
    return total
