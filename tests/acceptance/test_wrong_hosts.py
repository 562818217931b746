"""What is wrong with a host rather than with a file: real programs say it in one line, with the cure and the exit status.

`powerless` runs a program without any capability in a network namespace of its own, where `ping_group_range` allows
nobody to open ICMP sockets; it stays the owner of its files.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SMOKEMESH = [sys.executable, "-m", "smokemesh"]
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
NOBODY = 65534
CURE = (
    f"run `sudo setcap cap_net_raw+ep {os.path.realpath(sys.executable)}`, "
    "or allow everyone: `sudo sysctl -w net.ipv4.ping_group_range='0 2147483647'`"
)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory with a right configuration for master and agent."""
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("correct-horse-battery\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "smokemesh.yaml").write_text(
        "listen: 127.0.0.1:0\n"
        f"agents: {{boomer: {{secret_file: {tmp_path}/secret}}}}\n"
        "targets: {loopback: {host: 127.0.0.1, agents: [boomer]}}\n"
    )
    (tmp_path / "agent.yaml").write_text(
        f"name: boomer\nmasters: [http://127.0.0.1:9]\nshared_secret: {tmp_path}/secret\ndata: {tmp_path}/data\n"
    )
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run(*arguments: str | Path, before: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Exit status and the lines on stderr that are no log."""
    command = [*before, *SMOKEMESH, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("time=")]


def master(host: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("master", "--config", host / "smokemesh.yaml", "--data", host / "data", *more)


def agent(host: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("agent", "--config", host / "agent.yaml", *more)


def up(host: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("up", "--config", host / "smokemesh.yaml", "--data", host / "data", *more)


@pytest.mark.parametrize("program", [master, agent])
def test_a_secret_file_others_can_read(host: Path, program) -> None:  # type: ignore[no-untyped-def]
    secret = host / "secret"
    secret.chmod(0o644)
    message = f"smokemesh: {secret}: mode 0644 lets others read the secret; run: chmod 600 {secret}"
    assert run(*program(host)) == (3, [message])


@pytest.mark.parametrize("program", [master, agent])
def test_a_secret_file_without_a_secret(host: Path, program) -> None:  # type: ignore[no-untyped-def]
    secret = host / "secret"
    secret.write_text("")
    message = f"smokemesh: {secret}: holds no secret; write one with: head -c 32 /dev/urandom | base64 > {secret}"
    assert run(*program(host)) == (2, [message])


@pytest.mark.parametrize("program", [master, up])
def test_a_port_in_use(host: Path, taken: int, program) -> None:  # type: ignore[no-untyped-def]
    message = (
        f"smokemesh: cannot listen on 127.0.0.1:{taken}: Address already in use; "
        "stop the program that listens there, or choose another port with --listen HOST:PORT"
    )
    assert run(*program(host, "--listen", f"127.0.0.1:{taken}")) == (3, [message])


@pytest.mark.privileged
@pytest.mark.parametrize("program", [master, agent, up])
def test_a_data_directory_that_cannot_be_written(host: Path, program) -> None:  # type: ignore[no-untyped-def]
    foreign = host / "foreign"
    foreign.mkdir()
    os.chown(foreign, NOBODY, NOBODY)
    status, lines = run(*program(host, "--data", foreign / "data"), before=tuple(POWERLESS))
    assert (status, len(lines)) == (3, 1)
    assert lines[0].startswith(f"smokemesh: data directory {foreign}/data")
    assert "Permission denied; " in lines[0]
    assert "choose another with --data" in lines[0]


def test_a_data_directory_that_is_a_file(host: Path) -> None:
    for program in (master, agent, up):
        status, lines = run(*program(host, "--data", host / "agent.yaml"))
        assert (status, len(lines)) == (3, 1), (program, lines)
        assert lines[0].startswith(f"smokemesh: data directory {host}/agent.yaml")


def powerless(host: Path) -> tuple[str, ...]:
    script = host / "powerless"
    script.write_text(f'ip link set lo up && exec {" ".join(POWERLESS)} "$@"\n')
    return ("unshare", "--net", "sh", str(script))


@pytest.mark.privileged
def test_no_right_to_open_icmp_sockets(host: Path) -> None:
    message = f"smokemesh: ICMP socket for IPv4: Operation not permitted: {CURE}"
    assert run(*agent(host), before=powerless(host)) == (3, [message])
    (host / "smokemesh.yaml").write_text("listen: 127.0.0.1:0\ntargets: {loopback: {host: 127.0.0.1}}\n")
    assert run(*up(host), before=powerless(host)) == (3, [message])
    # fping's own code for a system call that failed.
    assert run("ping", "-c", "1", "127.0.0.1", before=powerless(host)) == (4, [message])


@pytest.mark.parametrize("program", ["master", "up"])
def test_a_mistake_in_the_file_stops_the_program_before_it_begins(program: str, tmp_path: Path) -> None:
    file = tmp_path / "smokemesh.yaml"
    file.write_text("targets:\n  gateway: {host: 300.1.2.3}\n")
    message = (
        f'smokemesh: {file}:2: targets.gateway.host: "300.1.2.3" is not an address; '
        "write an IPv4 or IPv6 address or a host name"
    )
    assert run(program, "--config", file, "--data", tmp_path / "data") == (2, [message])


def test_an_agent_without_anything_says_what_it_needs() -> None:
    assert run("agent") == (
        2,
        ["smokemesh: neither --config FILE nor --master-url URL is given; see `smokemesh agent --help`"],
    )
