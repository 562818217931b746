"""The accuracy benchmark reads captures right: a real capture of a real fping in a made-up network."""

import subprocess
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
            done = net["here"].run(["fping", "-C", "6", "-q", "-p", "30", "-i", "1", *ADDRESSES])
        truth = net.truth()
    reported, seen = accuracy.said_by_fping(done), round_trips(file)
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


def ended(stdout: str = "", stderr: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.CompletedProcess([], 0, stdout, stderr)


def test_output_of_either_program_is_read_as_nanoseconds() -> None:
    values = accuracy.said_by_fping(ended(stderr="192.0.2.1 : 0.41 - 12.3\n2001:db8::1 : 1.5\nsome remark\n"))
    assert np.allclose(values["192.0.2.1"], [410_000, np.nan, 12_300_000], equal_nan=True)
    assert values["2001:db8::1"] == [1_500_000]
    lines = '{"host": "a", "address": "192.0.2.1", "rtts": [0.00041, null]}\n{"address": "2001:db8::1", "rtts": []}\n'
    values = accuracy.said_by_smokemesh(ended(stdout=lines))
    assert np.allclose(values["192.0.2.1"], [410_000, np.nan], equal_nan=True)
    assert values["2001:db8::1"] == []


def test_pings_told_too_coarsely_are_left_out() -> None:
    found = accuracy.difference("a", [410_000.0, float("nan"), 1_300_000.0, 5e5], [400_000, 400_000, 1_250_000, None])
    assert found.tolist() == [10.0]
