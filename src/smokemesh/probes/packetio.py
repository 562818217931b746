"""Many packets per system call: ICMP sockets, sendmmsg and recvmmsg over NumPy arrays, kernel time stamps.

Of the ICMP engine the only file that knows system calls, socket options and their memory layouts (`sockets` knows those
of the others). Layouts come from ctypes' native structures, so they hold on x86-64 and aarch64 alike. Numbers of options
without a name in Python's `socket` module are from Linux' headers. Times are integer nanoseconds; receive stamps are the
kernel's, on CLOCK_REALTIME.
"""

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import HostError

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

# linux/socket.h, linux/in.h, linux/in6.h, linux/icmp.h, linux/icmpv6.h, linux/net_tstamp.h, linux/errqueue.h
_LONG_IS_64: Final = ctypes.sizeof(ctypes.c_long) == 8
_SO_TIMESTAMPNS: Final = 35 if _LONG_IS_64 else 64  # 64: the form with 64-bit seconds on 32-bit machines
_SO_TIMESTAMPING: Final = 37 if _LONG_IS_64 else 65
_SO_ATTACH_FILTER: Final = 26
_SO_RXQ_OVFL: Final = 40
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_IP_RECVERR: Final = 11
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_RECVERR: Final = 25
_IPV6_DONTFRAG: Final = 62
_PMTUDISC_PROBE: Final = 3  # set the don't-fragment bit, ask the network each time rather than a remembered path MTU
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ICMP6_FILTER: Final = 1
_MSG_ERRQUEUE: Final = 0x2000
_MSG_DONTWAIT: Final = 0x40
_EE_ICMP, _EE_ICMP6, _EE_TIMESTAMPING = 2, 3, 4
#: SOF_TIMESTAMPING_SOFTWARE | OPT_ID | OPT_TSONLY: stamps that single packets ask for come with the packet's number.
_TELL_STAMPS: Final = 1 << 4 | 1 << 7 | 1 << 11
#: SOF_TIMESTAMPING_OPT_RX_FILTER, since Linux 6.13: no second copy of the receive stamp with each packet read.
_ONLY_SENT: Final = 1 << 17
#: SOF_TIMESTAMPING_TX_SOFTWARE: stamp this packet when the driver gets it.
_STAMP_THIS: Final = 1 << 1

#: What we ask for as receive buffer; the kernel gives less to those without CAP_NET_ADMIN.
_RECEIVE_BUFFER: Final = 8 * 2**20
#: About what the kernel charges a receive buffer for one small packet.
_PACKET_CHARGE: Final = 1280


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_size_t), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    """`struct msghdr`; pointers as numbers, so that NumPy can hold them."""

    _fields_ = (
        ("name", ctypes.c_size_t), ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_size_t), ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_size_t), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int),
    )  # fmt: skip


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("msg", _Msghdr), ("len", ctypes.c_uint))


class _Pollfd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


# Calls that cannot block keep the interpreter's lock (PyDLL): giving it up would let another thread of ours
# stand between a packet and the clock reading beside it. Only waiting gives it up (CDLL).
_quick = ctypes.PyDLL(None, use_errno=True)
_patient = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _quick.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int)
_recvmmsg = _quick.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_size_t)
_ppoll = _patient.ppoll
_ppoll.argtypes = (ctypes.c_size_t, ctypes.c_ulong, ctypes.POINTER(_Timespec), ctypes.c_size_t)

_EXTENDED_ERROR = np.dtype(  # struct sock_extended_err
    [("errno", "u4"), ("origin", "u1"), ("type", "u1"), ("code", "u1"), ("_", "u1"), ("info", "u4"), ("data", "u4")]
)

_NAME: Final = 28  # struct sockaddr_in6, the larger one
#: Room for control messages: a stamp and the drop counter, or what the error queue tells.
_CONTROL: Final = 128
_NOTICE_CONTROL: Final = 256
_CMSG_HEADER: Final = ctypes.sizeof(ctypes.c_size_t) + 8
_CMSG_ALIGN: Final = ctypes.sizeof(ctypes.c_size_t)
_ASK_FOR_STAMP: Final = struct.pack("@NiiI4x", _CMSG_HEADER + 4, socket.SOL_SOCKET, _SO_TIMESTAMPING, _STAMP_THIS)
_CMSG = np.dtype([("len", np.uintp), ("level", np.int32), ("type", np.int32)])
#: Where the control messages of a stamped packet end: SCM_TIMESTAMPNS, then SCM_TIMESTAMPING with its three times.
_STAMP_END: Final = _CMSG_HEADER + 16
_STAMPS_END: Final = _STAMP_END + _CMSG_HEADER + 48


