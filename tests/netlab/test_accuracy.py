"""The accuracy benchmark reads captures right: a real capture of a real fping in a made-up network."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.accuracy import __main__ as accuracy
from benchmarks.accuracy.capture import captured, round_trips

from smokemesh.netlab.network import Network
from smokemesh.netlab.path import Lose
from smokemesh.netlab.path import Path as Way

SITES = {"here": ("198.18.0.1", "2001:db8:1::1")}
ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


@pytest.mark.privileged
@pytest.mark.peer("fping", "tcpdump")
def test_the_capture_sees_each_ping_in_order(tmp_path: Path) -> None:
    paths = {address: Way(delay=0.002) for address in ADDRESSES}
    paths["192.0.2.2"] = Way(delay=0.002, faults=(Lose(every=3),))
    file = tmp_path / "wire.pcap"
    with Network(SITES, paths, wires=True) as net:
        with captured(net["here"], file):
            said = net["here"].run(["fping", "-C", "6", "-q", "-p", "30", "-i", "1", *ADDRESSES]).stderr
        truth = net.truth()
    reported, seen = accuracy.reported(said), round_trips(file)
    assert set(reported) == set(seen) == set(ADDRESSES)
    assert [value is None for value in seen["192.0.2.2"]] == [False, False, True, False, False, True]
    assert np.isnan(reported["192.0.2.2"]).tolist() == [False, False, True, False, False, True]
    for address in ADDRESSES:
        records = truth.to(address)
        wire = np.array([np.nan if value is None else value for value in seen[address]])
        held = np.where(records["left"] > 0, records["left"] - records["arrived"], np.nan)
        assert ((wire > held) | np.isnan(wire)).all()  # the wire is outside the network: it sees a little more


def test_figures_are_quantiles_of_the_size_and_a_bias_with_a_sign() -> None:
    figures = accuracy.figures(np.array([-10.0, 10.0, -30.0]))
    assert figures == {"p50": 10.0, "p90": 26.0, "p99": 29.6, "p99.9": 30.0, "p100": 30.0, "bias": -10.0, "pings": 3}


def test_output_of_either_program_is_read_as_nanoseconds() -> None:
    values = accuracy.reported("192.0.2.1 : 0.41 - 12.3\n2001:db8::1 : 1.5\nsome remark\n")
    assert np.allclose(values["192.0.2.1"], [410_000, np.nan, 12_300_000], equal_nan=True)
    assert values["2001:db8::1"] == [1_500_000]
