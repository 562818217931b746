"""SmokePing's two older ways: pagers by SNPP (RFC 1861), and Jabber through the program sendxmpp."""

import shlex
import socket
import subprocess
from io import BufferedRWPair
from typing import Final

from smokemesh.master.notify import words
from smokemesh.master.notify.mail import split_place
from smokemesh.master.notify.sending import PATIENCE, NotDelivered, Sending
from smokemesh.model.alert import Notice

SNPP_PORT: Final = 444
SENDXMPP: Final = "/usr/bin/sendxmpp"
#: A page is short; gateways cut what is longer.
MOST_PAGE: Final = 400


def send_snpp(sending: Sending) -> str:
    """Page `snpp:ADDRESS` through the gateway of the settings."""
    if not sending.alerting.snpp:
        raise NotDelivered("no SNPP gateway is named in the settings; set alerting.snpp", final=True)
    pager = " ".join(sending.to.removeprefix("snpp:").split())
    place = split_place(sending.alerting.snpp, SNPP_PORT)
    try:
        with socket.create_connection(place, PATIENCE) as connection, connection.makefile("rwb") as stream:
            _say(stream, "")
            for line in (f"PAGE {pager}", f"MESS {_page(sending.notice)}", "SEND"):
                answer = _say(stream, line)
            _say(stream, "QUIT")
            return answer
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or error
        raise NotDelivered(f"{sending.alerting.snpp}: {reason}") from error


def _say(stream: BufferedRWPair, line: str) -> str:
    """One command and its answer; the greeting for none."""
    if line:
        stream.write(line.encode("ascii", "replace") + b"\r\n")
        stream.flush()
    answer = stream.readline(1000).decode("latin-1").strip()
    if not answer.startswith("2"):
        said = f"{line.partition(' ')[0] or 'connecting'} was answered {answer or 'by nothing'}"
        raise NotDelivered(f"SNPP: {said}", final=answer.startswith("5"))
    return answer


def _page(notice: Notice) -> str:
    told = (
        notice.comment,
        words.headline(notice),
        words.loss_text(notice),
        words.rtt_text(notice),
        words.since(notice),
    )
    return " ".join(" ".join(part.split()) for part in told if part)[:MOST_PAGE]


def send_xmpp(sending: Sending) -> str:
    """`xmpp:ARGUMENTS` for sendxmpp, the text on its standard input. No shell is asked."""
    try:
        given = shlex.split(sending.to.removeprefix("xmpp:"))
    except ValueError as error:
        raise NotDelivered(f"{sending.to}: {error}", final=True) from error
    notice = sending.notice
    told = (words.sentence(notice), notice.comment, words.loss_text(notice), words.rtt_text(notice))
    text = "\n".join([*(part for part in told if part), words.target_url(notice, sending.alerting)])
    command = [SENDXMPP, *given, "-s", "[Smokeping] Alert"]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotDelivered(f"{SENDXMPP}: did not end within {PATIENCE:.0f} s") from error
    except OSError as error:
        raise NotDelivered(f"{SENDXMPP}: {error.strerror}; install sendxmpp") from error
    output = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
    if done.returncode:
        raise NotDelivered(f"{SENDXMPP}: ended with status {done.returncode}: {output[:300]}", output=output)
    return output
