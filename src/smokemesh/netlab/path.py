"""Path: what the made-up network does to the packets between two addresses. Times are seconds.

A fault strikes every `every`-th packet of an address pair (the k-th, the 2k-th, ...: exact), or each packet with the
probability `share` (drawn from the network's seed). Packets are counted per pair, from 1, from the moment the path
was set.
"""

from typing import Literal

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="fault", omit_defaults=True):
    """Something that happens to some packets."""

    every: int = 0
    share: float = 0.0


class Lose(Fault, frozen=True, kw_only=True, tag="lose"):
    """The packet is gone."""


class Delay(Fault, frozen=True, kw_only=True, tag="delay"):
    """The packet takes `by` seconds more: less than the time to the next ping is jitter, more reorders."""

    by: float


class Duplicate(Fault, frozen=True, kw_only=True, tag="duplicate"):
    """The packet arrives 1 + `copies` times, `gap` seconds apart."""

    copies: int = 1
    gap: float = 0.001


class Corrupt(Fault, frozen=True, kw_only=True, tag="corrupt"):
    """The last byte of the packet changes. With `stale` the checksum stays what it was.

    Kernels drop answers with a wrong checksum before most programs see them; damage behind the checksum's back
    (a router's memory, a rewriting middle box) gets through, so that is what happens unless `stale` is asked for.
    """

    stale: bool = False


class Refuse(Fault, frozen=True, kw_only=True, tag="refuse"):
    """An ICMP error of the packet's own family comes back instead of an answer, from `router` or the destination."""

    type: int
    code: int
    router: str = ""


AnyFault = Lose | Delay | Duplicate | Corrupt | Refuse


class Swell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What comes and goes with the hour: nothing half a `period` away from its `peak`, all of it at the peak."""

    period: float = 86400.0
    #: Seconds after a multiple of `period` of the Unix clock.
    peak: float = 0.0
    #: 1 swells like a sine; greater is a shorter rush hour.
    sharpness: float = 1.0
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0


class Path(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One direction between two addresses; where the network itself answers, there and back."""

    #: From a packet's arrival until its answer leaves, or, towards an address of a site, until it is delivered.
    delay: float = 0.0
    #: uniform: up to `jitter` more; exponential: `jitter` more on average; normal: `jitter` is the standard deviation.
    jitter: float = 0.0
    shape: Literal["uniform", "exponential", "normal"] = "uniform"
    faults: tuple[AnyFault, ...] = ()
    swells: tuple[Swell, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which address pairs take a path. An address or a network each; an empty source is any."""

    destination: str
    source: str = ""
    path: Path
