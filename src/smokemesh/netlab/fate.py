"""Fate: what becomes of one packet. A pure function of path, key, packet number and hour, so every run is the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from hashlib import blake2b
from math import cos, log, pi, sqrt, tau

from smokemesh.netlab.path import AnyFault, Corrupt, Delay, Duplicate, Lose, Path, Refuse, Swell

_MASK = 2**64 - 1
_DRAWS_PER_PACKET = 64


class Did(IntFlag):
    """What the network did with a packet."""

    NOTHING = 0
    #: Answered by the network itself, as the host at that address would.
    ANSWERED = 1
    #: Handed on to the site that has the address.
    FORWARDED = 2
    LOST = 4
    DUPLICATED = 8
    #: Struck by a `Delay`.
    DELAYED = 16
    CORRUPTED = 32
    #: Answered by an ICMP error.
    REFUSED = 64
    #: No path leads there.
    NO_PATH = 128
    #: Arrived with a wrong checksum, so it was dropped as any host would.
    DAMAGED = 256
    #: Nothing this network answers (not an echo request).
    IGNORED = 512


@dataclass(frozen=True, slots=True)
class Fate:
    """What is to happen to a packet; `delays` has one entry, in seconds, for each copy that arrives."""

    did: Did
    delays: tuple[float, ...] = ()
    refusal: Refuse | None = None
    stale: bool = False


def pair_key(seed: int, source: bytes, destination: bytes) -> int:
    """The number that all chance of one address pair is drawn from."""
    text = seed.to_bytes(8, "little", signed=True) + source + destination
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def draws(key: int, number: int) -> Iterator[float]:
    """Random numbers in [0, 1) that belong to one packet (SplitMix64, Steele et al. 2014)."""
    state = key + number * _DRAWS_PER_PACKET * 0x9E3779B97F4A7C15
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK
        yield ((z ^ z >> 31) >> 11) * 2.0**-53


def weight(swell: Swell, wall: float) -> float:
    """How much of a swell there is at a time of the Unix clock, 0..1."""
    return ((1.0 + cos(tau * (wall - swell.peak) / swell.period)) / 2.0) ** swell.sharpness


def spread(path: Path, jitter: float, chance: Iterator[float]) -> float:
    """One value of the path's jitter, seconds."""
    if path.shape == "exponential":
        return -jitter * log(1.0 - next(chance))
    if path.shape == "normal":
        return jitter * sqrt(-2.0 * log(1.0 - next(chance))) * cos(2.0 * pi * next(chance))
    return jitter * next(chance)


def strikes(fault: AnyFault, number: int, chance: Iterator[float]) -> bool:
    """Whether a fault hits the packet with that number."""
    if fault.every:
        return number % fault.every == 0
    return fault.share > 0.0 and next(chance) < fault.share


def decide(path: Path, key: int, number: int, wall: float) -> Fate:
    """The fate of the `number`-th packet (from 1) of a pair at a time of the Unix clock."""
    chance = draws(key, number)
    delay, jitter, loss = path.delay, path.jitter, 0.0
    for swell in path.swells:
        share = weight(swell, wall)
        delay, jitter, loss = delay + share * swell.delay, jitter + share * swell.jitter, loss + share * swell.loss
    if jitter:
        delay = max(0.0, delay + spread(path, jitter, chance))
    if loss and next(chance) < loss:
        return Fate(Did.LOST)
    if not path.faults:
        return Fate(Did.NOTHING, (delay,))
    return _struck(delay, [fault for fault in path.faults if strikes(fault, number, chance)])


def _struck(delay: float, faults: list[AnyFault]) -> Fate:
    did, refusal, stale, delays = Did.NOTHING, None, False, [delay]
    for fault in faults:
        match fault:
            case Lose():
                return Fate(Did.LOST)
            case Delay():
                did |= Did.DELAYED
                delays = [each + fault.by for each in delays]
            case Duplicate():
                did |= Did.DUPLICATED
                delays += [delays[0] + fault.gap * (copy + 1) for copy in range(fault.copies)]
            case Corrupt():
                did |= Did.CORRUPTED
                stale = fault.stale
            case Refuse():
                did |= Did.REFUSED
                refusal = fault
    return Fate(did, tuple(delays), refusal, stale)
