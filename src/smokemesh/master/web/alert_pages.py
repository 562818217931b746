"""The HTML pages of alerts: incidents, one incident, silences, rules with the pattern tester."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from smokemesh.errors import SmokemeshError, UsageError
from smokemesh.master.alerts_api import MOST_ROWS, agent_names, log_of, unknown_names
from smokemesh.master.web import ranges
from smokemesh.master.web.alert_answers import (
    DeliveryBody,
    IncidentBody,
    delivery_body,
    incident_body,
    rule_bodies,
    silence_body,
)
from smokemesh.master.web.desk import MOST_NUMBER, Desk, clock, known_number, provide_desk
from smokemesh.master.web.language import Catalogue
from smokemesh.master.web.pages import explain_page, render, visitor
from smokemesh.master.web.rule_words import rule_words
from smokemesh.model.alert import Alert, Incident
from smokemesh.storage.outbox import Outbox

#: Incidents on one page of the history.
PAGE: Final = 50
FILTERS: Final = ("target", "alert", "agent")


@dataclass(frozen=True, slots=True)
class Shown:
    """An incident as the pages show it."""

    body: IncidentBody
    #: Why nobody was told, in words.
    muted: str
    #: The target's page at that time.
    graph: str


def shown(desk: Desk, incident: Incident, t: Catalogue, now: int) -> Shown:
    """An incident ready for a page."""
    return Shown(incident_body(desk, incident, now), muted_words(incident.muted, t), graph_link(incident, now))


def muted_words(muted: str, t: Catalogue) -> str:
    """Why nobody was told."""
    kind, _, name = muted.partition(":")
    return t(f"muted_{kind}", name=name) if kind in ("parent", "silence", "priority", "late") else muted


def graph_link(incident: Incident, now: int) -> str:
    """The target's page at the time of an incident, with as much before and after as it lasted."""
    begin, end = around(incident, now)
    query = [
        ("from", ranges.rfc3339(begin)),
        ("to", ranges.rfc3339(end)),
        *(("agent", name) for name in incident.agents),
    ]
    return f"/targets{incident.target}?{urlencode(query)}"


def around(incident: Incident, now: int) -> tuple[int, int]:
    """The time of an incident with its surroundings, whole seconds."""
    end = incident.ended or now
    room = max(end - incident.begun, 900 * ranges.NANO) // 2
    first, last = incident.begun - room, min(end + room, now)
    return first // ranges.NANO * ranges.NANO, -(-last // ranges.NANO) * ranges.NANO


@get("/incidents", sync_to_thread=True, include_in_schema=False)
def get_incidents(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """What is wrong, and what was."""
    reader, now = visitor(request), clock()
    asked = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    wanted = {name: value for name, value in asked.items() if value}
    before = _number(request.query_params.get("before", ""))
    log, first = log_of(desk), not before
    ended = log.incidents(state="ended", before=before, most=PAGE + 1, **wanted)  # type: ignore[arg-type]
    more = f"?{urlencode({**wanted, 'before': ended[PAGE - 1].id})}" if len(ended) > PAGE else ""
    opened = log.incidents(state="open", most=MOST_ROWS, **wanted) if first else ()  # type: ignore[arg-type]
    return render(
        desk,
        reader,
        "incidents.html",
        title=reader.texts("incidents"),
        opened=[shown(desk, one, reader.texts, now) for one in opened],
        ended=[shown(desk, one, reader.texts, now) for one in ended[:PAGE]],
        asked=asked,
        unknown=[] if opened or ended else unknown_names(desk, **(asked | {"target": asked["target"] or "/"})),
        more=more,
        first=first,
        agents=agent_names(desk),
        alerts=list(desk.settings.alerts),
        data={"page": "incidents"},
    )


@get("/incidents/{number:int}", sync_to_thread=True, include_in_schema=False)
def get_incident(request: Request[Any, Any, Any], desk: NamedDependency[Desk], number: FromPath[int]) -> Response[str]:
    """One incident: since when, how bad, from where, and who was told."""
    reader, now = visitor(request), clock()
    incident = log_of(desk).incident(known_number("incident", number))
    deliveries = [delivery_body(one) for one in Outbox(desk.master.catalogue).list(incident=number, most=MOST_ROWS)]
    begin, end = around(incident, now)
    alert = desk.settings.alerts.get(incident.alert)
    node = desk.settings.tree.find(incident.target)
    return render(
        desk,
        reader,
        "incident.html",
        title=reader.texts("incident_of", id=number),
        one=shown(desk, incident, reader.texts, now),
        words=_words(alert, reader.texts),
        pattern=alert.pattern if alert else "",
        deliveries=deliveries,
        timeline=timeline(incident, deliveries),
        drawn=node is not None and node.target is not None,
        data={
            "page": "incident",
            "path": incident.target,
            "chart": {
                "agents": list(incident.agents),
                "from": ranges.rfc3339(begin),
                "to": ranges.rfc3339(end),
            },
        },
    )


def timeline(incident: Incident, deliveries: list[DeliveryBody]) -> list[tuple[str, str, str]]:
    """What happened when: time, kind of entry, whom it is about; the oldest first."""
    found = [(ranges.rfc3339(incident.begun), "begun", "")]
    found += [
        (one.time if one.state != "waiting" else one.created, f"sent_{one.state}", one.receiver) for one in deliveries
    ]
    if incident.ended:
        found.append((ranges.rfc3339(incident.ended), "cleared", ""))
    return sorted(found, key=lambda entry: ranges.parse_time(entry[0], 0))


@get("/silences", sync_to_thread=True, include_in_schema=False)
def get_silences(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """Who is not told of what, until when."""
    reader, now = visitor(request), clock()
    every = [silence_body(one, now) for one in log_of(desk).silences()]
    asked = {name: request.query_params.get(name, "").strip() or "*" for name in FILTERS}
    return render(
        desk,
        reader,
        "silences.html",
        title=reader.texts("silences"),
        standing=[one for one in every if one.state != "over"],
        over=[one for one in every if one.state == "over"][:PAGE],
        asked=asked,
        agents=agent_names(desk),
        alerts=list(desk.settings.alerts),
        data={"page": "silences"},
    )


@get("/alerts", sync_to_thread=True, include_in_schema=False)
def get_alerts(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The rules in plain words, who is told, and a place to try them."""
    reader = visitor(request)
    rules = rule_bodies(desk, log_of(desk).incidents(state="open", most=MOST_ROWS))
    return render(
        desk,
        reader,
        "alerts.html",
        title=reader.texts("alert_rules"),
        rules=[(rule, _words(desk.settings.alerts[rule.name], reader.texts)) for rule in rules],
        targets=[target.path for target in desk.settings.targets],
        agents=agent_names(desk),
        asked=request.query_params.get("rule", ""),
        compat=desk.settings.alerting.compat == "smokeping",
        data={"page": "alerts"},
    )


def _words(alert: Alert | None, t: Catalogue) -> str:
    """A rule in words; "" when it is gone, or cannot be read."""
    try:
        return rule_words(alert, t) if alert else ""
    except ValueError:
        return ""


def _number(text: str) -> int:
    """The number of an incident as an address names it, 0 for none. Raises UsageError."""
    if text and not (text.isdecimal() and len(text) < 20 and 0 < int(text) <= MOST_NUMBER):
        raise UsageError(f"before {text[:40]!r}: must be the number of an incident")
    return int(text or 0)


routes = [
    Router(
        path="/",
        route_handlers=[get_incidents, get_incident, get_silences, get_alerts],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={SmokemeshError: explain_page, HTTPException: explain_page},
    )
]
