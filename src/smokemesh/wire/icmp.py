"""ICMP echo (RFC 792) and ICMPv6 echo (RFC 4443) in batches: one row of an array is one packet.

A request carries, in as much of its payload as there is room for, a 64-bit random cookie and the 64-bit number of
the ping, then a fixed pattern. So an answer is known to be ours, to belong to this ping and not to an earlier one
with the same sequence number, and to be undamaged; and nobody who has not seen the request can forge it.
No sockets and no clock here: bytes in, arrays out; whatever the bytes, nothing is raised.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.wire.checksum import checksums

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

HEADER: Final = 8  # type, code, checksum, identifier, sequence number
COOKIE: Final = 8
MARK: Final = 16  # cookie, number of the ping
#: The largest payload: what IPv4 (65,535 bytes in all) leaves beside a header without options.
MOST_PAYLOAD: Final = 65_535 - 20 - HEADER

ECHO_REQUEST: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}
#: Destination unreachable, time exceeded, parameter problem (RFC 792); in ICMPv6 also packet too big (RFC 4443).
ERRORS: Final = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
_PROTOCOL: Final = {4: 1, 6: 58}
_FRAGMENT_HEADER: Final = 44


def payload(size: int, cookie: int) -> Bytes:
    """The payload all requests of that size share; the number of the ping is written over bytes 8 to 16. u1[size]."""
    made = (np.arange(max(size, MARK)) & 0xFF).astype(np.uint8)
    made[:COOKIE] = np.frombuffer(cookie.to_bytes(COOKIE, "little"), np.uint8)
    return made[:size]


def write_requests(
    packets: Bytes, family: int, common: Bytes, ids: NDArray[np.uint16], sequences: NDArray[np.uint16], numbers: Ints
) -> None:
    """Write one echo request into each row of `packets`, u1[n, 8 + len(common)].

    IPv6 packets leave here without a checksum: it covers addresses only the kernel knows (RFC 4443 section 2.3),
    and the kernel always computes it.
    """
    packets[:, 0] = ECHO_REQUEST[family]
    packets[:, 1:4] = 0
    packets[:, 4:6] = ids.astype(">u2").view(np.uint8).reshape(-1, 2)
    packets[:, 6:8] = sequences.astype(">u2").view(np.uint8).reshape(-1, 2)
    packets[:, HEADER:] = common
    room = max(0, min(len(common), MARK) - COOKIE)
    if room:
        packets[:, HEADER + COOKIE : HEADER + COOKIE + room] = _as_bytes(numbers)[:, :room]
    if family == 4:
        packets[:, 2:4] = checksums(packets).view(np.uint8).reshape(-1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """What a batch of packets is; one element is one packet."""

    #: Echo replies.
    reply: Mask
    #: ICMP errors that quote an echo request.
    error: Mask
    #: Type * 256 + code of the ICMP message.
    kind: Ints
    #: Identifier and sequence number: of the reply, or of the request an error quotes; -1 when there is none.
    id: Ints
    sequence: Ints
    #: Where the ICMP header begins in the row.
    start: Ints
    #: For errors: where the quoted ICMP header begins, and where the quoted destination address stands.
    quoted: Ints
    quoted_to: Ints


def read(packets: Bytes, lengths: Ints, family: int, ip_header: bool) -> Received:
    """Tell what the packets are: u1[n, m] rows, of which `lengths` bytes count.

    `ip_header` says that rows begin with an IPv4 header, as raw sockets give them, and of varying length (IHL).
    """
    start = np.zeros(len(packets), np.int64)
    if ip_header:
        start[:] = (packets[:, 0] & 0x0F) * np.uint8(4)
        lengths = np.where((packets[:, 0] >> 4 == 4) & (start >= 20), lengths, 0)
    words = np.ascontiguousarray(_columns(packets, start, HEADER)).view(">u2").astype(np.int64)
    words[lengths < start + HEADER] = -1
    kind, id_, sequence = words[:, 0], words[:, 2], words[:, 3]
    type_ = kind >> 8
    reply = type_ == ECHO_REPLY[family]
    error = np.zeros(len(packets), bool)
    quoted = quoted_to = np.zeros(len(packets), np.int64)
    if not reply.all():
        at = np.flatnonzero(_any_of(type_, ERRORS[family]))
        quoted, quoted_to = np.zeros((2, len(packets)), np.int64)
        quoted[at], quoted_to[at] = _find_quoted(packets[at], lengths[at], start[at] + HEADER, family)
        error = quoted > 0
        inner = np.ascontiguousarray(_columns(packets, quoted, HEADER)).view(">u2")
        id_, sequence = np.where(error, inner[:, 2], id_), np.where(error, inner[:, 3], sequence)
        other = ~(reply | error)
        id_[other] = sequence[other] = -1
    return Received(reply, error, kind, id_, sequence, start, quoted, quoted_to)


def intact(packets: Bytes, lengths: Ints, start: Ints, common: Bytes, numbers: Ints, *, summed: bool) -> Mask:
    """Which replies carry exactly what the ping with that number sent. With `summed`, their checksum must hold too."""
    size = len(common)
    good = lengths == start + HEADER + size
    body = np.ascontiguousarray(_columns(packets, start, HEADER + size))
    good &= body[:, 1] == 0  # the code of an echo reply
    if size >= MARK and size % 8 == 0:  # eight bytes at a time
        expected = np.empty((len(packets), size // 8), np.int64)
        expected[:] = common.view(np.int64)
        expected[:, 1] = numbers
        good &= (body.view(np.int64)[:, 1:] == expected).all(axis=1)
    else:
        marked = body[:, HEADER:].copy()
        room = max(0, min(size, MARK) - COOKIE)
        good &= (marked[:, COOKIE : COOKIE + room] == _as_bytes(numbers)[:, :room]).all(axis=1)
        marked[:, COOKIE : COOKIE + room] = common[COOKIE : COOKIE + room]
        good &= (marked == common).all(axis=1)
    if summed:
        good &= checksums(body) == 0
    return good


def numbers_of(packets: Bytes, start: Ints, common: Bytes) -> Ints:
    """The number of the ping each reply claims to answer; -1 where the cookie is not ours or there was no room."""
    if len(common) < MARK:
        return np.full(len(packets), -1)
    body = _columns(packets, start, HEADER + MARK)
    ours = (body[:, HEADER : HEADER + COOKIE] == common[:COOKIE]).all(axis=1)
    found = np.ascontiguousarray(body[:, HEADER + COOKIE :]).view("<i8")[:, 0]
    return np.where(ours, found, -1)


def quotes(packets: Bytes, lengths: Ints, quoted: Ints, common: Bytes, numbers: Ints) -> Mask:
    """Which errors quote the ping with that number: as much of cookie and number as they quote must agree.

    RFC 792 asks for only 8 bytes beyond the IP header, which is the ICMP header alone; most quote more.
    """
    body = _columns(packets, quoted, HEADER + MARK)[:, HEADER:]
    expected = np.zeros((len(packets), MARK), np.uint8)
    expected[:, : min(len(common), COOKIE)] = common[:COOKIE]
    expected[:, COOKIE:] = _as_bytes(numbers)
    counted = np.minimum(lengths - quoted - HEADER, min(len(common), MARK))
    return np.asarray(((body == expected) | (np.arange(MARK) >= counted[:, np.newaxis])).all(axis=1))


def _find_quoted(packets: Bytes, lengths: Ints, at: Ints, family: int) -> tuple[Ints, Ints]:
    """Where the ICMP header of the echo request an error quotes and its destination are; 0 where it quotes none."""
    version = _u8(packets, at) >> 4 == family
    if family == 4:
        header = (_u8(packets, at) & 0x0F) * 4
        # A later fragment holds no ICMP header; the offset is the low 13 bits (RFC 791).
        good = (header >= 20) & ((_u8(packets, at + 6) & 0x1F) << 8 | _u8(packets, at + 7) == 0)
        protocol, to, inner = _u8(packets, at + 9), at + 16, at + header
    else:
        protocol, to, inner = _u8(packets, at + 6), at + 24, at + 40
        fragment = protocol == _FRAGMENT_HEADER
        good = ~fragment | (_u8(packets, inner + 2) << 8 | _u8(packets, inner + 3) & 0xF8 == 0)
        protocol = np.where(fragment, _u8(packets, inner), protocol)
        inner = inner + 8 * fragment
    good &= version & (protocol == _PROTOCOL[family]) & (lengths >= inner + HEADER)
    good &= _u8(packets, inner) == ECHO_REQUEST[family]
    return np.where(good, inner, 0), np.where(good, to, 0)


def _any_of(values: Ints, wanted: tuple[int, ...]) -> Mask:
    found = values == wanted[0]
    for value in wanted[1:]:
        found |= values == value
    return found


def _as_bytes(numbers: Ints) -> Bytes:
    return numbers.astype("<i8").view(np.uint8).reshape(-1, 8)


def _u8(packets: Bytes, at: Ints) -> Ints:
    """The byte at `at` of each row; 0 outside the row."""
    return _columns(packets, at, 1)[:, 0].astype(np.int64)


def _columns(packets: Bytes, start: Ints, count: int) -> Bytes:
    """`count` bytes of each row from `start` on, zeros beyond the row's end; a plain slice when all start alike."""
    width = packets.shape[1]
    if len(packets) and (start == start[0]).all() and start[0] + count <= width:
        return packets[:, start[0] : start[0] + count]
    at = start[:, np.newaxis] + np.arange(count)
    found = np.take_along_axis(packets, np.minimum(at, width - 1), axis=1) if width else np.zeros(at.shape, np.uint8)
    return np.where(at < width, found, np.uint8(0))
