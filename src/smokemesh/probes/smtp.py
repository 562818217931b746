"""The SMTP engine: until a mail server's greeting, or until it took a whole message (RFC 5321)."""

import re
import socket
from typing import ClassVar, Final

from smokemesh.model import options
from smokemesh.model.options import SmtpOptions
from smokemesh.probes.paced import Attempt
from smokemesh.probes.talk import FOREIGN, UNWANTED, Talk, TalkEngine, take_line

_REPLY: Final = re.compile(rb"(\d{3})([ -]|$)")
#: Characters of a body's line; RFC 5321 section 4.5.3.1.6 allows 998.
_LINE: Final = 70


class SmtpEngine(TalkEngine):
    """Rounds of greetings, or of messages where `to` is written."""

    kind: ClassVar[str] = "smtp"
    most_open: ClassVar[int] = 128

    def port(self, attempt: Attempt) -> int:
        """Mostly 25."""
        return options.read(SmtpOptions, attempt.probe.options).port

    def listen(self, attempt: Attempt, talk: Talk) -> None:
        """Each reply is met with the next thing to say."""
        while not talk.leaving and (line := take_line(talk)) is not None:
            reply = _REPLY.match(line)
            if reply is None:
                self.fail(attempt, talk, FOREIGN)
                return
            if reply[2] != b"-":  # more lines of the same reply follow
                self._replied(attempt, talk, int(reply[1]))

    def _replied(self, attempt: Attempt, talk: Talk, code: int) -> None:
        steps = _dialogue(options.read(SmtpOptions, attempt.probe.options))
        wanted, _ = steps[talk.stage]
        if code // 10 != wanted // 10:
            self.end(attempt, error=UNWANTED)
            self.leave(attempt, talk, b"QUIT\r\n")
            return
        talk.stage += 1
        if talk.stage < len(steps):
            self.say(attempt, talk, steps[talk.stage][1])
            return
        self.end(attempt, self.woke - attempt.begun)
        self.leave(attempt, talk, b"QUIT\r\n")


def _dialogue(typed: SmtpOptions) -> list[tuple[int, bytes]]:
    """The reply awaited at each step, and what is said before it."""
    receivers = [_word(one) for one in typed.to.replace(",", " ").split()]
    if not receivers:
        return [(220, b"")]
    name = socket.gethostname() or "localhost"
    return [
        (220, b""),
        (250, f"HELO {_word(name)}\r\n".encode()),
        (250, f"MAIL FROM:<{_word(typed.sender)}>\r\n".encode()),
        *((250, f"RCPT TO:<{receiver}>\r\n".encode()) for receiver in receivers),
        (354, b"DATA\r\n"),
        (250, _message(typed, receivers)),
    ]


def _message(typed: SmtpOptions, receivers: list[str]) -> bytes:
    subject = " ".join(typed.subject.split())
    head = f"From: <{_word(typed.sender)}>\r\nTo: {', '.join(receivers)}\r\nSubject: {subject}\r\n\r\n"
    full, rest = divmod(typed.body, _LINE)
    return head.encode() + (b"x" * _LINE + b"\r\n") * full + b"x" * rest + b"\r\n.\r\n"


def _word(text: str) -> str:
    """An address that can end neither its command nor its brackets."""
    return re.sub(r"[\s<>\x00-\x1f]", "", text)