class Arena:
    """Memory for up to `count` packets: headers, addresses, bytes, control messages, and the pointers between."""

    def __init__(self, count: int, width: int, control: int) -> None:
        self.count, self.width, self.room = count, width, control
        self.packets = np.zeros((count, width), np.uint8)
        self.names = np.zeros((count, _NAME), np.uint8)
        self.control = np.zeros((count, control), np.uint8)
        self.vectors = np.zeros(count, np.dtype(_Iovec))
        self.headers = np.zeros(count, np.dtype(_Mmsghdr))
        rows = np.arange(count, dtype=np.uintp)
        self.vectors["base"] = self.packets.ctypes.data + rows * width
        self.vectors["len"] = width
        messages = self.headers["msg"]
        messages["name"] = self.names.ctypes.data + rows * _NAME
        messages["iov"] = self.vectors.ctypes.data + rows * self.vectors.itemsize
        messages["iovlen"] = 1
        messages["control"] = self.control.ctypes.data + rows * control
        # Looked up once: NumPy makes `.ctypes.data` and field views anew at each mention.
        self.address = self.headers.ctypes.data
        self.stride = self.headers.itemsize
        self.name_pointers, self.name_addresses = messages["name"], messages["name"].copy()
        self.namelens = messages["namelen"]
        self.controllens = messages["controllen"]
        self.lengths = self.headers["len"]

    @classmethod
    def inbox(cls, count: int, width: int) -> Self:
        """For packets that arrive."""
        return cls(count, width, _CONTROL)

    @classmethod
    def notices(cls) -> Self:
        """For the error queue: enough of each packet to tell which it was."""
        return cls(256, 256, _NOTICE_CONTROL)

    @classmethod
    def outbox(cls, count: int, width: int) -> Self:
        """For packets to send, with the control message that asks for a transmit stamp."""
        made = cls(count, width, len(_ASK_FOR_STAMP))
        made.control[:] = np.frombuffer(_ASK_FOR_STAMP, np.uint8)
        return made


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """Everything sockets differ in: pings that agree in all of it share one."""

    family: int
    source: str = ""
    interface: str = ""
    dscp: int = 0
    dont_fragment: bool = False
    ttl: int = 64


@dataclass(slots=True, eq=False)
class Notice:
    """What the error queue told of one packet we sent."""

    #: The ICMP error's type * 256 + code.
    kind: int
    #: The packet as it was sent, from the ICMP header on.
    packet: bytes
    #: The address it was sent to, 4 or 16 bytes.
    to: bytes


@dataclass(slots=True, eq=False)
class Notices:
    """What was on an error queue: ICMP errors, and transmit stamps with the number of the packet."""

    errors: list[Notice] = field(default_factory=list)
    numbers: list[NDArray[np.uint32]] = field(default_factory=list)
    stamps: list[Ints] = field(default_factory=list)


