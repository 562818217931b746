"""What `smokemesh ping` writes, form by form."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.cli import ping_report
from smokemesh.cli.ping_report import Tally, Totals
from smokemesh.cli.ping_targets import parse_hosts, resolve
from smokemesh.errors import ConfigError
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, Flag, RoundBatch

NAN = math.nan


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00004, "0.040"), (0.0009994, "0.999"), (0.001, "1.00"), (0.0012345, "1.23"), (0.0123456, "12.3"),
        (0.1234567, "123"), (12.3456, "12346"), (1234.5, "1.234e+06"),
    ],
)  # fmt: skip
def test_milliseconds_have_fpings_digits(seconds: float, text: str) -> None:
    assert ping_report.milliseconds(seconds) == text


def test_each_ping_in_order_names_padded_alike() -> None:
    rtts = np.array([[0.00004, 0.0000241], [NAN, 0.0123], [NAN, NAN]])
    assert list(ping_report.verbose_lines(["127.0.0.1", "a.example.org", "b"], rtts)) == [
        "127.0.0.1     : 0.040 0.024",
        "a.example.org : - 12.3",
        "b             : - -",
    ]


@given(st.lists(st.one_of(st.just(NAN), st.floats(1e-6, 0.01)), min_size=1, max_size=5))
def test_the_quick_way_writes_the_same(row: list[float]) -> None:
    (line,) = ping_report.verbose_lines(["x"], np.array([row]))
    assert line == "x : " + " ".join("-" if math.isnan(v) else ping_report.milliseconds(v) for v in row)


def test_counts() -> None:
    rtts = np.array([[0.00003, 0.00004, NAN], [NAN, NAN, NAN]])
    tallies = ping_report.tallies_of(rtts, [3, 3])
    assert list(ping_report.count_lines(["a", "bb"], tallies, [0, 2])) == [
        "a  : xmt/rcv/%loss = 3/2/33%, min/avg/max = 0.030/0.035/0.040",
        "bb : xmt/rcv/%loss = 3/0/100%, late = 2",
    ]


def test_a_tally_as_it_grows() -> None:
    tally = Tally()
    tally.answer(0.00004)
    assert str(tally) == "(0.040 avg, 0% loss)"
    tally.done += 2
    assert str(tally) == "(0.040 avg, 66% loss)"
    assert str(Tally(done=1)) == "(NaN avg, 100% loss)"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ERROR_ICMP4 + 0x301, "ICMP Host Unreachable"),
        (ERROR_ICMP4 + 0x30D, "ICMP Communication Administratively Prohibited"),
        (ERROR_ICMP4 + 0x3FF, "ICMP type 3 code 255"),
        (ERROR_ICMP4 + 0xB00, "ICMP Time Exceeded"),
        (ERROR_ICMP6 + 0x103, "ICMP Address Unreachable"),
        (ERROR_ICMP6 + 0x200, "ICMP Packet Too Big"),
        (ERROR_ERRNO + 101, "Network is unreachable"),
    ],
)
def test_errors_in_words(error: int, text: str) -> None:
    assert ping_report.error_text(error) == text


def test_a_line_of_json() -> None:
    batch = RoundBatch.from_columns(1, {
        "sent": [3], "received": [2], "late": [1], "errors": [1], "error": [ERROR_ICMP4 + 0x301], "time": [1],
        "flags": [Flag.LATE | Flag.ICMP_ERROR], "rtts": [0.25, 4.5e-05, NAN],
    })  # fmt: skip
    assert json.loads(ping_report.json_line("a.example.org", "192.0.2.1", batch, 0, 0.1)) == {
        "host": "a.example.org", "address": "192.0.2.1", "sent": 3, "received": 2, "late": 1, "duplicates": 0,
        "reordered": 0, "corrupted": 0, "errors": 1, "loss": pytest.approx(1 / 3), "timeout": 0.1,
        "rtts": [0.25, pytest.approx(4.5e-05), None], "outcomes": ["late", "answered", "lost"],
        "error": "ICMP Host Unreachable", "flags": ["late", "icmp_error"],
    }  # fmt: skip


def test_totals() -> None:
    totals = Totals(
        targets=3, alive=2, unknown=1, sent=9, received=5, late=1, other=2, rtts=(1e-5, 2e-5, 3e-5), elapsed=1.5
    )
    text = "\n".join(ping_report.stats_lines(totals))
    for line in (
        "       3 targets", "       2 alive", "       1 unreachable", "       1 unknown addresses",
        "       4 timeouts (waiting for response)", "       9 ICMP Echos sent", "       5 ICMP Echo Replies received",
        "       1 late (answered after the timeout)", "       2 other ICMP received", " 0.010 ms (min round trip time)",
        "        1.500 sec (elapsed real time)",
    ):  # fmt: skip
        assert f"\n {line.removeprefix(' ')}\n" in f"\n{text}\n", line


def test_a_file_of_hosts() -> None:
    data = b"127.0.0.1\n# a comment\n\n  ::1 the rest is ignored\nfe80::1%eth0#x\nb\xc3\xbccher.example\n"
    assert parse_hosts(data, "F") == ["127.0.0.1", "::1", "fe80::1%eth0", "bücher.example"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\nb@@\n", "F:2: 'b@@' is not a host name or address"),
        (b"http://a.example/\n", "F:1: 'http://a.example/' is not a host name or address"),
        (b"a\n\n\xff\xfe\n", "F:3: '��' is not a host name or address"),
        (b"-x;rm\n", "F:1: '-x;rm' is not a host name or address"),
    ],
)
def test_a_bad_line_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_hosts(data, "F")
    assert str(caught.value) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_hosts_or_one_clear_error(data: bytes) -> None:
    said = ""
    try:
        hosts = parse_hosts(data, "F")
    except ConfigError as error:
        hosts, said = [], str(error)
    assert all(host and " " not in host for host in hosts)
    assert said == "" or (said.startswith("F:") and "\n" not in said)


def test_literal_addresses_are_not_looked_up() -> None:
    hosts, problems = resolve(["127.0.0.1", "::1", "fe80::1%lo"], "auto")
    assert [host.address for host in hosts] == ["127.0.0.1", "::1", "fe80::1%lo"]
    assert problems == []
