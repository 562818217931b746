"""IP packets as bytes: what a host answers to an echo request, what a router says of a packet it cannot deliver.

The Internet checksum (RFC 1071) of a message is its value as one big number modulo 65535, which Python computes
faster than any loop.
"""

from dataclasses import dataclass
from struct import pack, unpack_from

ICMP4, ICMP6 = 1, 58
_HOP_LIMIT = 64
#: A router quotes as much as fits these sizes (RFC 1812 section 4.3.2.3, RFC 4443 section 3).
_LARGEST_ERROR4, _LARGEST_ERROR6 = 576, 1280


@dataclass(frozen=True, slots=True)
class Header:
    """What the network looks at. `start` is where the ICMP message begins, 0 if the packet holds something else."""

    source: bytes
    destination: bytes
    start: int


def read_header(packet: bytes) -> Header | None:
    """The header of an IPv4 or IPv6 packet, None if it is neither or cut short."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 28:
        whole = packet[9] == ICMP4 and not unpack_from("!H", packet, 6)[0] & 0x3FFF  # not a fragment
        return Header(packet[12:16], packet[16:20], (packet[0] & 15) * 4 if whole else 0)
    if version == 6 and len(packet) >= 48:
        return Header(packet[8:24], packet[24:40], 40 if packet[6] == ICMP6 else 0)
    return None


def checksum(message: bytes) -> int:
    """The Internet checksum of a message whose checksum field is zero; 0 for one whose checksum is right."""
    if len(message) % 2:
        message += b"\0"
    # Words are added until the sum fits 16 bits, so the sum of anything but zeros is 1..65535, never 0.
    value = int.from_bytes(message)
    return 0xFFFF - (value % 0xFFFF or 0xFFFF) if value else 0xFFFF


def is_echo_request(packet: bytes, header: Header) -> bool:
    """Whether a host would answer this with an echo reply."""
    return bool(header.start) and packet[header.start] == (8 if len(header.source) == 4 else 128)


def is_intact(packet: bytes, header: Header) -> bool:
    """Whether the ICMP checksum is right."""
    return checksum(_pseudo_header(header, len(packet) - header.start) + packet[header.start :]) == 0


def echo_reply(packet: bytes, header: Header) -> bytes:
    """What the destination answers to an intact echo request."""
    message = bytearray(packet[header.start :])
    message[0] = 0 if len(header.source) == 4 else 129
    return _packet(header.destination, header.source, message)


def corrupted(packet: bytes, stale: bool) -> bytes:
    """The same packet with its last byte changed; its checksum made right again unless `stale`."""
    damaged = bytearray(packet)
    damaged[-1] ^= 0x55
    header = read_header(packet)
    if stale or header is None or not header.start:
        return bytes(damaged)
    return _packet(header.source, header.destination, damaged[header.start :])


def icmp_error(packet: bytes, header: Header, router: bytes, kind: int, code: int) -> bytes:
    """What `router` says of a packet it does not deliver: the error with the beginning of the packet."""
    room = _LARGEST_ERROR4 - 28 if len(router) == 4 else _LARGEST_ERROR6 - 48
    return _packet(router, header.source, bytearray(pack("!BBHI", kind, code, 0, 0) + packet[:room]))


def _pseudo_header(header: Header, length: int) -> bytes:
    """ICMPv6 checksums cover the addresses as well (RFC 8200 section 8.1); ICMPv4 checksums do not."""
    if len(header.source) == 4:
        return b""
    return header.source + header.destination + pack("!II", length, ICMP6)


def _packet(source: bytes, destination: bytes, message: bytearray) -> bytes:
    """An IP packet around an ICMP message, checksums filled in."""
    message[2:4] = b"\0\0"
    header = Header(source, destination, 0)
    message[2:4] = pack("!H", checksum(_pseudo_header(header, len(message)) + message))
    if len(source) == 16:
        return pack("!IHBB", 6 << 28, len(message), ICMP6, _HOP_LIMIT) + source + destination + message
    fixed = pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, _HOP_LIMIT, ICMP4, 0) + source + destination
    return fixed[:10] + pack("!H", checksum(fixed)) + fixed[12:] + message
