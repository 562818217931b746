"""The Internet checksum, against RFC 1071's own example and a plain loop over 16-bit words."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.wire.checksum import checksum, checksums


def word_by_word(packet: bytes) -> int:
    """RFC 1071 section 4.1, as written."""
    total = 0
    for i in range(0, len(packet) - 1, 2):
        total += packet[i] << 8 | packet[i + 1]
    if len(packet) % 2:
        total += packet[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_the_example_of_the_rfc() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF


@given(st.binary(max_size=2000))
def test_any_packet(packet: bytes) -> None:
    assert checksum(packet) == word_by_word(packet)


def test_the_largest_packet_does_not_overflow() -> None:
    assert checksum(b"\xff" * 65_535) == word_by_word(b"\xff" * 65_535)


@given(st.integers(0, 40), st.integers(0, 5))
def test_many_at_once_are_as_one_by_one(length: int, rows: int) -> None:
    packets = np.random.default_rng(length * 7 + rows).integers(0, 256, (rows, length), np.uint8)
    found = checksums(packets).view(np.uint8).reshape(-1, 2)
    assert [bytes(row) for row in found] == [word_by_word(bytes(row)).to_bytes(2, "big") for row in packets]


@given(st.binary(min_size=4, max_size=200).filter(lambda packet: len(packet) % 2 == 0))
def test_a_packet_with_its_checksum_sums_to_zero(packet: bytes) -> None:
    summed = bytearray(packet)
    summed[2:4] = b"\0\0"
    summed[2:4] = checksum(bytes(summed)).to_bytes(2, "big")
    assert checksum(bytes(summed)) == 0