class IcmpSocket:
    """An ICMP socket set up for echo: raw, or unprivileged DGRAM where `ping_group_range` allows."""

    def __init__(self, sock: socket.socket, options: SocketOptions, id_base: int, ids: int) -> None:
        self.socket, self.options = sock, options
        self.fd = sock.fileno()
        #: Raw sockets write the identifiers `id_base` ... `id_base + ids - 1`; a DGRAM socket has one, the kernel's.
        self.id_base, self.ids = id_base, ids
        self.raw = sock.type == socket.SOCK_RAW
        self.name_length = 16 if options.family == 4 else 28
        #: Whether received packets begin with their IP header.
        self.ip_header = self.raw and options.family == 4
        #: Packets that surely fit into the receive buffer at once.
        self.capacity = max(16, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _PACKET_CHARGE)

    @classmethod
    def open(cls, options: SocketOptions, id_base: int, ids: int, *, kind: str = "auto") -> Self:
        """Open `kind` "dgram" or "raw", or with "auto" the first this user may open.

        Raises HostError when the kernel lets us open neither, OSError when it refuses the options.
        """
        kinds = {"auto": ("dgram", "raw"), "dgram": ("dgram",), "raw": ("raw",)}[kind]
        sock = _first_allowed(options.family, kinds)
        try:
            _apply(sock, options)
            if sock.type == socket.SOCK_RAW:
                _filter(sock, options.family, id_base, ids)
            else:
                id_base, ids = _take_id(sock, options), 1
            return cls(sock, options, id_base, ids)
        except BaseException:
            sock.close()
            raise

    def count_stamps_anew(self) -> bool:
        """Packets that ask for a transmit stamp are numbered from 0 again; whether this kernel gives any."""
        for wanted in (_TELL_STAMPS | _ONLY_SENT, _TELL_STAMPS):
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, wanted)
                return True
        return False

    def send(self, arena: Arena, first: int, count: int) -> int:
        """Send rows `first` to `first + count`; how many the kernel took, or -errno when it refused the first."""
        sent: int = _sendmmsg(self.fd, arena.address + first * arena.stride, count, _MSG_DONTWAIT)
        return sent if sent >= 0 else -ctypes.get_errno()

    def receive(self, arena: Arena) -> int:
        """Read what has arrived, up to `arena.count` packets; how many, or -errno when an error was pending."""
        return self._receive(arena, _MSG_DONTWAIT)

    def _receive(self, arena: Arena, flags: int) -> int:
        if self.ip_header and not flags & _MSG_ERRQUEUE:
            arena.name_pointers[:] = 0  # who sent it stands in the packet: the kernel need not tell
        else:
            arena.name_pointers[:] = arena.name_addresses
            arena.namelens[:] = _NAME
        arena.controllens[:] = arena.room
        got: int = _recvmmsg(self.fd, arena.address, arena.count, flags, 0)
        if got >= 0:
            return got
        number = ctypes.get_errno()
        return 0 if number in (errno.EAGAIN, errno.EINTR) else -number

    def read_notices(self, arena: Arena) -> Notices:
        """Empty the error queue."""
        found = Notices()
        while (got := self._receive(arena, _MSG_DONTWAIT | _MSG_ERRQUEUE)) > 0:
            for i in np.flatnonzero(~_take_stamps(arena, got, found)):
                self._read_notice(arena, int(i), found)
            if got < arena.count:
                break
        return found

    def _read_notice(self, arena: Arena, i: int, found: Notices) -> None:
        """An ICMP error; what this machine itself refused is known from the sending."""
        for level, type_, data in _control_messages(arena.control[i, : int(arena.controllens[i])].tobytes()):
            if (level, type_) not in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
                continue
            error = np.frombuffer(data, _EXTENDED_ERROR, 1)[0]
            if error["origin"] in (_EE_ICMP, _EE_ICMP6):
                packet = arena.packets[i, : min(int(arena.lengths[i]), arena.width)].tobytes()
                name = arena.names[i].tobytes()
                to = name[4:8] if self.options.family == 4 else name[8:24]
                found.errors.append(Notice(int(error["type"]) << 8 | int(error["code"]), packet, to))

    def drops(self) -> int:
        """Packets the kernel dropped so far because our receive buffer was full."""
        info = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
        return int(struct.unpack_from("=I", info, 4 * _MEMINFO_DROPS)[0]) if len(info) > 4 * _MEMINFO_DROPS else 0

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()


def stamps(arena: Arena, count: int) -> tuple[Ints, int]:
    """The kernel's receive stamps of the first `count` rows (0: none given), and its drop counter (-1: not told).

    The kernel writes SCM_TIMESTAMPNS first, then SCM_TIMESTAMPING if that is on, then, once there were drops, the
    counter (net/socket.c).
    """
    times = _first_stamps(arena, count)
    for end in (_STAMP_END, _STAMPS_END):
        counted = np.flatnonzero(arena.controllens[:count] > end)
        if len(counted) and (found := arena.control[counted[-1:]])[0, end + _CMSG_HEADER - 4] == _SO_RXQ_OVFL:
            return times, int(found[:, end + _CMSG_HEADER :][:, :4].copy().view(np.uint32)[0, 0])
    return times, -1


