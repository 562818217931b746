"""The SSH engine: how long a server takes to connect, to greet, and to answer our greeting (RFC 4253 section 4.2)."""

from typing import ClassVar, Final

from smokemesh.model import options
from smokemesh.model.options import SshOptions
from smokemesh.probes.paced import Attempt
from smokemesh.probes.talk import FOREIGN, Talk, TalkEngine, take_line

#: A server may say other lines before its greeting; more than so much is no SSH server.
_MOST_PREFACE: Final = 8192
_GREETING, _ANSWER = range(2)


class SshEngine(TalkEngine):
    """Rounds of greetings."""

    kind: ClassVar[str] = "ssh"

    def port(self, attempt: Attempt) -> int:
        """Mostly 22."""
        return _options(attempt).port

    def opened(self, attempt: Attempt, talk: Talk) -> None:
        """With `connect` that is all."""
        if _options(attempt).until == "connect":
            self.hang_up(talk)
            self.end(attempt, talk.connected - attempt.begun)

    def listen(self, attempt: Attempt, talk: Talk) -> None:
        """The greeting, or the answer to ours: any byte of it."""
        if talk.stage == _GREETING:
            self._greeting(attempt, talk)
        elif talk.heard:
            self.hang_up(talk)
            self.end(attempt, self.woke - attempt.begun)

    def _greeting(self, attempt: Attempt, talk: Talk) -> None:
        heard = len(talk.heard)
        while (line := take_line(talk)) is not None:
            if line.startswith(b"SSH-"):
                self._greeted(attempt, talk)
                return
        if heard > _MOST_PREFACE:
            self.fail(attempt, talk, FOREIGN)

    def _greeted(self, attempt: Attempt, talk: Talk) -> None:
        typed = _options(attempt)
        if typed.until == "established":
            self.hang_up(talk)
            self.end(attempt, max(self.woke - talk.connected, 0.0))
            return
        talk.stage = _ANSWER
        self.say(attempt, talk, " ".join(typed.greeting.split()).encode("ascii", "replace") + b"\r\n")
        if talk.heard and not attempt.over:  # some servers do not wait for our greeting
            self.listen(attempt, talk)


def _options(attempt: Attempt) -> SshOptions:
    typed = options.read(SshOptions, attempt.probe.options)
    if typed.until not in ("connect", "established", "complete"):
        raise OSError(22, f"until: {typed.until!r} is none of connect, established, complete")
    return typed
