"""Webhooks: the notice as JSON, signed when a secret is given. RTTs are seconds, losses shares, times RFC 3339.

Idempotency-Key names the notice to this receiver and is the same in every try. X-Smokemesh-Signature is `sha256=` and
the HMAC-SHA256 of the body under the secret, in hexadecimal.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from smokemesh.master.notify import words
from smokemesh.master.notify.post import address, number, post
from smokemesh.master.notify.sending import NotDelivered, Sending, read_private
from smokemesh.master.web.ranges import rfc3339


def send(sending: Sending) -> str:
    """Post the notice."""
    receiver = sending.receiver
    if receiver is None:
        raise NotDelivered(f"{sending.to}: is no webhook", final=True)
    body = msgspec.json.encode(content(sending))
    headers = {}
    if receiver.secret_file:
        secret = read_private(receiver.secret_file).encode()
        headers["X-Smokemesh-Signature"] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return post(sending, body, address(receiver), headers)


def content(sending: Sending) -> dict[str, Any]:
    """All that is known of it."""
    notice = sending.notice
    return {
        "version": 1,
        "key": sending.key,
        "event": notice.what,
        "alert": notice.alert,
        "text": words.sentence(notice),
        "incident": {
            "id": notice.incident,
            "begun": rfc3339(notice.begun),
            "ended": rfc3339(notice.time) if notice.what == "cleared" else None,
            "detail": notice.detail,
            "url": words.incident_url(notice, sending.alerting),
        },
        "target": {
            "path": notice.target,
            "title": notice.title,
            "host": notice.host,
            "url": words.target_url(notice, sending.alerting),
        },
        "agents": list(notice.agents),
        "time": rfc3339(notice.time),
        "loss": [number(value) for value in notice.loss],
        "rtt": [number(value) for value in notice.rtt],
        "from_start": notice.from_start,
        "pattern": notice.pattern,
        "priority": notice.priority,
        "comment": notice.comment,
    }
