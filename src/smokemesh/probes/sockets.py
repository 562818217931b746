"""Sockets of single connections and questions, as a probe asks for them, and what the kernel knows of them afterwards.

Option numbers without a name in Python's `socket` module and the layout of `struct tcp_info` are from Linux' headers.
Times are seconds.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6

# linux/in.h, linux/in6.h, linux/errqueue.h, linux/tcp.h
_IP_RECVERR: Final = 11
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_IPV6_RECVERR: Final = 25
_MSG_ERRQUEUE: Final = 0x2000
_ORIGINS: Final = {2: ERROR_ICMP4, 3: ERROR_ICMP6}
_TCPI_OPTIONS, _TCPI_RTT, _TCPI_TOTAL_RETRANS, _TCPI_LENGTH = 5, 68, 100, 104
_TCPI_OPT_TIMESTAMPS: Final = 1
#: Closing sends a reset: no TIME_WAIT holds on to the port.
_ABORT: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the kernel measured of a connection's beginning (TCP_INFO)."""

    #: From SYN to SYN-ACK; 0 when the kernel would not say (Karn's rule: SYN sent again, and no time stamps).
    rtt: float
    #: SYNs sent again.
    retransmitted: int
    #: Both ends use time stamps (RFC 7323): the RTT is right although a SYN was sent again.
    stamped: bool


def open_socket(probe: Probe, address: str, kind: int = socket.SOCK_STREAM, *, abort: bool = True) -> socket.socket:
    """A non-blocking socket with the probe's source, interface, DSCP and TTL; ICMP errors are kept for `icmp_error`.

    With `abort` a connection is closed by a reset, which leaves nothing behind. Raises OSError where the system refuses one of them.
    """
    six = ":" in address
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        _dress(made, probe, six)
        if abort and kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    except BaseException:
        made.close()
        raise
    return made


def _dress(made: socket.socket, probe: Probe, six: bool) -> None:
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    made.setsockopt(level, _IPV6_RECVERR if six else _IP_RECVERR, 1)
    if probe.dscp:
        made.setsockopt(level, socket.IPV6_TCLASS if six else socket.IP_TOS, probe.dscp << 2)
    if probe.ttl != 64:
        made.setsockopt(level, socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL, probe.ttl)
    if probe.interface:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, probe.interface.encode())
    if probe.source and (":" in probe.source) != six:
        raise OSError(errno.EAFNOSUPPORT, f"source {probe.source} is of the other IP version")
    if probe.source:
        made.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)  # the port is chosen when connecting
        made.bind(socket_address(probe.source, 0))


@lru_cache(maxsize=4096)
def socket_address(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """An address as `connect` and `bind` take it. Raises OSError for an interface that is not there."""
    if ":" not in address:
        return (address, port)
    plain, _, scope = address.partition("%")
    return (plain, port, 0, (int(scope) if scope.isdigit() else socket.if_nametoindex(scope)) if scope else 0)


def handshake(connected: socket.socket) -> Handshake:
    """What the kernel knows of a connection that was just established."""
    info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_LENGTH)
    (rtt,), (again,) = struct.unpack_from("=I", info, _TCPI_RTT), struct.unpack_from("=I", info, _TCPI_TOTAL_RETRANS)
    return Handshake(rtt * 1e-6, again, bool(info[_TCPI_OPTIONS] & _TCPI_OPT_TIMESTAMPS))


def to_itself(connected: socket.socket) -> bool:
    """TCP lets a socket connect to itself when its own port is the one it calls: nobody listens there."""
    return bool(connected.getsockname() == connected.getpeername())


def failure(broken: socket.socket) -> int:
    """Why a connection failed, as in `RoundBatch.error`; 0 when it did not. An ICMP error is told from a reset."""
    number = broken.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return (icmp_error(broken) or ERROR_ERRNO + number) if number else 0


def icmp_error(broken: socket.socket) -> int:
    """The ICMP error that came for this socket, as in `RoundBatch.error`; 0 when none did."""
    try:
        _, notices, _, _ = broken.recvmsg(1, 512, _MSG_ERRQUEUE)
    except OSError:
        return 0
    for level, kind, data in notices:
        if (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
            # struct sock_extended_err
            _, origin, type_, code = struct.unpack_from("=IBBB", data)
            if origin in _ORIGINS:
                return _ORIGINS[origin] + (type_ << 8) + code
    return 0


#: A connection was refused by the host itself (RST), and not by an ICMP error on the way.
REFUSED: Final = ERROR_ERRNO + errno.ECONNREFUSED
