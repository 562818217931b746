"""What people and programs ask of alerts, and tell: incidents, deliveries, rules, silences, trials; under /api/v1.

Times in parameters are as in `query_api`. What changes something is a POST of JSON from a page of ours or from a program:
a page of another site can neither send JSON nor hide where it is from.
"""

import fnmatch
from dataclasses import replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from smokemesh.errors import NotFound, SmokemeshError, UsageError
from smokemesh.master import trial
from smokemesh.master.query_api import PREFIX, on_error, on_refusal
from smokemesh.master.web import language, ranges
from smokemesh.master.web.alert_answers import (
    DeliveryBody,
    IncidentBody,
    IncidentReply,
    NewSilence,
    OpenReply,
    RuleBody,
    SilenceBody,
    TrialQuestion,
    TrialReply,
    delivery_body,
    incident_body,
    rule_bodies,
    silence_body,
    step_body,
)
from smokemesh.master.web.answers import ErrorBody
from smokemesh.master.web.desk import MOST_NUMBER, Desk, check_number, clock, known_number, provide_desk, tasks_of
from smokemesh.master.web.rule_words import rule_words
from smokemesh.model.alert import Alert, Silence
from smokemesh.model.series import SeriesQuestion
from smokemesh.storage.alert_log import AlertLog
from smokemesh.storage.outbox import Outbox

#: Answers of lists, and rounds of a trial.
MOST_ROWS: Final = 1000
MOST_ROUNDS: Final = 20_000
#: Silences longer than this are typing errors, seconds.
LONGEST_SILENCE: Final = 400 * 86400.0
MOST_TEXT: Final = 500

State = Annotated[Literal["open", "ended", "all"], QueryParameter(name="state", description="open, ended or all")]
Under = Annotated[str, QueryParameter(description="a place in the tree: only it and what is below; all")]
AlertName = Annotated[str, QueryParameter(description="name of an alert; all")]
AgentName = Annotated[str, QueryParameter(description="name of an agent; all")]
BeginText = Annotated[str, QueryParameter(description="open at or after this time, like now-7d; any")]
EndText = Annotated[str, QueryParameter(description="open before this time; any")]
Before = Annotated[int, QueryParameter(description="only smaller numbers: the last one of the page before; none")]
Limit = Annotated[int, QueryParameter(description="the most of them")]
Number = Annotated[int, QueryParameter(description="number of an incident; all")]
Receiver = Annotated[str, QueryParameter(description="a receiver as the log names it; all")]
Sent = Annotated[
    Literal["", "waiting", "done", "failed"], QueryParameter(name="state", description="waiting, done or failed; all")
]
Which = Annotated[
    Literal["standing", "all"], QueryParameter(name="state", description="standing: not over yet; or all")
]
#: Handlers' words for the parameter `state`, a word the framework keeps for itself, and what it may be.
STATES: Final = {"which": "open, ended or all", "sent": "waiting, done or failed", "standing": "standing or all"}
Lang = Annotated[Literal["en", "zh"], QueryParameter(description="language of the words")]


def log_of(desk: Desk) -> AlertLog:
    """Incidents and silences of this master."""
    return AlertLog(desk.master.catalogue)


