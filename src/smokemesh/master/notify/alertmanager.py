"""Prometheus' Alertmanager, API v2: an alert is posted when raised, again while it lasts, and with its end when cleared.

It forgets what it is not told again, so each post says until when it holds: should this master fall silent, the alert
ends by itself. The labels name the incident and never change while it is open.
"""

from collections.abc import Sequence
from typing import Any, Final

from smokemesh.master.notify import words
from smokemesh.master.notify.post import address, post_json
from smokemesh.master.notify.sending import NotDelivered, Sending
from smokemesh.master.web.ranges import rfc3339
from smokemesh.model.alert import Alerting, Notice

NANO: Final = 10**9
#: Seconds between two posts of what still fires, and for how long one holds: four may get lost.
REPEAT: Final = 60.0
HOLDS: Final = 300.0
PATH: Final = "/api/v2/alerts"


def send(sending: Sending) -> str:
    """Post one notice."""
    return post_all(sending, [sending.notice])


def post_all(sending: Sending, notices: Sequence[Notice]) -> str:
    """Post several at once."""
    if sending.receiver is None:
        raise NotDelivered(f"{sending.to}: is no Alertmanager", final=True)
    base = address(sending.receiver).rstrip("/")
    url = base if base.endswith(PATH) else base + PATH
    return post_json(sending, [content(notice, sending.alerting, sending.now) for notice in notices], url)


def content(notice: Notice, alerting: Alerting, now: int) -> dict[str, Any]:
    """One alert."""
    cleared = notice.what == "cleared"
    labels = {
        "alertname": notice.alert,
        "job": "smokemesh",
        "target": notice.target,
        "instance": notice.host,
        "incident": str(notice.incident),
        "priority": str(notice.priority) if notice.priority else "",
    }
    annotations = {
        "summary": words.headline(notice),
        "description": words.sentence(notice),
        "agents": words.from_where(notice),
        "loss": words.loss_text(notice),
        "rtt": words.rtt_text(notice),
        "pattern": notice.pattern,
        "detail": notice.detail,
        "comment": notice.comment,
        "url": words.target_url(notice, alerting),
    }
    found = {
        "labels": {name: value for name, value in labels.items() if value},  # an empty label is none
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": rfc3339(notice.begun),
        # It refuses an end before the beginning.
        "endsAt": rfc3339(max(notice.time, notice.begun) if cleared else now + round(HOLDS * NANO)),
    }
    url = words.incident_url(notice, alerting)
    return {**found, "generatorURL": url} if url else found
