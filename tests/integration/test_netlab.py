"""The made-up network with real packets: it does what it was told, says truly what it did, and leaves nothing behind."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path as File

import numpy as np
import pytest

from smokemesh.errors import HostError
from smokemesh.netlab.fate import Did
from smokemesh.netlab.network import Network
from smokemesh.netlab.path import Corrupt, Delay, Duplicate, Lose, Path, Refuse, Route
from smokemesh.netlab.truth import was

#: Sends echo requests by hand: address, how many, seconds apart; prints a line per answer, "sequence milliseconds".
PINGER = File(__file__).parent.parent / "netlab" / "pinger.py"

HERE = {"here": ("10.0.0.1", "fd00::1")}


def ping(net: Network, address: str, count: int = 20, gap: float = 0.004, wait: float = 0.2) -> list[tuple[int, float]]:
    """Answers as (sequence, seconds), in order of arrival."""
    done = net["here"].run([sys.executable, "-I", str(PINGER), address, str(count), str(gap), str(wait)])
    assert done.returncode == 0, done.stderr
    return [(int(line.split()[0]), float(line.split()[1])) for line in done.stdout.splitlines()]


@pytest.mark.privileged
@pytest.mark.parametrize("wires", [False, True], ids=["tun", "veth"])
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_delay_is_what_was_asked(address: str, wires: bool) -> None:
    with Network(HERE, {address: Path(delay=0.02)}, wires=wires) as net:
        answers = ping(net, address)
        truth = net.truth()
    assert [sequence for sequence, _ in answers] == list(range(20))
    assert np.median([rtt for _, rtt in answers]) == pytest.approx(0.02, abs=0.002)
    assert np.median(truth.errors()) < 0.0005
    assert truth.errors().min() >= 0.0
    assert set(truth.between(HERE["here"][":" in address], address)["number"]) == set(range(1, 21))


@pytest.mark.privileged
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_each_fault_strikes_exactly_when_it_should(address: str) -> None:
    faults = (Lose(every=10), Duplicate(every=7), Delay(every=9, by=0.03))
    with Network(HERE, {address: Path(delay=0.01, faults=faults)}) as net:
        answers = ping(net, address)
        told = net.truth().to(address)
    order = [sequence for sequence, _ in answers]
    assert set(range(20)) - set(order) == {9, 19}
    assert sorted(sequence for sequence in set(order) if order.count(sequence) > 1) == [6, 13]
    assert order.index(8) > order.index(10)
    assert list(was(told, Did.LOST).nonzero()[0]) == [9, 19]
    assert list(was(told, Did.DUPLICATED).nonzero()[0]) == [6, 13]
    assert list(was(told, Did.DELAYED).nonzero()[0]) == [8, 17]


@pytest.mark.privileged
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_kernels_drop_stale_checksums_and_programs_see_errors_as_no_answer(address: str) -> None:
    kind = 1 if ":" in address else 3
    faults = (Corrupt(every=4, stale=True), Refuse(every=5, type=kind, code=1))
    with Network(HERE, {address: Path(faults=faults)}) as net:
        answers = ping(net, address)
        told = net.truth().to(address)
    assert was(told, Did.CORRUPTED).sum() == 5
    assert was(told, Did.REFUSED).sum() == 4
    # A raw IPv4 socket sees the damaged answers, a raw IPv6 socket does not (RFC 3542 section 3.1).
    unseen = {4, 9, 14, 19} | ({3, 7, 11, 15, 19} if ":" in address else set())
    assert {sequence for sequence, _ in answers} == set(range(20)) - unseen


@pytest.mark.privileged
def test_two_sites_reach_each_other_and_other_protocols_pass() -> None:
    sites = {"here": ("10.0.0.1", "fd00::1"), "there": ("10.0.0.2", "fd00::2")}
    paths = {"10.0.0.0/24": Path(delay=0.01), "fd00::/64": Path(delay=0.02)}
    with Network(sites, paths) as net:
        assert np.median([rtt for _, rtt in ping(net, "10.0.0.2", 5)]) == pytest.approx(0.02, abs=0.003)
        assert np.median([rtt for _, rtt in ping(net, "fd00::2", 5)]) == pytest.approx(0.04, abs=0.003)
        with net["there"].entered(), socket.create_server(("10.0.0.2", 0)) as server:
            port = server.getsockname()[1]
            with net["here"].entered(), socket.create_connection(("10.0.0.2", port), 5) as client:
                accepted, _ = server.accept()
                accepted.sendall(b"hello")
                accepted.close()
                assert client.recv(5) == b"hello"


@pytest.mark.privileged
def test_paths_may_depend_on_the_source_and_change_while_packets_flow() -> None:
    sites = {"here": ("10.0.0.1",), "there": ("10.0.0.2",)}
    routes = [
        Route(destination="192.0.2.7", path=Path()),
        Route(destination="192.0.2.7", source="10.0.0.2", path=Path(faults=(Lose(every=1),))),
    ]
    with Network(sites, routes=routes) as net:
        assert len(ping(net, "192.0.2.7", 10)) == 10
        there = net["there"].run([sys.executable, "-I", str(PINGER), "192.0.2.7", "5", "0.001", "0.1"])
        assert there.stdout == ""
        net.set({"192.0.2.7": Path(faults=(Lose(every=2),))})
        assert [sequence for sequence, _ in ping(net, "192.0.2.7", 10)] == [0, 2, 4, 6, 8]
        net.truth(forget=True)
        assert len(net.truth().records) == 0
        assert ping(net, "198.51.100.1", 3) == []
        assert was(net.truth().to("198.51.100.1"), Did.NO_PATH).all()


@pytest.mark.privileged
def test_many_addresses_none_lost() -> None:
    hosts = [f"198.18.{high}.{low}" for high in range(8) for low in range(1, 251)]
    with Network(HERE, {"198.18.0.0/15": Path(delay=0.05, jitter=0.01)}) as net:
        done = net["here"].run([sys.executable, "-I", str(PINGER), ",".join(hosts), "3", "0.0001", "0.3"])
        truth = net.truth()
    assert len(done.stdout.splitlines()) == 6000
    assert len(truth.records) == 6000
    assert truth.unrecorded == 0
    assert was(truth.records, Did.ANSWERED).all()


@pytest.mark.privileged
def test_the_record_has_a_bound() -> None:
    with Network(HERE, {"192.0.2.7": Path()}, record=5) as net:
        assert len(ping(net, "192.0.2.7", 8)) == 8
        truth = net.truth()
    assert len(truth.records) == 5
    assert truth.unrecorded == 3


@pytest.mark.privileged
def test_works_without_root_of_the_host() -> None:
    """The very way an ordinary user's demo takes: all in a user namespace."""
    with Network(HERE, {"192.0.2.7": Path(delay=0.01)}, unprivileged=True) as net:
        assert len(ping(net, "192.0.2.7", 3)) == 3
        identity = net["here"].run(["cat", "/proc/self/uid_map"]).stdout.split()
    assert identity == ["0", str(os.geteuid()), "1"]


