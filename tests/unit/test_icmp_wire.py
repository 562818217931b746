"""ICMP in batches: what is written is read back, what is damaged is told, and hostile bytes harm nothing."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from smokemesh.wire import icmp
from smokemesh.wire.checksum import checksum

COOKIE = 0x0123_4567_89AB_CDEF
families = st.sampled_from([4, 6])
sizes = st.sampled_from([0, 1, 7, 8, 9, 15, 16, 17, 56, 57, 1472])


def requests(family: int, size: int, count: int = 3, first: int = 1000) -> NDArray[np.uint8]:
    packets = np.full((count, icmp.HEADER + size), 0xEE, np.uint8)  # leftovers of an earlier use
    icmp.write_requests(
        packets, family, icmp.payload(size, COOKIE), np.full(count, 0xBEEF, np.uint16),
        np.arange(65_534, 65_534 + count).astype(np.uint16), first + np.arange(count),
    )  # fmt: skip
    return packets


def replies(family: int, size: int, count: int = 3) -> NDArray[np.uint8]:
    """What an honest host sends back: the same with another type, and the checksum made right."""
    packets = requests(family, size, count)
    packets[:, 0] = icmp.ECHO_REPLY[family]
    if family == 4:
        packets[:, 2:4] = 0
        for row in packets:
            row[2:4] = np.frombuffer(checksum(row.tobytes()).to_bytes(2, "big"), np.uint8)
    return packets


def with_ip_header(packets: NDArray[np.uint8], options: int = 0) -> NDArray[np.uint8]:
    """Rows behind an IPv4 header with some 32-bit words of options."""
    header = np.zeros((len(packets), 20 + 4 * options), np.uint8)
    header[:, 0] = 0x45 + options
    header[:, 9] = 1
    return np.hstack([header, packets])


def lengths(packets: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.full(len(packets), packets.shape[1], np.int64)


@given(families, sizes)
def test_requests_are_as_the_rfcs_say(family: int, size: int) -> None:
    for i, row in enumerate(requests(family, size)):
        type_, code, total, id_, sequence = struct.unpack_from(">BBHHH", row)
        assert (type_, code, id_, sequence) == ({4: 8, 6: 128}[family], 0, 0xBEEF, (65_534 + i) & 0xFFFF)
        assert len(row) == 8 + size
        if family == 4:
            assert checksum(row.tobytes()) == 0
        else:
            assert total == 0  # the kernel's to fill in
        if size >= 16:
            assert struct.unpack_from("<Qq", row, 8) == (COOKIE, 1000 + i)


@given(families, sizes, st.integers(0, 10))
def test_replies_are_read_and_found_intact(family: int, size: int, options: int) -> None:
    packets = replies(family, size)
    if family == 4:
        packets = with_ip_header(packets, options)
    seen = icmp.read(packets, lengths(packets), family, family == 4)
    assert seen.reply.all()
    assert not seen.error.any()
    assert (seen.id == 0xBEEF).all()
    assert seen.sequence.tolist() == [65_534, 65_535, 0]
    common = icmp.payload(size, COOKIE)
    numbers = 1000 + np.arange(3)
    assert icmp.intact(packets, lengths(packets), seen.start, common, numbers, summed=family == 4).all()
    if size >= 16:
        assert not icmp.intact(packets, lengths(packets), seen.start, common, numbers + 1, summed=False).any()
        assert icmp.numbers_of(packets, seen.start, common).tolist() == numbers.tolist()
        assert icmp.numbers_of(packets, seen.start, icmp.payload(size, COOKIE + 1)).tolist() == [-1, -1, -1]
    else:
        assert icmp.numbers_of(packets, seen.start, common).tolist() == [-1, -1, -1]


def test_headers_of_different_lengths_in_one_batch() -> None:
    rows = [with_ip_header(replies(4, 56)[i : i + 1], options)[0] for i, options in enumerate((0, 10, 3))]
    packets = np.zeros((3, 128), np.uint8)
    for packet, row in zip(packets, rows, strict=True):
        packet[: len(row)] = row
    counts = np.array([len(row) for row in rows], np.int64)
    seen = icmp.read(packets, counts, 4, True)
    assert seen.reply.all()
    assert seen.start.tolist() == [20, 60, 32]
    common = icmp.payload(56, COOKIE)
    assert icmp.intact(packets, counts, seen.start, common, 1000 + np.arange(3), summed=True).all()


@given(families, st.sampled_from([16, 56, 57]), st.data())
def test_every_damaged_byte_is_noticed(family: int, size: int, data: st.DataObject) -> None:
    packets = replies(family, size, 1)
    at = data.draw(st.integers(8, packets.shape[1] - 1))
    packets[0, at] ^= data.draw(st.integers(1, 255))
    common = icmp.payload(size, COOKIE)
    start = np.zeros(1, np.int64)
    assert not icmp.intact(packets, lengths(packets), start, common, np.array([1000]), summed=False).any()


@given(families, sizes, st.integers(-8, 8).filter(bool))
def test_a_wrong_length_is_noticed(family: int, size: int, difference: int) -> None:
    packets = np.hstack([replies(family, size), np.zeros((3, 8), np.uint8)])
    counts = np.full(3, 8 + size + difference, np.int64)
    start = np.zeros(3, np.int64)
    common = icmp.payload(size, COOKIE)
    assert not icmp.intact(packets, counts, start, common, 1000 + np.arange(3), summed=False).any()


def error4(quoted: bytes, type_: int = 3, code: int = 1, inner: dict[str, Any] | None = None) -> bytes:
    """An ICMP error with the IPv4 packet it quotes."""
    ip = {"ihl": 5, "protocol": 1, "fragment": 0, "version": 4} | (inner or {})
    header = struct.pack(
        ">BBHHHBBH4s4s", ip["version"] << 4 | ip["ihl"], 0, 84, 7, ip["fragment"], 64, ip["protocol"], 0,
        bytes([127, 0, 0, 1]), bytes([127, 0, 0, 9]),
    )  # fmt: skip
    return struct.pack(">BBHI", type_, code, 0, 0) + header + bytes(4 * max(0, ip["ihl"] - 5)) + quoted


def error6(quoted: bytes, type_: int = 1, code: int = 3, fragment: bool = False) -> bytes:
    """An ICMPv6 error with the IPv6 packet it quotes, behind a fragment header if asked."""
    to = bytes(15) + b"\x01"
    header = struct.pack(">IHBB16s16s", 6 << 28, len(quoted), 44 if fragment else 58, 64, to, to)
    extension = struct.pack(">BBHI", 58, 0, 1, 99) if fragment else b""
    return struct.pack(">BBHI", type_, code, 0, 0) + header + extension + quoted


def rows_of(packet: bytes, width: int = 200) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    row = np.zeros((1, width), np.uint8)
    row[0, : len(packet)] = np.frombuffer(packet, np.uint8)
    return row, np.array([len(packet)], np.int64)


@pytest.mark.parametrize("type_", [3, 11, 12])
@pytest.mark.parametrize("ihl", [5, 8, 15])
def test_errors_tell_which_ping_they_are_about(type_: int, ihl: int) -> None:
    quoted = requests(4, 56)[1].tobytes()
    packets, counts = rows_of(bytes([0x45] + [0] * 19) + error4(quoted, type_, 4, {"ihl": ihl}))
    seen = icmp.read(packets, counts, 4, True)
    assert seen.error[0]
    assert seen.kind[0] == type_ << 8 | 4
    assert (seen.id[0], seen.sequence[0]) == (0xBEEF, 65_535)
    assert packets[0, seen.quoted_to[0] :][:4].tolist() == [127, 0, 0, 9]
    common = icmp.payload(56, COOKIE)
    assert icmp.quotes(packets, counts, seen.quoted, common, np.array([1001]))[0]
    assert not icmp.quotes(packets, counts, seen.quoted, common, np.array([1002]))[0]


@pytest.mark.parametrize("type_", [1, 2, 3, 4])
@pytest.mark.parametrize("fragment", [False, True])
def test_errors_of_ipv6(type_: int, fragment: bool) -> None:
    packets, counts = rows_of(error6(requests(6, 56)[2].tobytes(), type_, 0, fragment))
    seen = icmp.read(packets, counts, 6, False)
    assert seen.error[0]
    assert (seen.kind[0], seen.id[0], seen.sequence[0]) == (type_ << 8, 0xBEEF, 0)
    assert packets[0, seen.quoted_to[0] :][:16].tolist() == [0] * 15 + [1]
    assert icmp.quotes(packets, counts, seen.quoted, icmp.payload(56, COOKIE), np.array([1002]))[0]


def test_eight_quoted_bytes_are_enough() -> None:
    packets, counts = rows_of(error4(requests(4, 56)[0, :8].tobytes()))
    seen = icmp.read(packets, counts, 4, False)
    assert seen.error[0]
    assert icmp.quotes(packets, counts, seen.quoted, icmp.payload(56, COOKIE), np.array([1]))[0]


@pytest.mark.parametrize(
    "packet",
    [
        error4(requests(4, 56)[0].tobytes(), type_=5),  # a redirect is no answer
        error4(requests(4, 56)[0].tobytes(), inner={"protocol": 17}),
        error4(requests(4, 56)[0].tobytes(), inner={"fragment": 185}),
        error4(requests(4, 56)[0].tobytes(), inner={"version": 6}),
        error4(requests(4, 56)[0].tobytes(), inner={"ihl": 4}),
        error4(replies(4, 56)[0].tobytes()),  # about an answer of ours, not a ping
        error4(requests(4, 56)[0, :7].tobytes()),
        error4(b""),
        b"\x03\x01",
        b"",
    ],
)
def test_errors_about_something_else_are_no_answer(packet: bytes) -> None:
    packets, counts = rows_of(packet)
    seen = icmp.read(packets, counts, 4, False)
    assert not seen.error[0]
    assert (seen.id[0], seen.sequence[0]) == (-1, -1)


@given(families, st.booleans(), st.lists(st.binary(max_size=120), min_size=1, max_size=8), st.integers(1, 120))
def test_hostile_bytes_harm_nothing(family: int, ip_header: bool, packets: list[bytes], width: int) -> None:
    rows = np.zeros((len(packets), width), np.uint8)
    for row, packet in zip(rows, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet[:width], np.uint8)
    counts = np.array([len(packet) for packet in packets], np.int64)
    seen = icmp.read(rows, counts, family, ip_header)
    common = icmp.payload(56, COOKIE)
    numbers = np.arange(len(packets))
    good = icmp.intact(rows, counts, seen.start, common, numbers, summed=True)
    assert not good.any()  # nobody guesses the cookie
    icmp.numbers_of(rows, seen.start, common)
    icmp.quotes(rows, counts, seen.quoted, common, numbers)
    assert not (seen.reply & seen.error).any()
    assert ((seen.sequence >= -1) & (seen.sequence <= 0xFFFF)).all()
    assert ((seen.sequence >= 0) == (seen.reply | seen.error)).all()


@given(families, st.data())
def test_a_cut_or_damaged_error_never_leads_astray(family: int, data: st.DataObject) -> None:
    """Whatever one byte or a cut does to an error, it is not taken for one about another ping."""
    whole = (error4 if family == 4 else error6)(requests(family, 56)[0].tobytes())
    packet = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    if packet:
        packet[data.draw(st.integers(0, len(packet) - 1))] ^= data.draw(st.integers(0, 255))
    packets, counts = rows_of(bytes(packet))
    seen = icmp.read(packets, counts, family, False)
    if seen.error[0] and counts[0] >= len(whole) - 40:
        assert not icmp.quotes(packets, counts, seen.quoted, icmp.payload(56, COOKIE), np.array([999]))[0] or (
            counts[0] < seen.quoted[0] + 24
        )


def test_an_empty_batch() -> None:
    none = np.zeros((0, 64), np.uint8)
    empty = np.zeros(0, np.int64)
    seen = icmp.read(none, empty, 4, True)
    assert len(seen.id) == 0
    assert len(icmp.intact(none, empty, empty, icmp.payload(56, COOKIE), empty, summed=True)) == 0
