"""What the made-up network decides for each packet, without any packet."""

import msgspec
import pytest

from smokemesh.netlab.fate import Did, decide, pair_key, weight
from smokemesh.netlab.path import Corrupt, Delay, Duplicate, Lose, Path, Refuse, Route, Swell
from smokemesh.netlab.table import PathTable

KEY = pair_key(7, b"\x0a\0\0\1", b"\xc0\0\2\1")


def test_every_tenth_packet_is_lost_and_no_other() -> None:
    path = Path(delay=0.01, faults=(Lose(every=10),))
    lost = [number for number in range(1, 101) if Did.LOST in decide(path, KEY, number, 0.0).did]
    assert lost == list(range(10, 101, 10))


def test_a_share_is_met_in_the_long_run() -> None:
    path = Path(faults=(Lose(share=0.1),))
    lost = sum(Did.LOST in decide(path, KEY, number, 0.0).did for number in range(1, 20_001))
    assert lost == pytest.approx(2_000, abs=3 * (20_000 * 0.1 * 0.9) ** 0.5)


def test_fate_depends_on_seed_pair_and_number_only() -> None:
    path = Path(delay=0.01, jitter=0.005, faults=(Lose(share=0.3), Duplicate(share=0.3)))
    once = [decide(path, KEY, number, 0.0) for number in range(1, 50)]
    assert [decide(path, KEY, number, 0.0) for number in reversed(range(1, 50))][::-1] == once
    other = pair_key(8, b"\x0a\0\0\1", b"\xc0\0\2\1")
    assert [decide(path, other, number, 0.0) for number in range(1, 50)] != once


@pytest.mark.parametrize(
    ("shape", "mean", "deviation"),
    [("uniform", 0.105, 0.01 / 12**0.5), ("exponential", 0.110, 0.01), ("normal", 0.100, 0.01)],
)
def test_jitter_has_the_shape_asked_for(shape: str, mean: float, deviation: float) -> None:
    path = msgspec.convert({"delay": 0.1, "jitter": 0.01, "shape": shape}, Path)
    delays = [decide(path, KEY, number, 0.0).delays[0] for number in range(1, 20_001)]
    average = sum(delays) / len(delays)
    assert average == pytest.approx(mean, abs=4 * deviation / len(delays) ** 0.5)
    assert (sum((each - average) ** 2 for each in delays) / len(delays)) ** 0.5 == pytest.approx(deviation, rel=0.03)


def test_faults_add_up() -> None:
    refuse = Refuse(every=4, type=3, code=1)
    path = Path(delay=0.01, faults=(Delay(every=2, by=0.5), Duplicate(every=2, copies=2, gap=0.1), refuse))
    assert decide(path, KEY, 1, 0.0).delays == (0.01,)
    second = decide(path, KEY, 2, 0.0)
    assert second.did == Did.DELAYED | Did.DUPLICATED
    assert second.delays == pytest.approx((0.51, 0.61, 0.71))
    assert decide(path, KEY, 4, 0.0).refusal == refuse


def test_corruption_says_whether_the_checksum_is_stale() -> None:
    assert decide(Path(faults=(Corrupt(every=1, stale=True),)), KEY, 1, 0.0).stale
    assert not decide(Path(faults=(Corrupt(every=1),)), KEY, 1, 0.0).stale


def test_a_swell_peaks_when_it_should() -> None:
    swell = Swell(period=86400.0, peak=75600.0, sharpness=3.0, delay=0.004, loss=1.0)
    assert weight(swell, 86400.0 * 20_000 + 75600.0) == pytest.approx(1.0)
    assert weight(swell, 75600.0 - 43200.0) == pytest.approx(0.0)
    assert decide(Path(delay=0.01, swells=(swell,)), KEY, 1, 75600.0).did == Did.LOST
    assert decide(Path(delay=0.01, swells=(swell,)), KEY, 1, 32400.0).delays == pytest.approx((0.01,))


def route(destination: str, delay: float, source: str = "") -> Route:
    return Route(destination=destination, source=source, path=Path(delay=delay))


def test_the_most_specific_destination_wins_then_the_most_specific_source() -> None:
    table = PathTable()
    table.set(
        [
            route("192.0.2.0/24", 1.0),
            route("192.0.2.7", 2.0),
            route("192.0.2.7", 3.0, source="10.0.0.0/8"),
            route("192.0.2.7", 4.0, source="10.0.0.1"),
            route("2001:db8::/32", 5.0),
        ]
    )
    a, b = b"\x0a\0\0\1", b"\x0b\0\0\1"

    def delay(source: bytes, destination: bytes) -> float:
        path = table.find(source, destination)
        assert path is not None
        return path.delay

    assert delay(a, b"\xc0\0\2\1") == 1.0
    assert delay(b, b"\xc0\0\2\7") == 2.0
    assert delay(b"\x0a\1\1\1", b"\xc0\0\2\7") == 3.0
    assert delay(a, b"\xc0\0\2\7") == 4.0
    assert delay(bytes(16), bytes.fromhex("20010db8") + bytes(12)) == 5.0
    assert table.find(a, b"\xc0\0\3\1") is None


def test_a_path_is_replaced_by_one_for_the_same_pair() -> None:
    table = PathTable()
    table.set([route("192.0.2.7", 1.0)])
    table.set([route("192.0.2.7", 2.0)])
    path = table.find(b"\x0a\0\0\1", b"\xc0\0\2\7")
    assert path is not None
    assert path.delay == 2.0


def test_a_path_between_two_families_is_refused() -> None:
    with pytest.raises(ValueError, match="different families"):
        PathTable().set([route("192.0.2.7", 1.0, source="fd00::1")])


def test_routes_survive_the_wire() -> None:
    path = Path(delay=0.1, faults=(Lose(every=10), Refuse(share=0.5, type=3, code=13)), swells=(Swell(jitter=0.1),))
    sent = Route(destination="192.0.2.0/24", path=path)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Route) == sent
