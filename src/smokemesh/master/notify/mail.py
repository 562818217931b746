"""Mail: to an SMTP server (RFC 5321), the first of several that takes it, or to a sendmail program when none is named."""

import smtplib
import socket
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses, parseaddr
from typing import Final

from smokemesh.errors import ConfigError
from smokemesh.master.notify import template
from smokemesh.master.notify.sending import PATIENCE, NotDelivered, Sending, read_private
from smokemesh.model.alert import Mail

PORTS: Final = {"none": 25, "starttls": 587, "tls": 465}


def send(sending: Sending) -> str:
    """One mail to all its addresses."""
    named = sending.receiver
    addresses = list(named.to) if named else [one.strip() for one in sending.to.split(",")]
    mail, message = sending.alerting.mail, compose(sending, addresses)
    plain = [address for _, address in getaddresses(addresses)]
    if not mail.servers:
        return _by_program(mail, message, plain)
    reasons = []
    for server in mail.servers:
        try:
            return _by_server(server, mail, message, plain, named.ca_file if named else "")
        except NotDelivered as error:
            if error.final or error.left:
                raise
            reasons.append(str(error))
    raise NotDelivered("; ".join(reasons))


def compose(sending: Sending, addresses: list[str]) -> EmailMessage:
    """The mail, as RFC 5322 wants it."""
    filled = _filled(sending)
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = sending.alerting.mail.sender or f"smokemesh@{_host()}"
        message["To"] = ", ".join(addresses)
    except ValueError as error:  # the library lets no line break into a header
        raise NotDelivered(f"mail to {addresses!r}: {error}", final=True) from error
    message["Date"] = format_datetime(datetime.fromtimestamp(sending.now // 10**9, UTC))
    # The same in every try, so that a mailbox can tell a repetition.
    message["Message-ID"] = f"<{sending.key}@{_host()}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answering machine answers
    for name, value in filled.headers:
        message[name] = value
    message.set_content(
        filled.body, subtype="html" if filled.html else "plain", charset="utf-8", cte="quoted-printable"
    )
    return message


def _filled(sending: Sending) -> template.Filled:
    """The template with its values. A template that cannot be used keeps no alert back: the mail says so."""
    file = sending.notice.template or sending.alerting.template
    notice, alerting = sending.notice, sending.alerting
    try:
        return template.fill(template.read(file) if file else template.DEFAULT, notice, alerting, file)
    except ConfigError as error:
        plain = template.fill(template.DEFAULT, notice, alerting)
        return replace(plain, body=f"{plain.body}\n(Another template was not used: {error})\n")


def _host() -> str:
    """This host's name, as a domain a mail server accepts."""
    name = socket.gethostname()
    return name if name.isascii() and name else "localhost"


def _by_server(server: str, mail: Mail, message: EmailMessage, to: list[str], ca_file: str) -> str:
    """Hand the mail to one server."""
    try:
        with _connect(server, mail, ca_file) as smtp:
            if mail.user:
                smtp.login(mail.user, mail.password or read_private(mail.password_file))
            refused = _hand_over(smtp, message, to)
    except smtplib.SMTPRecipientsRefused as error:
        raise _refusal(server, error.recipients, to) from error
    except smtplib.SMTPAuthenticationError as error:
        raise NotDelivered(f"{server}: refuses user {mail.user!r}: {_said(error)}") from error
    except smtplib.SMTPResponseException as error:
        # 5xx of the message itself is for good (RFC 5321, 4.2.1); of a connection it is that server's state.
        final = error.smtp_code >= 500 and isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused)
        raise NotDelivered(f"{server}: {_said(error)}", final=final) from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotDelivered(f"{server}: {error}") from error
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotDelivered(f"{server}: {_reason(error)}") from error
    if refused:
        raise _refusal(server, refused, to)
    return f"{server} took it for {', '.join(to)}"


def _hand_over(smtp: smtplib.SMTP, message: EmailMessage, to: list[str]) -> dict[str, tuple[int, bytes]]:
    """Send it; who was refused while others were not."""
    sender = parseaddr(str(message["From"]))[1]
    if "".join([sender, *to]).isascii():
        return smtp.sendmail(sender, to, message.as_bytes())
    return smtp.send_message(message, sender, to)  # with SMTPUTF8 (RFC 6531), if the server has it


def _connect(server: str, mail: Mail, ca_file: str) -> smtplib.SMTP:
    """A connection, private where the settings ask for it: it is never made without instead."""
    host, port = split_place(server, PORTS.get(mail.security, 25))
    if mail.security == "none":
        return smtplib.SMTP(host, port, local_hostname=_host(), timeout=PATIENCE)
    context = ssl.create_default_context(cafile=ca_file or mail.ca_file or None)
    if mail.security == "tls":
        return smtplib.SMTP_SSL(host, port, local_hostname=_host(), timeout=PATIENCE, context=context)
    smtp = smtplib.SMTP(host, port, local_hostname=_host(), timeout=PATIENCE)
    try:
        smtp.starttls(context=context)
    except BaseException:
        smtp.close()
        raise
    return smtp


def split_place(place: str, port: int) -> tuple[str, int]:
    """HOST, HOST:PORT, [V6] or [V6]:PORT; the port given when it has none."""
    host, colon, digits = place.rpartition(":")
    if not colon or not digits.isdecimal() or (":" in host and not host.endswith("]")):
        return place.strip("[]"), port
    return host.strip("[]"), int(digits)


def _refusal(server: str, refused: dict[str, tuple[int, bytes]], to: list[str]) -> NotDelivered:
    """Some or all addresses were refused: for good with 5xx, for now with 4xx."""
    told = "; ".join(
        f"{address}: {code} {text.decode('utf-8', 'replace')}" for address, (code, text) in refused.items()
    )
    later = [address for address, (code, _) in refused.items() if code < 500]
    taken = [address for address in to if address not in refused]
    # Servers after this one may take those it refuses for now, but who has it already is not told again.
    left = ", ".join(later) if taken else ""
    took = f"{server} took it for {', '.join(taken)}" if taken else ""
    return NotDelivered(f"{server}: {told}", final=not later, left=left, output=took)


def _said(error: smtplib.SMTPResponseException) -> str:
    raw = error.smtp_error
    return f"{error.smtp_code} {raw.decode('utf-8', 'replace') if isinstance(raw, bytes) else raw}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _by_program(mail: Mail, message: EmailMessage, to: list[str]) -> str:
    """Hand the mail to sendmail(8), which queues it."""
    sender = parseaddr(mail.sender)[1]
    command = [mail.sendmail, "-i", *(("-f", sender) if sender else ()), "--", *to]
    try:
        done = subprocess.run(command, input=message.as_bytes(), capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotDelivered(f"{mail.sendmail}: did not end within {PATIENCE:.0f} s") from error
    except OSError as error:
        told = "name an SMTP server, or a sendmail program that is there"
        raise NotDelivered(f"{mail.sendmail}: {error.strerror}; {told}") from error
    output = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
    if done.returncode:
        raise NotDelivered(f"{mail.sendmail}: ended with status {done.returncode}: {output[:300]}", output=output)
    return output or f"{mail.sendmail} took it for {', '.join(to)}"
