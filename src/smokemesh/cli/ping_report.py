"""What `smokemesh ping` writes: fping's forms, line by line, and JSON lines. RTTs come in seconds and go out in ms."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import (
    ERROR_ANSWER,
    ERROR_CURL,
    ERROR_ERRNO,
    ERROR_ICMP4,
    ERROR_ICMP6,
    ERROR_RESOLVE,
    Flag,
    RoundBatch,
)

_UNREACHABLE4 = (
    "Network Unreachable", "Host Unreachable", "Protocol Unreachable", "Port Unreachable", "Fragmentation Needed",
    "Source Route Failed", "Network Unknown", "Host Unknown", "Host Isolated", "Network Prohibited", "Host Prohibited",
    "Network Unreachable for this Type of Service", "Host Unreachable for this Type of Service",
    "Communication Administratively Prohibited", "Host Precedence Violation", "Precedence Cutoff",
)  # fmt: skip
_UNREACHABLE6 = (
    "No Route", "Communication Administratively Prohibited", "Beyond Scope of Source", "Address Unreachable",
    "Port Unreachable", "Source Address Failed Policy", "Reject Route",
)  # fmt: skip
_OTHER = {
    (4, 11): "Time Exceeded", (4, 12): "Parameter Problem",
    (6, 2): "Packet Too Big", (6, 3): "Time Exceeded", (6, 4): "Parameter Problem",
}  # fmt: skip


def error_text(error: int) -> str:
    """`RoundBatch.error` in words: `ICMP Host Unreachable`, `No route to host`."""
    kind, number = error & ~0xFFFF, error & 0xFFFF
    if kind == ERROR_ERRNO:
        return os.strerror(number)
    if kind == ERROR_RESOLVE:
        return "name not resolved"
    if kind == ERROR_ANSWER:
        return f"answered {number}" if number else "not the answer that was expected"
    if kind == ERROR_CURL:
        return f"libcurl error {number}"
    family = {ERROR_ICMP4: 4, ERROR_ICMP6: 6}.get(kind, 0)
    type_, code = number >> 8, number & 0xFF
    unreachable = {(4, 3): _UNREACHABLE4, (6, 1): _UNREACHABLE6}.get((family, type_), ())
    if code < len(unreachable):
        return f"ICMP {unreachable[code]}"
    return f"ICMP {_OTHER.get((family, type_), f'type {type_} code {code}')}"


def milliseconds(seconds: float) -> str:
    """An RTT as fping writes it: three significant decimals below 1 ms, fewer as it grows."""
    value = seconds * 1e3
    if value < 1:
        return f"{value:.3f}"
    if value < 10:
        return f"{value:.2f}"
    if value < 100:
        return f"{value:.1f}"
    return f"{value:.0f}" if value < 1e6 else f"{value:.3e}"


@dataclass(slots=True)
class Tally:
    """What is known of one host so far."""

    #: Pings answered or given up.
    done: int = 0
    answered: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = 0.0

    def answer(self, rtt: float) -> None:
        """One more ping was answered."""
        self.done, self.answered, self.total = self.done + 1, self.answered + 1, self.total + rtt
        self.least, self.most = min(self.least, rtt), max(self.most, rtt)

    def __str__(self) -> str:
        average = milliseconds(self.total / self.answered) if self.answered else "NaN"
        return f"({average} avg, {100 * (self.done - self.answered) // max(self.done, 1)}% loss)"


def verbose_lines(names: Sequence[str], rtts: NDArray[np.float64]) -> Iterator[str]:
    """`name : 0.040 - 0.028`, names padded alike: what `fping -C` writes and SmokePing reads. One row per host."""
    width = max(map(len, names), default=0)
    short = [f"{microseconds / 1000:.3f}" for microseconds in range(1000)]
    for first in range(0, len(names), 1000):  # Python's own numbers are large: not all at once
        rows = rtts[first : first + 1000]
        rounded = np.rint(np.nan_to_num(rows * 1e6, nan=1e9))
        quick: list[bool] = (rounded.max(axis=1) < 1000).tolist()  # under a millisecond: written once, looked up
        whole = rounded.astype(np.int64).tolist()
        for i, name in enumerate(names[first : first + 1000]):
            if quick[i]:
                values = " ".join([short[microseconds] for microseconds in whole[i]])
            else:
                values = " ".join(["-" if math.isnan(rtt) else milliseconds(rtt) for rtt in rows[i].tolist()])
            yield f"{name:<{width}} : {values}"


def count_lines(names: Sequence[str], tallies: Sequence[Tally], late: Sequence[int]) -> Iterator[str]:
    """`name : xmt/rcv/%loss = 3/2/33%, min/avg/max = ...`; answers that came after the timeout are told at the end."""
    width = max(map(len, names), default=0)
    for name, tally, after in zip(names, tallies, late, strict=True):
        lost = 100 * (tally.done - tally.answered) // max(tally.done, 1)
        line = f"{name:<{width}} : xmt/rcv/%loss = {tally.done}/{tally.answered}/{lost}%"
        if tally.answered:
            parts = (tally.least, tally.total / tally.answered, tally.most)
            line += f", min/avg/max = {'/'.join(map(milliseconds, parts))}"
        yield line + (f", late = {after}" if after else "")


def tallies_of(rtts: NDArray[np.float64], sent: Sequence[int]) -> list[Tally]:
    """Tallies of finished rounds; NaN is a ping given up."""
    made = []
    for row, count in zip(rtts.tolist(), sent, strict=True):
        tally = Tally()
        for rtt in row:
            if not math.isnan(rtt):
                tally.answer(rtt)
        tally.done = int(count)
        made.append(tally)
    return made


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the whole run."""

    targets: int
    alive: int
    unknown: int
    sent: int
    received: int
    late: int
    other: int
    rtts: tuple[float, float, float] | None
    elapsed: float


