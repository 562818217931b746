"""What the API answers of alerts, and what it is asked to do: the structs, and how they are made.

RTTs are seconds, losses shares, times RFC 3339. What is not known is null.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from smokemesh.master import trial
from smokemesh.master.web.desk import Desk
from smokemesh.master.web.ranges import NANO, rfc3339
from smokemesh.model.alert import Alert, Delivery, Incident, Silence


class IncidentBody(msgspec.Struct, frozen=True):
    """An incident: since when, how bad, from where."""

    id: int
    alert: str
    target: str
    title: str
    host: str
    probe: str
    agents: list[str]
    begun: str
    ended: str | None
    #: Seconds it has lasted.
    length: float
    rounds: int
    worst_loss: float | None
    worst_rtt: float | None
    #: "" when people are told, else why not.
    muted: str
    detail: str


class DeliveryBody(msgspec.Struct, frozen=True):
    """One notice on its way to one receiver."""

    id: int
    incident: int
    receiver: str
    what: str
    created: str
    state: str
    attempts: int
    #: When it is tried next, or was delivered or given up.
    time: str
    error: str
    output: str


class IncidentReply(msgspec.Struct, frozen=True):
    """One incident with its deliveries."""

    incident: IncidentBody
    deliveries: list[DeliveryBody]


class OpenReply(msgspec.Struct, frozen=True):
    """How many incidents are open."""

    open: int


class SilenceBody(msgspec.Struct, frozen=True):
    """A window in which nobody is told."""

    id: int
    state: str
    begin: str
    end: str
    target: str
    alert: str
    agent: str
    author: str
    comment: str
    created: str
    #: Of one just made: what of it fits nothing now.
    warnings: list[str] = []


class RuleBody(msgspec.Struct, frozen=True):
    """An alert rule."""

    name: str
    type: str
    pattern: str
    comment: str
    to: list[str]
    priority: int
    edge: bool
    quorum: int
    #: How many targets have it, and how many of its incidents are open.
    targets: int
    open: int


class NewSilence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A silence to be made. It ends at `end`, or `duration` (like 2h) after it begins."""

    target: str = "*"
    alert: str = "*"
    agent: str = "*"
    begin: str = ""
    end: str = ""
    duration: str = ""
    author: str = ""
    comment: str = ""


class TrialQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trial: a rule of the settings by name, or a type with a pattern; rounds of a target, or made up."""

    rule: str = ""
    type: str = "loss"
    pattern: str = ""
    target: str = ""
    agent: str = ""
    begin: str = ""
    end: str = ""
    history: str = ""
    #: As SmokePing decides, quirks included; null: as the settings say.
    compat: bool | None = None


class StepBody(msgspec.Struct, frozen=True):
    """One round and what the alert made of it."""

    time: str | None
    loss: float | None
    rtt: float | None
    on: bool
    change: str
    back: list[int]


class TrialReply(msgspec.Struct, frozen=True):
    """What an alert would have said."""

    type: str
    pattern: str
    #: In plain words.
    words: str
    compat: bool
    agent: str
    raised: int
    cleared: int
    steps: list[StepBody]


def incident_body(desk: Desk, incident: Incident, now: int) -> IncidentBody:
    """An incident as the API tells it; its target may be gone from the configuration."""
    node = desk.settings.tree.find(incident.target)
    return IncidentBody(
        id=incident.id,
        alert=incident.alert,
        target=incident.target,
        title=(node.title or node.menu or node.name) if node else incident.target,
        host=desk.host(node.target) if node else "",
        probe=incident.probe,
        agents=list(incident.agents),
        begun=rfc3339(incident.begun),
        ended=rfc3339(incident.ended) if incident.ended else None,
        length=max(0.0, ((incident.ended or now) - incident.begun) / NANO),
        rounds=incident.rounds,
        worst_loss=known(incident.worst_loss),
        worst_rtt=known(incident.worst_rtt),
        muted=incident.muted,
        detail=incident.detail,
    )


def delivery_body(delivery: Delivery) -> DeliveryBody:
    """A delivery as the API tells it."""
    return DeliveryBody(
        id=delivery.id, incident=delivery.incident, receiver=delivery.receiver, what=delivery.what,
        created=rfc3339(delivery.created), state=delivery.state, attempts=delivery.attempts,
        time=rfc3339(delivery.time), error=delivery.error, output=delivery.output,
    )  # fmt: skip


def silence_body(silence: Silence, now: int, warnings: Sequence[str] = ()) -> SilenceBody:
    """A silence as the API tells it."""
    return SilenceBody(
        id=silence.id, state="over" if silence.end <= now else "coming" if silence.begin > now else "active",
        begin=rfc3339(silence.begin), end=rfc3339(silence.end), target=silence.target, alert=silence.alert,
        agent=silence.agent, author=silence.author, comment=silence.comment, created=rfc3339(silence.created),
        warnings=list(warnings),
    )  # fmt: skip


def rule_bodies(desk: Desk, incidents: Sequence[Incident]) -> list[RuleBody]:
    """The rules of the settings, with what of them is open."""
    alerting = desk.settings.alerting
    return [
        RuleBody(
            name=alert.name,
            type=alert.type,
            pattern=alert.pattern,
            comment=alert.comment,
            to=told(desk, alert),
            priority=alert.priority,
            edge=alerting.edge if alert.edge is None else alert.edge,
            quorum=alert.quorum,
            targets=sum(alert.name in target.alerts for target in desk.settings.targets),
            open=sum(one.alert == alert.name for one in incidents),
        )
        for alert in desk.settings.alerts.values()
    ]


def told(desk: Desk, alert: Alert) -> list[str]:
    """Who is told of an alert on every target."""
    return list(dict.fromkeys([*desk.settings.alerting.to, *alert.to]))


def step_body(step: trial.Step) -> StepBody:
    """A round of a trial as the API tells it."""
    return StepBody(
        time=rfc3339(step.time) if step.time >= 86400 * NANO else None, loss=known(step.loss), rtt=known(step.rtt),
        on=step.on, change=step.change, back=list(step.back),
    )  # fmt: skip


def known(value: float) -> Any:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