def _first_stamps(arena: Arena, count: int) -> Ints:
    head = arena.control[:count, :_STAMP_END].copy()
    stamped = (arena.controllens[:count] >= _STAMP_END) & (_heads(head, 0)["type"] == _SO_TIMESTAMPNS)
    pairs = head.view(np.int64)[:, _CMSG_HEADER // 8 :]
    return np.where(stamped, pairs[:, 0] * 1_000_000_000 + pairs[:, 1], 0)


def _heads(control: Bytes, at: int) -> NDArray[np.void]:
    """The `struct cmsghdr` at this place of each row."""
    return control[:, at : at + _CMSG_HEADER].copy().view(_CMSG)[:, 0]


def _take_stamps(arena: Arena, count: int, found: Notices) -> NDArray[np.bool_]:
    """Put the transmit stamps among the first `count` rows into `found`; which rows they were."""
    control = arena.control[:count]
    heads = _heads(control, _STAMPS_END)
    is_error = (heads["type"] == _IP_RECVERR) | (heads["type"] == _IPV6_RECVERR)
    at = _STAMPS_END + _CMSG_HEADER
    errors = control[:, at : at + _EXTENDED_ERROR.itemsize].copy().view(_EXTENDED_ERROR)[:, 0]
    taken = is_error & (arena.controllens[:count] > at) & (errors["origin"] == _EE_TIMESTAMPING)
    if taken.any():
        found.numbers.append(errors["data"][taken])
        found.stamps.append(_first_stamps(arena, count)[taken])
    return np.asarray(taken)


def wait(sockets: Sequence[IcmpSocket], seconds: float) -> bool:
    """Sleep until a packet arrives on one of the sockets (True), or for `seconds`; a signal ends it early."""
    polled = (_Pollfd * max(1, len(sockets)))(*[_Pollfd(s.fd, 1, 0) for s in sockets])
    whole = max(0, int(seconds * 1e9))
    limit = _Timespec(whole // 1_000_000_000, whole % 1_000_000_000)
    return bool(_ppoll(ctypes.addressof(polled), len(sockets), ctypes.byref(limit), 0) > 0)


def socket_addresses(addresses: Sequence[str]) -> tuple[Bytes, Ints]:
    """Literal addresses as `struct sockaddr_in` or `sockaddr_in6`, u1[n, 28], and which of them are none."""
    names = np.zeros((len(addresses), _NAME), np.uint8)
    try:  # nearly always all are IPv4
        hosts = b"".join([socket.inet_pton(socket.AF_INET, address) for address in addresses])
        names[:, :2] = np.frombuffer(struct.pack("=H", socket.AF_INET), np.uint8)
        names[:, 4:8] = np.frombuffer(hosts, np.uint8).reshape(-1, 4)
        return names, np.zeros(0, np.int64)
    except OSError:
        pass
    bad = []
    for i, address in enumerate(addresses):
        try:
            names[i] = np.frombuffer(_socket_address(address), np.uint8)
        except (OSError, ValueError, struct.error):
            names[i] = 0
            bad.append(i)
    return names, np.array(bad, np.int64)


def _socket_address(address: str) -> bytes:
    """One address as 28 bytes. Raises OSError, ValueError or struct.error for what is none."""
    if ":" not in address:
        return struct.pack("=HH4s20x", socket.AF_INET, 0, socket.inet_pton(socket.AF_INET, address))
    host, _, zone = address.partition("%")
    scope = _scope(zone) if zone else 0
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, host), scope)


def allowed(family: int) -> str:
    """Which kind of ICMP socket this user gets: "dgram", "raw" or "none"."""
    try:
        with _first_allowed(family, ("dgram", "raw")) as sock:
            return "raw" if sock.type == socket.SOCK_RAW else "dgram"
    except HostError:
        return "none"


def _scope(zone: str) -> int:
    """The number of an interface. Raises OSError (ENODEV) when there is none of that name."""
    try:
        return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError as error:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error


def _first_allowed(family: int, kinds: Sequence[str]) -> socket.socket:
    """A new socket of the first kind the kernel allows. Raises HostError with the cure."""
    domain, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if family == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    for kind in kinds:
        try:
            return socket.socket(
                domain, (socket.SOCK_RAW if kind == "raw" else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK, protocol
            )
        except OSError as error:
            reason = error
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
                break
    raise HostError(f"ICMP socket for IPv{family}: {reason.strerror}: {_cure(reason.errno or 0, family)}") from reason


def _cure(number: int, family: int) -> str:
    if number == errno.EAFNOSUPPORT:
        return f"this kernel has no IPv{family}; measure the other family"
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many open files; raise `ulimit -n`"
    program = os.path.realpath(sys.executable)
    return (
        f"run `sudo setcap cap_net_raw+ep {program}`, "
        "or allow everyone: `sudo sysctl -w net.ipv4.ping_group_range='0 2147483647'`"
    )


def _apply(sock: socket.socket, options: SocketOptions) -> None:
    """Options of the measurement, stamps, counters and the receive buffer."""
    four = options.family == 4
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    if sock.type != socket.SOCK_RAW:  # a raw socket gets ICMP errors as packets
        if four:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    if four:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, options.ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, options.dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, options.ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, options.dscp << 2)
    if options.dont_fragment and four:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    elif options.dont_fragment:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
    if options.interface:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options.interface.encode() + b"\0")
    if options.source:
        sock.bind(_bindable(options))


