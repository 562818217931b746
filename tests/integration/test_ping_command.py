"""`smokemesh ping` beside fping: typed alike, it answers alike."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from smokemesh.netlab.network import Network, Site
from smokemesh.netlab.path import Delay, Duplicate, Lose, Path, Refuse

pytestmark = pytest.mark.privileged

HERE = {"here": ("10.0.0.1", "fd00::1")}
SILENT, LATE, TWICE, REFUSED = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
PATHS = {
    SILENT: Path(faults=(Lose(every=1),)),
    LATE: Path(faults=(Delay(every=2, by=0.15),)),
    TWICE: Path(faults=(Duplicate(every=2),)),
    REFUSED: Path(faults=(Refuse(every=1, type=3, code=1),)),
}
PING = [sys.executable, "-m", "smokemesh", "ping"]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Network(HERE, PATHS) as net:
        here = net["here"]
        here.run(["ip", "route", "add", "unreachable", "198.51.100.0/24"])
        yield here


def ping(site: Site, *words: str, **options: object) -> "subprocess.CompletedProcess[str]":
    done = site.run([*PING, *words], timeout=30, **options)
    assert "Traceback" not in done.stderr
    return done


def alike(text: str) -> str:
    """Output with what differs from run to run taken out: times, RTTs, averages."""
    text = re.sub(r"\[\d{10}\.\d{5}\]", "[TIME]", text)
    text = re.sub(r"\b\d+\.\d+\b(?!\.)", "N", re.sub(r"(\d+\.\d+\.\d+\.\d+)", lambda m: m[1].replace(".", "_"), text))
    return re.sub(r" +N", " N", text)


SAME = [
    ["127.0.0.1", "::1", SILENT, "-t", "50", "-r", "1"],
    ["-a", "127.0.0.1", SILENT, "-t", "50", "-r", "1"],
    ["-u", "127.0.0.1", SILENT, "-t", "50", "-r", "1"],
    ["-q", "127.0.0.1", SILENT, "-t", "50", "-r", "0"],
    ["-e", "127.0.0.1"],
    ["-C", "3", "-p", "50", "-q", "127.0.0.1", SILENT, "fd00::1"],
    ["-c", "3", "-p", "50", "-q", "127.0.0.1", SILENT, "10.0.0.1"],
    ["-c", "2", "-p", "50", "127.0.0.1"],
    ["-C", "2", "-p", "50", "127.0.0.1"],
    ["-c", "2", "-p", "50", "-D", "127.0.0.1"],
    ["-c", "2", "-p", "50", "-b", "100", "-O", "32", "-H", "9", "-M", "-S", "127.0.0.5", "-I", "lo", "127.0.0.1"],
    ["-C", "2", "-p", "50", "-q", "198.51.100.1", "127.0.0.1"],
    ["-4", "-C", "1", "-q", "127.0.0.1"],
    ["-6", "-C", "1", "-q", "::1"],
    ["-C", "4", "-q", "-p", "50", "-t", "50", LATE],
]


@pytest.mark.peer("fping")
@pytest.mark.parametrize("words", SAME, ids=" ".join)
def test_typed_alike_it_answers_alike(site: Site, words: list[str]) -> None:
    ours, theirs = ping(site, *words), site.run(["fping", *words], timeout=30)
    assert (alike(ours.stdout), alike(ours.stderr), ours.returncode) == (
        alike(theirs.stdout), alike(theirs.stderr), theirs.returncode,
    )  # fmt: skip


@pytest.mark.peer("fping")
def test_exit_codes_are_fpings(site: Site) -> None:
    for words, status in (
        (["127.0.0.1"], 0),
        (["-t", "50", "-r", "0", "127.0.0.1", SILENT], 1),
        (["127.0.0.1", "nosuch.invalid"], 2),
        (["-S", "203.0.113.9", "127.0.0.1"], 4),
        (["-f", "/nonexistent"], 4),
    ):
        assert ping(site, *words).returncode == status == site.run(["fping", *words], timeout=30).returncode


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--nope", "127.0.0.1"], 3, "no such option '?--nope"),
        (["-c", "x", "127.0.0.1"], 3, "'x' is not a valid integer"),
        (["-c", "0", "127.0.0.1"], 3, "0 is not in the range"),
        (["-b", "65508", "127.0.0.1"], 3, "65508 is not in the range"),
        (["-c", "1", "-C", "1", "127.0.0.1"], 3, "-c, -C and -l exclude one another"),
        (["-O", "256", "127.0.0.1"], 3, "--tos 256: is not a byte, write 0..255 or 0x00..0xff"),
        (["-O", "0xb9", "127.0.0.1"], 3, r"--tos 0xb9: its lowest two bits are ECN's \(RFC 3168\); write 0xb8"),
        (["-O", "1", "--dscp", "1", "127.0.0.1"], 3, "--tos and --dscp set the same byte; give one"),
        ([], 3, "no host to ping; name one, or a file of them with -f"),
        (["-f", "hosts", "127.0.0.1"], 3, "hosts are either typed or read with -f, not both"),
        (["-f", "/nonexistent"], 4, "/nonexistent: No such file or directory$"),
        (
            ["-S", "203.0.113.9", "127.0.0.1"],
            4,
            "source 203.0.113.9: is not an address of this machine; see `ip address`$",
        ),
        (["-S", "nonsense", "127.0.0.1"], 4, "source nonsense: is not an IPv4 address$"),
        (["-S", "127.0.0.1", "::1"], 4, "source 127.0.0.1: is not an IPv6 address$"),
        (["-I", "nope0", "127.0.0.1"], 4, "interface nope0: does not exist here; see `ip link`$"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_typed_wrongly_it_says_why_in_one_line(site: Site, words: list[str], status: int, message: str) -> None:
    done = ping(site, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert re.match(f"smokemesh: .*{message}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_that_is_not_found(site: Site) -> None:
    done = ping(site, "nosuch.invalid", "127.0.0.1")
    assert done.returncode == 2
    assert done.stdout == "127.0.0.1 is alive\n"
    assert done.stderr.startswith("nosuch.invalid: ")


def test_hosts_from_a_file_and_from_standard_input(site: Site) -> None:
    lines = "127.0.0.1\n# none\n\n::1 ignored\n"
    done = ping(site, "-f", "-", "-C", "1", "-q", input=lines)
    assert [line.split(" : ")[0].strip() for line in done.stderr.splitlines()] == ["127.0.0.1", "::1"]
    done = ping(site, "-f", "-", input=f"{lines}b@d\n")
    assert (done.returncode, done.stderr) == (3, "smokemesh: <stdin>:5: 'b@d' is not a host name or address\n")


def test_json_tells_late_lost_and_twice_apart(site: Site) -> None:
    done = ping(site, "--json", "-C", "4", "-p", "60", "-t", "100", LATE, SILENT, TWICE, REFUSED, "127.0.0.1")
    late, silent, twice, refused, loopback = map(json.loads, done.stdout.splitlines())
    assert (late["received"], late["late"], late["flags"]) == (4, 2, ["late", "reordered"])
    assert late["outcomes"] == ["answered", "late", "answered", "late"]
    assert 0.15 < late["rtts"][1] < 0.2
    assert (silent["loss"], silent["rtts"], silent["outcomes"]) == (1.0, [None] * 4, ["lost"] * 4)
    assert (twice["received"], twice["duplicates"]) == (4, 2)
    assert (refused["errors"], refused["error"]) == (4, "ICMP Host Unreachable")
    assert loopback["outcomes"] == ["answered"] * 4
    assert done.returncode == 1


def test_late_answers_are_counted_apart(site: Site) -> None:
    done = ping(site, "-c", "4", "-q", "-s", "-p", "60", "-t", "100", LATE)
    assert f"{LATE} : xmt/rcv/%loss = 4/2/50%" in done.stderr
    assert ", late = 2\n" in done.stderr
    assert "       2 late (answered after the timeout)\n" in done.stderr


def test_errors_and_duplicates_are_shown(site: Site) -> None:
    done = ping(site, "-c", "2", "-p", "60", TWICE, REFUSED)
    assert f"{TWICE} : duplicate for [1], 64 bytes, " in done.stdout
    assert f"ICMP Host Unreachable for ICMP Echo sent to {REFUSED}\n" in done.stderr
    done = ping(site, "-r", "0", "198.51.100.1")
    assert "198.51.100.1: error while sending ping: No route to host\n" in done.stderr


def test_loop_mode_runs_until_ctrl_c(site: Site) -> None:
    program = site.start(
        [*PING, "-l", "-p", "20", "127.0.0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    lines = [program.stdout.readline() for _ in range(25)]
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=10)
    assert [int(re.search(r"\[(\d+)\]", line)[1]) for line in lines] == list(range(25))  # type: ignore[index]
    assert re.match(r"\n127.0.0.1 : xmt/rcv/%loss = \d+/\d+/0%, min/avg/max = ", errors)
    assert program.returncode == 0


@pytest.mark.peer("fping")
def test_the_interval_spreads_packets(site: Site) -> None:
    """20 ms between any two packets to five hosts: the period grows to what that needs, as with fping."""
    begin = time.monotonic()
    done = ping(site, "-C", "2", "-q", "-i", "20", "-p", "10", *(f"127.0.0.{i}" for i in range(1, 6)))
    assert done.returncode == 0
    assert time.monotonic() - begin >= 9 * 0.02


def test_environment_variables_stand_for_options(site: Site) -> None:
    done = ping(site, "127.0.0.1", env={**os.environ, "SMOKEMESH_PING_COUNT": "1", "SMOKEMESH_PING_QUIET": "1"})
    assert done.stderr.startswith("127.0.0.1 : xmt/rcv/%loss = 1/1/0%")


@pytest.fixture
def ports(site: Site) -> Iterator[tuple[int, int]]:
    """A port of loopback where somebody listens, and one where nobody does."""
    with site.listen(4711):
        yield 4711, 4712


def test_tcp_in_fpings_forms(site: Site, ports: tuple[int, int]) -> None:
    opened, closed = (str(port) for port in ports)
    done = ping(site, "--tcp", opened, "-C", "3", "-p", "20", "127.0.0.1", "10.0.0.1")
    assert re.search(
        rf"^127.0.0.1 : \[0\], port {opened}, [\d.]+ ms \([\d.]+ avg, 0% loss\)$", done.stdout, re.MULTILINE
    )
    assert re.search(r"^127.0.0.1 : [\d.]+ [\d.]+ [\d.]+$", done.stderr, re.MULTILINE)
    assert f"10.0.0.1: port {opened} is closed" in done.stderr  # nobody listens at that address
    assert done.returncode == 0
    alive = ping(site, "--tcp", closed, "127.0.0.1")
    assert (alive.stdout, alive.stderr, alive.returncode) == (
        "127.0.0.1 is alive\n", f"127.0.0.1: port {closed} is closed\n", 0,
    )  # fmt: skip
    dead = ping(site, "--tcp", closed, "-t", "50", "-r", "1", "-q", SILENT)
    assert (dead.stdout, dead.stderr, dead.returncode) == ("", "", 1)
    stats = ping(site, "--tcp", opened, "-c", "2", "-p", "20", "-q", "-s", "127.0.0.1")
    assert "2 TCP SYNs sent" in stats.stderr
    answer = json.loads(ping(site, "--tcp", closed, "-c", "2", "-p", "20", "--json", "127.0.0.1").stdout)
    assert (answer["received"], answer["error"]) == (2, "Connection refused")


@pytest.mark.parametrize(
    "words", [["--tcp", "0"], ["--tcp", "65536"], ["--tcp", "80", "-b", "9"], ["--tcp", "80", "-M"]]
)
def test_tcp_typed_wrong(site: Site, words: list[str]) -> None:
    done = ping(site, *words, "127.0.0.1")
    assert done.returncode == 3
    assert "--tcp" in done.stderr
