"""The plainest pinger there is, for tests of the network itself: `pinger.py ADDRESS[,ADDRESS...] COUNT GAP WAIT`.

Prints a line per answer, in order of arrival: sequence number, seconds since it was sent, address.
"""

import socket
import sys
import time
from struct import pack, unpack_from

IDENTITY = 0x5EED


def request(version: int, sequence: int) -> bytes:
    """An echo request; IPv6 checksums are the kernel's business."""
    message = pack("!BBHHHQ", 8 if version == 4 else 128, 0, 0, IDENTITY, sequence, 0)
    total = sum(unpack_from("!8H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + message[4:]


def main() -> None:
    """Send all, then wait a while for the rest of the answers."""
    addresses, count, gap, wait = sys.argv[1].split(","), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    version = 6 if ":" in addresses[0] else 4
    family, protocol = (socket.AF_INET, 1) if version == 4 else (socket.AF_INET6, 58)
    sock = socket.socket(family, socket.SOCK_RAW, protocol)
    sent: dict[tuple[str, int], float] = {}

    def listen(until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                data, (address, *_) = sock.recvfrom(2048)
            except TimeoutError:
                return
            now, start = time.monotonic(), (data[0] & 15) * 4 if version == 4 else 0
            kind, _, _, identity, sequence = unpack_from("!BBHHH", data, start)
            if kind == (0 if version == 4 else 129) and identity == IDENTITY:
                sys.stdout.write(f"{sequence} {now - sent[address, sequence]:.6f} {address}\n")

    for sequence in range(count):
        for address in addresses:
            sent[address, sequence] = time.monotonic()
            sock.sendto(request(version, sequence), (address, 0))
            listen(time.monotonic() + gap)
    listen(time.monotonic() + wait)


if __name__ == "__main__":
    main()
