"""Hosts behind a TUN link that answer TCP as a test tells them, by port: late, with a reset, an ICMP error, or not the first time.

A real kernel connects to them from a namespace of its own; what they did and when is written down. Times are seconds.
"""

import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from ipaddress import ip_address

from smokemesh.netlab import namespace
from smokemesh.netlab.netlink import Netlink

OWN4, OWN6 = "192.0.2.1", "2001:db8::1"
HOST4, HOST6 = "192.0.2.77", "2001:db8::77"
_SYN, _RST, _ACK = 2, 4, 16


@dataclass(frozen=True, slots=True)
class Port:
    """How a port answers a SYN."""

    #: "open", "closed", "unreachable" (ICMP) or "silent".
    manner: str = "open"
    delay: float = 0.0
    #: So many SYNs of each connection are dropped first.
    drop: int = 0
    #: Agree to time stamps (RFC 7323).
    stamps: bool = True


@dataclass
class World:
    """A namespace with one link, and the thread that is everything beyond it."""

    ports: dict[int, Port]
    namespace: int = -1
    #: (source port, destination port, DSCP, TTL) of each SYN.
    syns: list[tuple[int, int, int, int]] = field(default_factory=list)
    resets: int = 0
    #: Seconds each answer was really held back.
    held: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        before = namespace.current_network_namespace()
        self.namespace = namespace.new_network_namespace()
        try:
            self._tun = namespace.open_tun("tun0")
            with Netlink() as link:
                link.up("lo")
                link.up("tun0")
                for own, width in ((OWN4, 24), (OWN6, 64)):
                    link.address("tun0", ip_address(own))
                    link.route("tun0", ip_address("192.0.2.0" if width == 24 else "2001:db8::"), width)
        finally:
            namespace.enter_network_namespace(before)
            os.close(before)
        self._bell = os.eventfd(0)
        self._seen: dict[tuple[int, int], int] = {}
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.eventfd_write(self._bell, 1)
        self._thread.join(5)
        for file in (self._bell, self._tun, self.namespace):
            os.close(file)

    def _live(self) -> None:
        waiting: list[tuple[float, float, bytes]] = []
        while True:
            left = min((due for due, _, _ in waiting), default=time.monotonic() + 5) - time.monotonic()
            ready, _, _ = select.select([self._tun, self._bell], [], [], max(left, 0))
            if self._bell in ready:
                return
            if self._tun in ready:
                arrived = time.monotonic()
                answer = self._answer(os.read(self._tun, 65536))
                if answer is not None:
                    waiting.append((arrived + answer[0], arrived, answer[1]))
            now = time.monotonic()
            for entry in [entry for entry in waiting if entry[0] <= now]:
                waiting.remove(entry)
                os.write(self._tun, entry[2])
                self.held.append(time.monotonic() - entry[1])

    def _answer(self, packet: bytes) -> tuple[float, bytes] | None:
        six = packet[0] >> 4 == 6
        ahead = 40 if six else (packet[0] & 15) * 4
        if packet[6 if six else 9] != socket.IPPROTO_TCP:
            return None
        source, target = (packet[8:24], packet[24:40]) if six else (packet[12:16], packet[16:20])
        segment = packet[ahead:]
        ours, theirs, sequence = struct.unpack_from("!HHI", segment)
        self.resets += bool(segment[13] & _RST)
        if segment[13] & (_SYN | _ACK | _RST) != _SYN:
            return None
        dscp = (packet[0] & 15) << 2 | packet[1] >> 6 if six else packet[1] >> 2
        self.syns.append((ours, theirs, dscp, packet[7] if six else packet[8]))
        port = self.ports.get(theirs, Port("silent"))
        seen = self._seen[ours, theirs] = self._seen.get((ours, theirs), 0) + 1
        if port.manner == "silent" or seen <= port.drop:
            return None
        if port.manner == "unreachable":
            return port.delay, _unreachable(packet, source, target)
        flags = _SYN | _ACK if port.manner == "open" else _RST | _ACK
        options = b"\x02\x04\x05\xb4" if flags & _SYN else b""
        if flags & _SYN and port.stamps:
            options += b"\x01\x01\x08\x0a" + struct.pack("!I", 1) + _stamp(segment)
        return port.delay, _segment(target, source, theirs, ours, sequence + 1, flags, options)


def _stamp(segment: bytes) -> bytes:
    """The time stamp of a SYN, which its answer repeats."""
    at, end = 20, (segment[12] >> 4) * 4
    while at < end:
        if segment[at] == 8:
            return segment[at + 2 : at + 6]
        at += 1 if segment[at] == 1 else segment[at + 1]
    return bytes(4)


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(source: bytes, target: bytes, protocol: int, body: bytes) -> bytes:
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source + target + body
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0, source, target)
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + body


def _segment(source: bytes, target: bytes, port: int, to: int, answers: int, flags: int, options: bytes) -> bytes:
    length = 20 + len(options)
    body = struct.pack("!HHIIBBHHH", port, to, 7, answers & 0xFFFFFFFF, length << 2, flags, 65535, 0, 0) + options
    pseudo = source + target + struct.pack("!II", length, socket.IPPROTO_TCP)
    return _packet(source, target, socket.IPPROTO_TCP, body[:16] + struct.pack("!H", _sum(pseudo + body)) + body[18:])


def _unreachable(packet: bytes, source: bytes, target: bytes) -> bytes:
    """Host unreachable by filter: ICMP type 3 code 13, ICMPv6 type 1 code 1."""
    six = len(source) == 16
    body = struct.pack("!BBHI", 1 if six else 3, 1 if six else 13, 0, 0) + packet[:512]
    pseudo = target + source + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) if six else b""
    body = body[:2] + struct.pack("!H", _sum(pseudo + body)) + body[4:]
    return _packet(target, source, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP, body)