@pytest.mark.privileged
def test_a_port_inside_is_served_from_outside() -> None:
    with Network(HERE) as net, net["here"].listen(4711) as listener:
        code = "import socket; print(socket.create_connection(('127.0.0.1', 4711), 5).recv(9).decode(), end='')"
        child = net["here"].start([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, text=True)
        listener.settimeout(5)
        connection, _ = listener.accept()
        connection.sendall(b"from host")
        connection.close()
        assert child.communicate(timeout=5)[0] == "from host"


def namespaces() -> set[int]:
    """All network namespaces any process is in."""
    found = set()
    for entry in File("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(entry.stat().st_ino)
        except OSError:
            continue
    return found


def wait_for_end(pid: int) -> None:
    """Until that process (not necessarily a child) is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 10)[0], f"process {pid} is still there"
    finally:
        os.close(handle)


@pytest.mark.privileged
def test_the_end_leaves_nothing_behind() -> None:
    with Network(HERE, {"192.0.2.7": Path()}) as net:
        child = net["here"].start(["sleep", "60"])
        inside = int(net["here"].run(["stat", "-Lc", "%i", "/proc/self/ns/net"]).stdout)
        assert inside != os.stat("/proc/self/ns/net").st_ino
    assert child.returncode == -signal.SIGTERM
    assert inside not in namespaces()


@pytest.mark.privileged
def test_a_killed_owner_leaves_nothing_behind() -> None:
    code = (
        "import sys\nfrom smokemesh.netlab.network import Network\n"
        "with Network({'here': ('10.0.0.1',)}) as net:\n"
        "    child = net['here'].start(['sleep', '60'])\n"
        "    print(net._player.pid, child.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    left = [int(word) for word in owner.stdout.readline().split()]
    owner.kill()
    owner.communicate(timeout=10)
    for pid in left:
        wait_for_end(pid)


@pytest.mark.privileged
def test_what_this_host_does_not_allow_is_one_line_with_the_cure() -> None:
    code = (
        "import os\nfrom smokemesh.errors import HostError\nfrom smokemesh.netlab import namespace\n"
        "os.setgid(65534)\nos.setuid(65534)\n"
        "try:\n    namespace.new_network_namespace()\nexcept HostError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("network namespace: Operation not permitted; run as root"), done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.privileged
def test_a_network_whose_process_dies_says_so() -> None:
    with Network(HERE) as net:
        net._player.kill()
        net._player.wait()
        with pytest.raises(HostError, match="process is gone"):
            net.truth()


def test_started_by_hand_it_says_what_to_type() -> None:
    done = subprocess.run([sys.executable, "-m", "smokemesh.netlab"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "smokemesh demo" in done.stderr
