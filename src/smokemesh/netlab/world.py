"""The world of `smokemesh demo`: three cities that measure, and what they measure. Delays are round trips in seconds.

Addresses come from the ranges set aside for documentation and benchmarks (RFC 5737, RFC 3849, RFC 2544), so none of
them is anyone's, even if a packet could leave the namespaces.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from smokemesh.netlab.path import Delay, Duplicate, Lose, Path, Refuse, Route, Swell

#: In the evening people are at home: 21:00 of the made-up day.
_EVENING = 21 / 24
_STRAIGHT = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """Where an agent stands."""

    title: str
    color: str
    addresses: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is measured. `path` is what happens on the way besides the distance."""

    title: str
    remark: str
    address: str
    #: The city it stands in; "" for an anycast address, which is near everywhere.
    city: str = ""
    path: Path = _STRAIGHT
    #: What the evening adds, at its height.
    evening_delay: float = 0.0
    evening_jitter: float = 0.0
    evening_loss: float = 0.0


CITIES = {
    "frankfurt": City(title="Frankfurt", color="1f77b4", addresses=("198.18.0.1", "2001:db8:1::1")),
    "singapore": City(title="Singapore", color="d95f02", addresses=("198.18.0.2", "2001:db8:2::1")),
    "saopaulo": City(title="São Paulo", color="1b9e77", addresses=("198.18.0.3", "2001:db8:3::1")),
}

_DISTANCES = {
    frozenset(("frankfurt", "singapore")): 0.158,
    frozenset(("frankfurt", "saopaulo")): 0.203,
    frozenset(("singapore", "saopaulo")): 0.327,
}
_NEARBY, _ANYCAST = 0.002, 0.006
_CALM = Path(jitter=0.0004, shape="exponential")