def stats_lines(totals: Totals, *, tcp: bool = False) -> Iterator[str]:
    """What `fping -s` writes at the end, and late answers apart."""
    sent, received, other = (
        ("TCP SYNs", "TCP answers", "errors") if tcp else ("ICMP Echos", "ICMP Echo Replies", "ICMP")
    )
    yield ""
    yield f" {totals.targets:7} targets"
    yield f" {totals.alive:7} alive"
    yield f" {totals.targets - totals.alive:7} unreachable"
    yield f" {totals.unknown:7} unknown addresses"
    yield ""
    yield f" {totals.sent - totals.received:7} timeouts (waiting for response)"
    yield f" {totals.sent:7} {sent} sent"
    yield f" {totals.received:7} {received} received"
    yield f" {totals.late:7} late (answered after the timeout)"
    yield f" {totals.other:7} {'' if tcp else 'other '}{other} received"
    yield ""
    for word, rtt in zip(("min", "avg", "max"), totals.rtts or (0.0, 0.0, 0.0), strict=True):
        yield f" {milliseconds(rtt)} ms ({word} round trip time)"
    yield f" {totals.elapsed:12.3f} sec (elapsed real time)"
    yield ""


def json_line(host: str, address: str, batch: RoundBatch, i: int, timeout: float) -> str:
    """One host as one line: RTTs in seconds in the order sent, null where lost; an RTT above `timeout` came late."""
    rtts = [
        None if math.isnan(rtt) else round(rtt, 9)
        for rtt in batch.rtts[batch.offsets[i] : batch.offsets[i + 1]].tolist()
    ]
    line: dict[str, Any] = {"host": host, "address": address, "sent": int(batch.sent[i])}
    for name in ("received", "late", "duplicates", "reordered", "corrupted", "errors"):
        line[name] = int(getattr(batch, name)[i])
    line["loss"] = (line["sent"] - line["received"]) / line["sent"] if line["sent"] else None
    line["timeout"] = timeout
    line["rtts"] = rtts
    line["outcomes"] = ["lost" if rtt is None else "late" if rtt > timeout else "answered" for rtt in rtts]
    line["error"] = error_text(int(batch.error[i])) if batch.error[i] else None
    line["flags"] = flag_names(int(batch.flags[i]))
    return json.dumps(line)


def flag_names(flags: int) -> list[str]:
    """The names of the flags set, lower case."""
    return [str(flag.name).lower() for flag in Flag if flag and flags & flag]
