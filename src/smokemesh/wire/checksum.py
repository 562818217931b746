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
    if length % 2:  # RFC 1071 section 1: an odd packet is summed as if a zero byte followed
        packets = np.hstack([packets, np.zeros((rows, 1), np.uint8)])
    words = np.ascontiguousarray(packets).view(np.uint16)
    total = words.sum(axis=1, dtype=np.uint32)  # 2**16 words of 2**16 - 1 still fit: no packet is longer
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return np.asarray(~total & 0xFFFF, np.uint16)