#: Group -> its title, and name -> host.
GROUPS: dict[str, tuple[str, dict[str, Host]]] = {
    "resolvers": (
        "Public resolvers",
        {
            "anycast-a": Host(
                title="Anycast A", remark="The same address everywhere, always near.", address="192.0.2.53", path=_CALM
            ),
            "anycast-b": Host(
                title="Anycast B",
                remark="Near as well, and busy in the evening.",
                address="192.0.2.153",
                path=_CALM,
                evening_delay=0.003,
                evening_jitter=0.004,
            ),
        },
    ),
    "services": (
        "Web services",
        {
            "shop": Host(
                title="Shop, Frankfurt",
                remark="Steady by day, crowded in the evening.",
                address="198.51.100.10",
                city="frankfurt",
                path=_CALM,
                evening_delay=0.006,
                evening_jitter=0.012,
            ),
            "shop-v6": Host(
                title="Shop, Frankfurt, over IPv6",
                remark="The same host by its IPv6 address: another way there, 9 ms longer.",
                address="2001:db8:100::10",
                city="frankfurt",
                path=Path(delay=0.009, jitter=0.0006, shape="exponential"),
                evening_jitter=0.002,
            ),
            "api": Host(
                title="API, Singapore",
                remark="Two ways of unequal length: every third packet takes the longer one.",
                address="198.51.100.20",
                city="singapore",
                path=Path(jitter=0.0005, shape="exponential", faults=(Delay(every=3, by=0.012),)),
            ),
            "images": Host(
                title="Images, São Paulo",
                remark="A little loss at the height of the evening.",
                address="198.51.100.30",
                city="saopaulo",
                path=_CALM,
                evening_delay=0.010,
                evening_jitter=0.015,
                evening_loss=0.06,
            ),
        },
    ),
    "access": (
        "Last miles",
        {
            "dsl": Host(
                title="Home, DSL",
                remark="Full buffers in the evening.",
                address="203.0.113.11",
                city="frankfurt",
                path=Path(delay=0.014, jitter=0.001, shape="exponential"),
                evening_delay=0.045,
                evening_jitter=0.040,
                evening_loss=0.03,
            ),
            "mobile": Host(
                title="Mobile phone",
                remark="A radio cell: always spread wide.",
                address="203.0.113.12",
                city="singapore",
                path=Path(delay=0.035, jitter=0.018, shape="exponential"),
                evening_jitter=0.025,
            ),
            "wireless-bridge": Host(
                title="Wireless bridge",
                remark="Repeats what it did not hear: mostly quick, sometimes not.",
                address="203.0.113.13",
                city="saopaulo",
                path=Path(delay=0.004, jitter=0.003, shape="exponential", faults=(Delay(share=0.1, by=0.020),)),
            ),
        },
    ),
    "faults": (
        "What can go wrong",
        {
            "lossy": Host(
                title="Lossy path",
                remark="Every tenth packet is dropped: 10 % loss, exactly.",
                address="203.0.113.101",
                city="frankfurt",
                path=msgspec.structs.replace(_CALM, faults=(Lose(every=10),)),
            ),
            "random-loss": Host(
                title="Random loss",
                remark="Each packet is dropped with a probability of 3 %.",
                address="203.0.113.102",
                city="singapore",
                path=msgspec.structs.replace(_CALM, faults=(Lose(share=0.03),)),
            ),
            "dead": Host(
                title="Dead host",
                remark="Nobody answers.",
                address="203.0.113.103",
                path=Path(faults=(Lose(every=1),)),
            ),
            "late": Host(
                title="Late answers",
                remark="Every tenth answer takes 1.2 s longer: past the timeout, so it is late. It is not lost.",
                address="203.0.113.104",
                city="saopaulo",
                path=msgspec.structs.replace(_CALM, faults=(Delay(every=10, by=1.2),)),
            ),
            "duplicates": Host(
                title="Duplicates",
                remark="Every fifth packet is answered twice.",
                address="203.0.113.105",
                city="frankfurt",
                path=msgspec.structs.replace(_CALM, faults=(Duplicate(every=5),)),
            ),
            "reordered": Host(
                title="Reordering",
                remark="Every tenth answer is overtaken by the next.",
                address="203.0.113.106",
                city="singapore",
                path=msgspec.structs.replace(_CALM, faults=(Delay(every=10, by=0.25),)),
            ),
            "refused": Host(
                title="Refused now and then",
                remark="Every fourth packet is answered by a router: administratively prohibited.",
                address="203.0.113.107",
                city="frankfurt",
                path=msgspec.structs.replace(_CALM, faults=(Refuse(every=4, type=3, code=13, router="203.0.113.1"),)),
            ),
        },
    ),
}


def routes(day: float) -> Iterator[Route]:
    """All paths of the world, with days of `day` seconds."""
    for pair, distance in _DISTANCES.items():
        here, there = (CITIES[name].addresses for name in sorted(pair))
        for one, other in zip(here, there, strict=True):
            for source, destination in ((one, other), (other, one)):
                path = _aged(Host(title="", remark="", address=destination, path=_CALM, evening_delay=0.002), day)
                path = msgspec.structs.replace(path, delay=distance / 2)
                yield Route(source=source, destination=destination, path=path)
    for _, hosts in GROUPS.values():
        for host in hosts.values():
            path = _aged(host, day)
            for name, city in CITIES.items():
                far = msgspec.structs.replace(path, delay=path.delay + _distance(name, host.city))
                yield Route(source=city.addresses[":" in host.address], destination=host.address, path=far)


def _distance(name: str, city: str) -> float:
    if not city:
        return _ANYCAST
    return _NEARBY if name == city else _DISTANCES[frozenset((name, city))]


def _aged(host: Host, day: float) -> Path:
    """The host's path with its evening."""
    swell = Swell(
        period=day,
        peak=_EVENING * day,
        sharpness=2.0,
        delay=host.evening_delay,
        jitter=host.evening_jitter,
        loss=host.evening_loss,
    )
    return msgspec.structs.replace(host.path, swells=(swell,))
