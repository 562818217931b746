"""RTTs as the wire saw them: a tcpdump on the sender's link, and its file read into round trips. Times are nanoseconds."""

import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from struct import unpack_from

from smokemesh.netlab.network import Site

#: Time stamps of the file are nanoseconds (pcap-savefile(5)).
_NANOSECONDS = 0xA1B23C4D
#: Seconds after which tcpdump has surely been handed what was captured: libpcap's blocks wait up to one.
_SETTLE = 1.5
_ETHERNET = 14
#: Echo request and reply, by the version of IP.
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_ICMP = {4: 1, 6: 58}


@contextmanager
def captured(site: Site, file: Path) -> Iterator[None]:
    """Inside the `with`, all ICMP on the site's wire goes into a file."""
    argv = ["tcpdump", "-i", site.wire, "-n", "-s", "96", "-Z", "root", "--time-stamp-precision=nano", "-w", str(file)]
    tcpdump = site.start([*argv, "icmp or icmp6"], stderr=subprocess.PIPE)
    assert tcpdump.stderr is not None
    with tcpdump.stderr as said:
        for line in said:
            if b"listening on" in line:
                break
        try:
            yield
        finally:
            time.sleep(_SETTLE)
            tcpdump.send_signal(signal.SIGINT)
            summary = said.read()
            tcpdump.wait()
    if b"0 packets dropped by kernel" not in summary:
        raise RuntimeError(f"the capture is not whole: {summary.decode(errors='replace')}")


def round_trips(file: Path) -> dict[str, list[int | None]]:
    """For each address pinged, in the order sent: nanoseconds from request to first reply, None without one."""
    sent: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    answered: dict[tuple[str, bytes], int] = {}
    for stamp, packet in _packets(file.read_bytes()):
        version = packet[0] >> 4
        start = (packet[0] & 15) * 4 if version == 4 else 40
        if packet[9 if version == 4 else 6] != _ICMP[version]:
            continue
        kind, identity = packet[start], packet[start + 4 : start + 8]
        source, destination = (packet[12:16], packet[16:20]) if version == 4 else (packet[8:24], packet[24:40])
        if kind == _REQUEST[version]:
            sent[str(ip_address(destination))].append((stamp, identity))
        elif kind == _REPLY[version]:
            answered.setdefault((str(ip_address(source)), identity), stamp)
    return {
        address: [
            None if (at := answered.get((address, identity))) is None else at - stamp for stamp, identity in pings
        ]
        for address, pings in sent.items()
    }


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Stamp and IP packet of each record."""
    if unpack_from("=I", data)[0] != _NANOSECONDS:
        raise ValueError("not a capture with nanoseconds in this machine's byte order")
    at = 24
    while at + 16 <= len(data):
        seconds, nanoseconds, length, _ = unpack_from("=IIII", data, at)
        yield seconds * 1_000_000_000 + nanoseconds, data[at + 16 + _ETHERNET : at + 16 + length]
        at += 16 + length
