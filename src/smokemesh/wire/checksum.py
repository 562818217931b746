"""The Internet checksum (RFC 1071) of one packet, and of a whole array of packets at once.

The sum is over 16-bit words; which byte of a word comes first does not matter as long as the result is stored the
same way (RFC 1071 section 2 (B)), so words are taken as this machine holds them: no bytes are swapped.
"""

import sys

import numpy as np
from numpy.typing import NDArray


def checksum(packet: bytes) -> int:
    """The checksum of one packet as a number in network byte order; 0 for a packet that carries its right one."""
    found = int(checksums(np.frombuffer(packet, np.uint8)[np.newaxis])[0])
    return int.from_bytes(found.to_bytes(2, sys.byteorder), "big")


def checksums(packets: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The checksum of each row, in this machine's byte order: store it as it is. u1[n, m] -> u2[n]."""
    rows, length = packets.shape
    if length % 4:  # RFC 1071 section 1: a short packet is summed as if zero bytes followed
        packets = np.hstack([packets, np.zeros((rows, 4 - length % 4), np.uint8)])
    # Two words at a time, as section 2 (C) of the RFC allows; 64 bits hold the sum of any packet.
    total = np.ascontiguousarray(packets).view(np.uint32).sum(axis=1, dtype=np.uint64)
    for bits in (32, 16, 16):
        total = (total & ((1 << bits) - 1)) + (total >> bits)
    total = (total & 0xFFFF) + (total >> 16)
    return np.asarray(~total & 0xFFFF, np.uint16)