def _bindable(options: SocketOptions) -> tuple[str, int] | tuple[str, int, int, int]:
    """The source as Python's `bind` wants it. Raises OSError (EINVAL) for a name: it would be looked up."""
    host, _, zone = options.source.partition("%")
    try:
        socket.inet_pton(socket.AF_INET if options.family == 4 else socket.AF_INET6, host)
    except OSError as error:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from error
    return (host, 0) if options.family == 4 else (host, 0, 0, _scope(zone) if zone else 0)


def _take_id(sock: socket.socket, options: SocketOptions) -> int:
    """Make the kernel choose the identifier of a DGRAM socket, which is its port, and tell it."""
    if not options.source:
        sock.bind(("", 0) if options.family == 4 else ("::", 0))
    return int(sock.getsockname()[1])


# Classic BPF (linux/filter.h): (code, jump if true, jump if false, constant). X is a byte offset.
_LDB, _LDH, _LDB_X, _LDH_X = 0x30, 0x28, 0x50, 0x48
_LDX_IHL, _TAX, _AND, _LSH, _ADD, _ADD_X = 0xB1, 0x07, 0x54, 0x64, 0x04, 0x0C
_JA, _JEQ, _RET = 0x05, 0x15, 0x06
_ALL: Final = 0xFFFFFFFF


def _filter(sock: socket.socket, family: int, id_base: int, ids: int) -> None:
    """Let only answers to our identifiers through: by type before the kernel copies a packet, then by BPF."""
    mask = 0xFFFF & ~(ids - 1)
    if family == 4:
        passed = 1 << 0 | 1 << 3 | 1 << 11 | 1 << 12
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", _ALL & ~passed))
        program = _filter4(id_base, mask)
    else:
        blocked = [_ALL] * 8
        for type_ in (1, 2, 3, 4, 129):
            blocked[type_ >> 5] &= ~(1 << (type_ & 31))
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
        program = _filter6(id_base, mask)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    attached = struct.pack("@HP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)


def _filter4(id_base: int, mask: int) -> list[tuple[int, int, int, int]]:
    """The packet begins with its IPv4 header; so does the packet an error quotes, 8 bytes after the ICMP header."""
    return [
        (_LDX_IHL, 0, 0, 0),  # X = length of the IP header
        (_LDB_X, 0, 0, 0),  # ICMP type
        (_JEQ, 8, 0, 0),  # an echo reply: to its identifier
        (_LDB_X, 0, 0, 8 + 9),  # an error: protocol of the quoted packet
        (_JEQ, 0, 10, 1),
        (_LDB_X, 0, 0, 8),  # X += length of the quoted IP header + 8
        (_AND, 0, 0, 0x0F),
        (_LSH, 0, 0, 2),
        (_ADD_X, 0, 0, 0),
        (_ADD, 0, 0, 8),
        (_TAX, 0, 0, 0),
        (_LDH_X, 0, 0, 4),  # the identifier
        (_AND, 0, 0, mask),
        (_JEQ, 0, 1, id_base & mask),
        (_RET, 0, 0, _ALL),
        (_RET, 0, 0, 0),
    ]


def _filter6(id_base: int, mask: int) -> list[tuple[int, int, int, int]]:
    """The packet begins with its ICMPv6 header; an error quotes an IPv6 packet from byte 8 on, perhaps a fragment."""
    return [
        (_LDB, 0, 0, 0),  # ICMPv6 type
        (_JEQ, 0, 2, 129),
        (_LDH, 0, 0, 4),  # an echo reply: its identifier
        (_JA, 0, 0, 8),
        (_LDB, 0, 0, 8 + 6),  # an error: next header of the quoted packet
        (_JEQ, 0, 2, 58),
        (_LDH, 0, 0, 8 + 40 + 4),
        (_JA, 0, 0, 4),
        (_JEQ, 0, 6, 44),  # a fragment has its own next header, and the identifier behind it
        (_LDB, 0, 0, 8 + 40),
        (_JEQ, 0, 4, 58),
        (_LDH, 0, 0, 8 + 48 + 4),
        (_AND, 0, 0, mask),
        (_JEQ, 0, 1, id_base & mask),
        (_RET, 0, 0, _ALL),
        (_RET, 0, 0, 0),
    ]


def _control_messages(control: bytes) -> list[tuple[int, int, bytes]]:
    """(level, type, data) of each control message (cmsg(3))."""
    found, at = [], 0
    while at + _CMSG_HEADER <= len(control):
        length, level, type_ = struct.unpack_from("@Nii", control, at)
        if length < _CMSG_HEADER:
            break
        found.append((level, type_, control[at + _CMSG_HEADER : at + length]))
        at += -(-length // _CMSG_ALIGN) * _CMSG_ALIGN
    return found
