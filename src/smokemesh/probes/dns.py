"""The DNS engine: a question to a name server for each ping, over UDP or TCP (RFC 1035), dnspython's messages.

An answer counts when it comes from the server asked and bears the number and the question of a query in flight; over UDP
each question leaves from a port of its own, and the kernel's stamp says when its answer arrived.
"""

import errno
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import ClassVar, Final, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename

from smokemesh.model import options
from smokemesh.model.options import DnsOptions
from smokemesh.model.rounds import ERROR_ERRNO
from smokemesh.probes import sockets
from smokemesh.probes.engine import RoundRequest
from smokemesh.probes.paced import Attempt
from smokemesh.probes.talk import UNWANTED, Talk, TalkEngine
from smokemesh.probes.tools.run import is_address

#: asm-generic/socket.h: SO_TIMESTAMPNS, also the type of its control message.
_SO_TIMESTAMPNS: Final = 35
_STAMP: Final = struct.Struct("=qq")
_MOST_BYTES: Final = 65_535
#: No RTT is shorter.
_LEAST_RTT: Final = 1e-6
#: A stamp older than this when read says that the wall clock was set meanwhile.
_MOST_LAG: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked, and what its answer must be."""

    query: dns.message.Message
    wanted: DnsOptions


class DnsEngine(TalkEngine):
    """Rounds of questions."""

    kind: ClassVar[str] = "dns"

    def port(self, attempt: Attempt) -> int:
        """Mostly 53."""
        return options.read(DnsOptions, attempt.probe.options).port

    def begin(self, attempt: Attempt) -> None:
        """Ask; over TCP connect first."""
        wanted = options.read(DnsOptions, attempt.probe.options)
        question = _Question(make_query(wanted, attempt.request), wanted)
        if wanted.protocol == "tcp":
            super().begin(attempt)
            cast("Talk", attempt.state).topic = question
        elif wanted.protocol == "udp":
            self._send_datagram(attempt, question)
        else:
            raise OSError(errno.EINVAL, f"protocol: {wanted.protocol!r} is neither udp nor tcp")

    def opened(self, attempt: Attempt, talk: Talk) -> None:
        """RFC 1035 section 4.2.2: two bytes of length, then the message."""
        wire = cast("_Question", talk.topic).query.to_wire()
        self.say(attempt, talk, len(wire).to_bytes(2, "big") + wire)

    def listen(self, attempt: Attempt, talk: Talk) -> None:
        """Over TCP."""
        while len(talk.heard) >= 2 and not attempt.over:
            length = int.from_bytes(talk.heard[:2], "big")
            if len(talk.heard) < 2 + length:
                return
            message = bytes(talk.heard[2 : 2 + length])
            del talk.heard[: 2 + length]
            self._heard(attempt, talk, message, self.woke, exact=False)

    def _send_datagram(self, attempt: Attempt, question: _Question) -> None:
        caller = sockets.open_socket(attempt.probe, attempt.request.address, socket.SOCK_DGRAM)
        attempt.state = talk = Talk(caller, topic=question)
        try:
            caller.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            # Connected: from another address or port nothing arrives.
            caller.connect(sockets.socket_address(attempt.request.address, question.wanted.port))
            self.watch(caller.fileno(), select.EPOLLIN, lambda _events: self._arrived(attempt, talk))
            wire = question.query.to_wire()
            attempt.begun = time.monotonic()
            caller.send(wire)
        except BaseException:
            self.hang_up(talk)
            raise

    def _arrived(self, attempt: Attempt, talk: Talk) -> None:
        while not attempt.over:
            try:
                data, notices, _, _ = talk.socket.recvmsg(_MOST_BYTES, 128)
            except OSError as error:
                known = sockets.icmp_error(talk.socket)
                if known or not isinstance(error, BlockingIOError):
                    self.fail(attempt, talk, known or ERROR_ERRNO + (error.errno or errno.EIO))
                return
            when = _arrival(notices)
            self._heard(attempt, talk, data, when or self.woke, exact=when is not None)

    def _heard(self, attempt: Attempt, talk: Talk, data: bytes, when: float, *, exact: bool) -> None:
        question = cast("_Question", talk.topic)
        answer = _read(data, question.query)
        if answer is None:
            self._strays += 1
        elif _good(answer, question.wanted):
            self.hang_up(talk)
            self.end(attempt, max(when - attempt.begun, _LEAST_RTT), exact=exact)
        else:
            self.fail(attempt, talk, UNWANTED)


def make_query(wanted: DnsOptions, request: RoundRequest) -> dns.message.Message:
    """The question, with a number nobody can guess. Raises OSError for a name or a type there cannot be."""
    name = wanted.query or request.host or request.address
    try:
        kind = dns.rdatatype.from_text(wanted.type)
        reverse = kind == dns.rdatatype.PTR and is_address(name)
        asked = dns.reversename.from_address(name) if reverse else dns.name.from_text(name)
        query = dns.message.make_query(asked, kind)
    except (dns.exception.DNSException, ValueError) as error:
        raise OSError(errno.EINVAL, f"{name} {wanted.type} cannot be asked for: {error}") from error
    query.flags = dns.flags.Flag(dns.flags.RD if wanted.recursion else 0)
    return query


def _read(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The answer, when these bytes are the answer to that query."""
    try:
        answer = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        return None
    # Some servers leave the question out of an error; dnspython knows which errors may.
    return answer if query.is_response(answer) else None


def _good(answer: dns.message.Message, wanted: DnsOptions) -> bool:
    code = answer.rcode()
    if (wanted.require_noerror and code != dns.rcode.NOERROR) or (
        wanted.require_nxdomain and code != dns.rcode.NXDOMAIN
    ):
        return False
    if wanted.require_answers and not answer.answer:
        return False
    return not wanted.expect or any(wanted.expect in record.to_text() for group in answer.answer for record in group)


def _arrival(notices: list[tuple[int, int, bytes]]) -> float | None:
    """When the kernel saw the datagram, on the monotonic clock; None when that cannot be told."""
    for level, kind, data in notices:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _STAMP.unpack_from(data)
            lag = time.time() - (seconds + nanoseconds * 1e-9)
            return time.monotonic() - lag if 0.0 <= lag < _MOST_LAG else None
    return None