def from_us(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse what a page of another site makes a browser send (Fetch Metadata; RFC 6454)."""
    kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    site, origin = connection.headers.get("sec-fetch-site", ""), connection.headers.get("origin", "")
    here = connection.headers.get("host", "")
    foreign = site not in ("same-origin", "none") if site else bool(origin) and urlsplit(origin).netloc != here
    if foreign:
        raise PermissionDeniedException("the request comes from another site; use this master's own pages")
    if kind != "application/json":
        raise HTTPException("send JSON, with the header Content-Type: application/json", status_code=415)


@get("/incidents", sync_to_thread=True, summary="Incidents, the newest first")
def get_incidents(
    desk: NamedDependency[Desk],
    which: State = "all",
    target: Under = "/",
    alert: AlertName = "",
    agent: AgentName = "",
    begin: BeginText = "",
    end: EndText = "",
    before: Before = 0,
    limit: Limit = 100,
) -> list[IncidentBody]:
    """Incidents: since when, how bad, from where."""
    now = clock()
    found = log_of(desk).incidents(
        state=which,
        target=target,
        alert=alert,
        agent=agent,
        begin=ranges.parse_time(begin, now, "begin") if begin else 0,
        end=ranges.parse_time(end, now, "end") if end else 0,
        before=check_number("before", before, 0, MOST_NUMBER),
        most=check_number("limit", limit, 1, MOST_ROWS),
    )
    if not found:
        refuse_unknown(desk, target=target, alert=alert, agent=agent)
    return [incident_body(desk, one, now) for one in found]


def refuse_unknown(desk: Desk, **asked: str) -> None:
    """UsageError when a filter names what there is not."""
    known = {"alert": list(desk.settings.alerts), "agent": agent_names(desk)}
    if unknown := unknown_names(desk, **asked):
        told = [
            f"{kind} {name[:MOST_TEXT]!r}: there is no such {'place in the tree' if kind == 'target' else kind}, "
            "nor an incident of one" + (f"; there are {', '.join(known[kind]) or 'none'}" if kind in known else "")
            for kind, name in unknown
        ]
        raise UsageError("; ".join(told))


def unknown_names(desk: Desk, *, target: str, alert: str, agent: str) -> list[tuple[str, str]]:
    """What neither the configuration knows nor any incident names: whether target, alert or agent, and the name."""
    log, path = log_of(desk), "/" + target.strip("/")
    found = []
    if path != "/" and desk.settings.tree.find(path) is None and not log.incidents(target=path, most=1):
        found.append(("target", target))
    if alert and alert not in desk.settings.alerts and not log.incidents(alert=alert, most=1):
        found.append(("alert", alert))
    if agent and agent not in agent_names(desk) and not log.incidents(agent=agent, most=1):
        found.append(("agent", agent))
    return found


def agent_names(desk: Desk) -> list[str]:
    """The agents of the configuration and those that measure any target."""
    return list(dict.fromkeys([*desk.settings.agents, *(name for one in desk.settings.targets for name in one.agents)]))


def unfit(desk: Desk, silence: Silence) -> list[str]:
    """Which patterns of a silence fit nothing now, a line for each. Targets may come that they fit, so none is wrong."""
    known = {
        "target": [target.path for target in desk.settings.targets],
        "alert": list(desk.settings.alerts),
        "agent": agent_names(desk),
    }
    globs = {kind: getattr(silence, kind) for kind in known}
    return [
        f"{kind} {globs[kind]!r} fits no {kind} now"
        for kind, names in known.items()
        if globs[kind] != "*" and not any(fnmatch.fnmatchcase(name, globs[kind]) for name in names)
    ]


@get("/incidents/open", sync_to_thread=True, summary="How many incidents are open")
def get_open(desk: NamedDependency[Desk]) -> OpenReply:
    """For the sign in the menu."""
    return OpenReply(log_of(desk).count_open())


@get("/incidents/{number:int}", sync_to_thread=True, summary="One incident and who was told of it")
def get_incident(desk: NamedDependency[Desk], number: FromPath[int]) -> IncidentReply:
    """An incident with the log of its deliveries."""
    incident = log_of(desk).incident(known_number("incident", number))
    deliveries = Outbox(desk.master.catalogue).list(incident=number, most=MOST_ROWS)
    return IncidentReply(incident_body(desk, incident, clock()), [delivery_body(one) for one in deliveries])


@get("/deliveries", sync_to_thread=True, summary="Notices on their way to receivers, the newest first")
def get_deliveries(
    desk: NamedDependency[Desk],
    incident: Number = 0,
    sent: Sent = "",
    receiver: Receiver = "",
    before: Before = 0,
    limit: Limit = 100,
) -> list[DeliveryBody]:
    """The delivery log: state, attempts, errors."""
    check_number("limit", limit, 1, MOST_ROWS)
    check_number("before", before, 0, MOST_NUMBER)
    check_number("incident", incident, 0, MOST_NUMBER)
    found = Outbox(desk.master.catalogue).list(
        incident=incident, state=sent, receiver=receiver, before=before, most=limit
    )
    return [delivery_body(one) for one in found]


@get("/alerts", sync_to_thread=True, summary="Alert rules")
def get_alerts(desk: NamedDependency[Desk]) -> list[RuleBody]:
    """The rules of the configuration, who is told, and what of them is open."""
    return rule_bodies(desk, log_of(desk).incidents(state="open", most=MOST_ROWS))


@get("/silences", sync_to_thread=True, summary="Silences, the newest first")
def get_silences(desk: NamedDependency[Desk], standing: Which = "standing") -> list[SilenceBody]:
    """Windows in which nobody is told."""
    now = clock()
    found = log_of(desk).silences(now if standing == "standing" else 0, MOST_ROWS)
    return [silence_body(one, now) for one in found]


@post("/silences", sync_to_thread=True, guards=[from_us], summary="Make a silence")
def post_silence(desk: NamedDependency[Desk], data: JSONBody[NewSilence]) -> SilenceBody:
    """From `begin` (now) to `end`, or for `duration`, nobody is told of what the globs fit."""
    now = clock()
    made = log_of(desk).add_silence(read_silence(data, now))
    return silence_body(made, now, unfit(desk, made))


@post("/silences/{number:int}/end", sync_to_thread=True, guards=[from_us], status_code=200, summary="End a silence")
def post_end_silence(desk: NamedDependency[Desk], number: FromPath[int]) -> SilenceBody:
    """People are told again from now on."""
    now = clock()
    return silence_body(log_of(desk).end_silence(known_number("silence", number), now), now)


def read_silence(wanted: NewSilence, now: int) -> Silence:
    """A silence as asked for. Raises UsageError."""
    begin = ranges.parse_time(wanted.begin, now, "begin") if wanted.begin else now
    if bool(wanted.end) == bool(wanted.duration):
        raise UsageError("silence: say when it ends, by either end or duration, like 2h")
    if wanted.duration:
        end = begin + round(ranges.parse_length(wanted.duration) * ranges.NANO)
    else:
        end = ranges.parse_time(wanted.end, now, "end")
    if end <= max(begin, now):
        raise UsageError(f"silence: end {wanted.end or wanted.duration} is over already; choose a later one")
    if end - begin > LONGEST_SILENCE * ranges.NANO:
        raise UsageError("silence: is longer than 400 days; choose an earlier end")
    for name in ("target", "alert", "agent", "author", "comment"):
        if len(getattr(wanted, name)) > MOST_TEXT:
            raise UsageError(f"silence: {name} is longer than {MOST_TEXT} characters")
    target = wanted.target.strip() or "*"
    if not target.startswith(("/", "*")):
        raise UsageError(f"silence: target {target!r} must be a path like /changzhou/* or *")
    return Silence(
        id=0, begin=begin, end=end, target=target, alert=wanted.alert.strip() or "*", agent=wanted.agent.strip() or "*",
        author=wanted.author.strip(), comment=wanted.comment.strip(), created=now,
    )  # fmt: skip


@post("/alerts/test", sync_to_thread=True, guards=[from_us], status_code=200, summary="Try an alert on history")
def post_trial(desk: NamedDependency[Desk], data: JSONBody[TrialQuestion], lang: Lang = "en") -> TrialReply:
    """Where a rule would have been raised and cleared. Nobody is told and nothing is kept."""
    compat = desk.settings.alerting.compat == "smokeping" if data.compat is None else data.compat
    alert = _alert(desk, data)
    rule = trial.make(alert, compat=compat)
    agent, from_start = "", True
    if data.history:
        rounds, from_start = trial.made_up(data.history, trial.judges(alert))
    else:
        agent, batch, from_start = _measured(desk, data)
        rounds = trial.observed(batch, compat=compat)
    steps = list(trial.run(alert, rule, rounds, compat=compat, from_start=from_start))
    counts = trial.judged(steps)
    return TrialReply(
        type=alert.type, pattern=alert.pattern, words=rule_words(alert, language.catalogue(lang)), compat=compat,
        agent=agent, raised=counts["raised"], cleared=counts["cleared"], steps=[step_body(one) for one in steps],
    )  # fmt: skip


def _alert(desk: Desk, asked: TrialQuestion) -> Alert:
    if asked.pattern:
        return Alert(name="trial", type=asked.type, pattern=asked.pattern)
    found = desk.settings.alerts.get(asked.rule)
    if found is None and asked.rule:
        raise NotFound(f"alert {asked.rule!r}: the settings know none of that name; see /alerts")
    if found is None:
        raise UsageError("trial: name a rule, or write a pattern like >0%,*12*,>0%")
    return found


def _measured(desk: Desk, asked: TrialQuestion) -> tuple[str, Any, bool]:
    """Raw rounds of a target as one agent saw it, and whether it was measured no earlier."""
    if not asked.target:
        raise UsageError("trial: choose a target and a range, or type a history like 0% 0% 20% U")
    target = desk.target(asked.target)
    agent = desk.agents_of(target, [asked.agent] if asked.agent else None)[0]
    span = ranges.parse_range(asked.begin, asked.end, clock())
    question = SeriesQuestion(
        task=tasks_of(desk.master, target)[0].id, agent=agent, begin=span.begin, end=span.end, points=MOST_ROUNDS + 1,
        level="raw",
    )  # fmt: skip
    batch = desk.master.store.rounds(question)
    if len(batch) > MOST_ROUNDS:
        raise UsageError(f"trial: more than {MOST_ROUNDS} rounds in the range; choose a shorter one")
    earlier = desk.master.store.rounds(replace(question, begin=0, end=span.begin, points=1))
    return agent, batch, not len(earlier)


def on_wrong_body(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """What the framework refuses of a body, with the field; the rest as everywhere."""
    extra = error.extra if isinstance(error.extra, list) else []
    told = [f"{one.get('key', '')}: {one.get('message', '')}".strip(": ") for one in extra if isinstance(one, dict)]
    wrong = next((STATES[one["key"]] for one in extra if isinstance(one, dict) and one.get("key") in STATES), "")
    if wrong:
        message = f"state {request.query_params.get('state', '')!r}: must be {wrong}"
        return Response(ErrorBody("usage", message), status_code=400, media_type="application/json")
    if error.status_code in (403, 415):
        code = "forbidden" if error.status_code == 403 else "usage"
        return Response(ErrorBody(code, error.detail), status_code=error.status_code, media_type="application/json")
    if request.method == "POST" and error.status_code == 400:
        message = "; ".join(told) or "the body is not the JSON that is expected here"
        return Response(ErrorBody("usage", message), status_code=400, media_type="application/json")
    return on_refusal(request, error)


def plain(body: msgspec.Struct) -> dict[str, Any]:
    """A struct as the templates and the command line read it."""
    found: dict[str, Any] = msgspec.to_builtins(body)
    return found


HANDLERS: Final = [
    get_incidents, get_open, get_incident, get_deliveries, get_alerts, get_silences, post_silence, post_end_silence,
    post_trial,
]  # fmt: skip

routes = [
    Router(
        path=PREFIX,
        route_handlers=HANDLERS,
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={SmokemeshError: on_error, HTTPException: on_wrong_body},
        tags=["alerts"],
    )
]
