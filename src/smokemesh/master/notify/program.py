"""Programs: run with SmokePing's arguments, `name path loss rtt host` and 1 or 0, without a shell between.

What the arguments have no place for stands in the environment, in variables that begin with SMOKEMESH_.
"""

import os
import shlex
import signal
import subprocess
import tempfile
from typing import Final

from smokemesh.master.notify import words
from smokemesh.master.notify.sending import NotDelivered, Sending

#: Seconds a program may run.
PATIENCE: Final = 30.0
#: Bytes of its output that are kept.
MOST_OUTPUT: Final = 4000


def send(sending: Sending) -> str:
    """Run the program; what it wrote."""
    words_ = command(sending) + arguments(sending)
    # A file, not a pipe: what the program leaves running in the background would hold a pipe open.
    with tempfile.TemporaryFile() as out:
        status = _run(words_, environment(sending), out.fileno())
        out.seek(0)
        output = out.read(MOST_OUTPUT).decode("utf-8", "replace").strip()
    if status and sending.alerting.compat == "smokeping":
        return f"status {status} (SmokePing does not look at it) {output}".strip()
    if status:
        raise NotDelivered(f"{words_[0]}: ended with {_ending(status)}: {output[:300]}", output=output)
    return output


def command(sending: Sending) -> list[str]:
    """The program, and arguments of its own. SmokePing takes the whole text for the program's path."""
    text = sending.receiver.command if sending.receiver else sending.to.removeprefix("|").strip()
    if sending.alerting.compat == "smokeping" and not sending.receiver:
        return [text]
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise NotDelivered(f"program {text!r}: {error}", final=True) from error
    if not found:
        raise NotDelivered("no program is named after |", final=True)
    return found


def arguments(sending: Sending) -> list[str]:
    """SmokePing's, in its order."""
    notice = sending.notice
    given = [notice.alert, words.line(notice), words.loss_text(notice), words.rtt_text(notice), notice.host]
    # An argument cannot hold the byte that ends it.
    plain = [one.replace("\0", "") for one in given]
    return [*plain, "0" if notice.what == "cleared" else "1"] if notice.edge else plain


def environment(sending: Sending) -> dict[str, str]:
    """All that is known of the alert."""
    notice = sending.notice
    told = {
        "KEY": sending.key,
        "INCIDENT": str(notice.incident),
        "ALERT": notice.alert,
        "WHAT": notice.what,
        "TARGET": notice.target,
        "TITLE": notice.title,
        "HOST": notice.host,
        "AGENTS": ",".join(notice.agents),
        "BEGUN": f"{notice.begun / 1e9:.3f}",
        "TIME": f"{notice.time / 1e9:.3f}",
        "STATE": words.how_bad(notice),
        "SINCE": words.since(notice),
        "DETAIL": notice.detail,
        "COMMENT": notice.comment,
        "URL": words.target_url(notice, sending.alerting),
        "INCIDENT_URL": words.incident_url(notice, sending.alerting),
    }
    return {**os.environ, **{f"SMOKEMESH_{name}": value.replace("\0", "") for name, value in told.items()}}


def _run(words_: list[str], variables: dict[str, str], out: int) -> int:
    """Run to its end; its status."""
    try:
        running = subprocess.Popen(
            words_, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=variables, start_new_session=True
        )
    except (OSError, ValueError) as error:
        raise NotDelivered(f"program {words_[0]}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return running.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)  # what it started goes with it
        running.wait()
        raise NotDelivered(f"{words_[0]}: did not end within {PATIENCE:.0f} s and was killed") from None


def _ending(status: int) -> str:
    return f"status {status}" if status > 0 else f"signal {-status}"
