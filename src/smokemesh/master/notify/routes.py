"""Which sender takes a receiver: told by how it is written, or by its name in the settings."""

from typing import Final

from smokemesh.master.notify import alertmanager, mail, pager, program, slack, webhook
from smokemesh.master.notify.sending import NotDelivered, Sender
from smokemesh.model.alert import Alerting, Receiver
from smokemesh.storage.outbox import is_address

SENDERS: Final[dict[str, Sender]] = {
    "mail": mail.send,
    "program": program.send,
    "webhook": webhook.send,
    "slack": slack.send,
    "alertmanager": alertmanager.send,
}


def route(to: str, alerting: Alerting) -> tuple[Sender, Receiver | None]:
    """The sender, and the receiver of that name. Raises NotDelivered when the settings know none."""
    if to.startswith("|"):
        return program.send, None
    if to.startswith("snpp:"):
        return pager.send_snpp, None
    if to.startswith("xmpp:"):
        return pager.send_xmpp, None
    if is_address(to):
        return mail.send, None
    receiver = alerting.receivers.get(to)
    if receiver is None:
        raise NotDelivered(f"the settings know no receiver {to!r} any more", final=True)
    return SENDERS[receiver.type], receiver
