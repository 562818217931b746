"""Slack's incoming webhooks, and those that take the same: a message of blocks beside a bar in the colour of its state."""

from typing import Any, Final

from smokemesh.master.notify import words
from smokemesh.master.notify.post import address, post_json
from smokemesh.master.notify.sending import NotDelivered, Sending

COLORS: Final = {"raised": "#d4202a", "active": "#d4202a", "cleared": "#1f9d3a"}
#: Slack refuses longer texts of a section.
MOST_TEXT: Final = 2900


def send(sending: Sending) -> str:
    """Post the message."""
    if sending.receiver is None:
        raise NotDelivered(f"{sending.to}: is no webhook", final=True)
    return post_json(sending, content(sending), address(sending.receiver))


def content(sending: Sending) -> dict[str, Any]:
    """The message. `text` is what shows where blocks do not: in the notification."""
    notice = sending.notice
    head = f"*{escape(notice.alert)}* {words.what(notice)} on *{escape(notice.title or notice.target)}*"
    facts = {
        "Since": words.since(notice),
        "State": words.how_bad(notice),
        "From": words.from_where(notice),
        "Host": notice.host,
    }
    fields = [{"type": "mrkdwn", "text": f"*{name}*\n{escape(text)[:MOST_TEXT]}"} for name, text in facts.items()]
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": head[:MOST_TEXT]}},
        {"type": "section", "fields": fields},
    ]
    told = "\n".join(
        part for part in (notice.detail, notice.comment, words.loss_text(notice), words.rtt_text(notice)) if part
    )
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": escape(told)[:MOST_TEXT]}]})
    links = _links(sending)
    if links:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": links}]})
    return {
        "text": escape(words.sentence(notice)),
        "attachments": [{"color": COLORS.get(notice.what, "#8b96a1"), "blocks": blocks}],
    }


def _links(sending: Sending) -> str:
    found = {
        "Incident": words.incident_url(sending.notice, sending.alerting),
        "Target": words.target_url(sending.notice, sending.alerting),
    }
    return " · ".join(f"<{url}|{name}>" for name, url in found.items() if url)


def escape(text: str) -> str:
    """What Slack takes for links and mentions otherwise."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
