"""What is said of an alert: since when, how bad, from where. Pure; SmokePing's texts to the letter where they are its.

Histories are oldest first, loss as shares and RTTs in seconds; NaN is unknown.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from smokemesh.master.web import screen
from smokemesh.model.alert import Alerting, Notice
from smokemesh.settings.shape import LOCAL_AGENT

NANO: Final = 10**9
WHAT: Final = {"raised": "was raised", "cleared": "was cleared", "active": "is active"}


def what(notice: Notice) -> str:
    """What happened, as SmokePing says it."""
    return WHAT.get(notice.what, notice.what)


def line(notice: Notice) -> str:
    """The target's path with dots, and from where it is seen when that is not the master itself."""
    path = notice.target.strip("/").replace("/", ".")
    away = [agent for agent in notice.agents if agent != LOCAL_AGENT]
    return f"{path} [from {', '.join(away)}]" if away else path


def loss_text(notice: Notice) -> str:
    """`loss: 0%, 0%, 20%`."""
    return _history("loss", notice.loss, 100.0, "%", notice.from_start)


def rtt_text(notice: Notice) -> str:
    """`rtt: 10ms, U, 12ms`."""
    return _history("rtt", notice.rtt, 1000.0, "ms", notice.from_start)


def _history(name: str, values: Sequence[float], scale: float, unit: str, from_start: bool) -> str:
    known = ["U" if math.isnan(value) else f"{value * scale:.0f}{unit}" for value in values]
    return f"{name}: " + ", ".join(["S", *known] if from_start else known)


def stamp(time: int) -> str:
    """A time of this host, as ctime(3) writes it."""
    return datetime.fromtimestamp(time / NANO).astimezone().strftime("%a %b %e %H:%M:%S %Y")


def moment(time: int) -> str:
    """A time that means the same everywhere."""
    return datetime.fromtimestamp(time / NANO, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def target_url(notice: Notice, alerting: Alerting) -> str:
    """The target's page; "" when the pages' address is not known."""
    return f"{alerting.url.rstrip('/')}/targets{quote(notice.target)}" if alerting.url else ""


def incident_url(notice: Notice, alerting: Alerting) -> str:
    """The incident's page; "" when the pages' address is not known."""
    return f"{alerting.url.rstrip('/')}/incidents/{notice.incident}" if alerting.url and notice.incident else ""


def since(notice: Notice) -> str:
    """Since when, or for how long it was."""
    length = screen.span(max(0, round((notice.time - notice.begun) / NANO)))
    if notice.what == "cleared":
        return f"from {moment(notice.begun)} to {moment(notice.time)}, {length}"
    return f"since {moment(notice.begun)}" + (f", {length}" if notice.time > notice.begun else "")


def how_bad(notice: Notice) -> str:
    """The newest round and the worst of those judged."""
    newest = _state(_last(notice.loss), _last(notice.rtt))
    worst = _state(_most(notice.loss), _most(notice.rtt))
    return newest if worst == newest else f"{newest} (worst of the last {len(notice.loss)} rounds: {worst})"


def _state(loss: float, median: float) -> str:
    """`20 % loss, median 12.0 ms`; without what is not known."""
    return f"{screen.percent(loss)} loss" + ("" if math.isnan(median) else f", median {screen.duration(median)}")


def from_where(notice: Notice) -> str:
    """The agents that see it."""
    return ", ".join(notice.agents) or LOCAL_AGENT


def headline(notice: Notice) -> str:
    """`someloss was raised on A.B [from slave]`."""
    return f"{notice.alert} {what(notice)} on {line(notice)}"


def sentence(notice: Notice) -> str:
    """All of it in one line."""
    return f"{headline(notice)}: {how_bad(notice)}, {since(notice)}, seen from {from_where(notice)}"


def _last(values: Sequence[float]) -> float:
    return values[-1] if values else math.nan


def _most(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)
