"""`smokemesh doctor` on this very host, and on hosts that lack something."""

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from smokemesh.cli import checkup
from smokemesh.cli.checkup import BAD, NOTE, OK, Finding
from smokemesh.cli.main import main

NOBODY = 65534


def by_name(*arguments: str) -> tuple[int, dict[str, Finding]]:
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    findings = [Finding(**found) for found in json.loads(result.stdout)]
    return result.exit_code, {finding.name: finding for finding in findings}


def test_it_looks_at_everything_and_measures_loopback(tmp_path: Path) -> None:
    status, found = by_name("--data", str(tmp_path), "--listen", "127.0.0.1:0")
    assert list(found) == [
        "python", "packages", "icmp4", "icmp6", "loopback", "receive buffer", "open files", "clock", "time zone",
        "data directory", "port", "namespaces",
    ]  # fmt: skip
    assert all(finding.status in (OK, NOTE, BAD) for finding in found.values())
    assert not [f for f in found.values() if f.status == BAD and not f.fix and f.name != "loopback"]
    assert status == (3 if any(finding.status == BAD for finding in found.values()) else 0)
    assert found["python"].status == found["packages"].status == found["port"].status == OK


@pytest.mark.privileged
def test_with_every_right_nothing_is_bad(tmp_path: Path) -> None:
    status, found = by_name("--data", str(tmp_path), "--listen", "127.0.0.1:0")
    assert status == 0
    assert found["icmp4"].status == OK
    assert found["loopback"].found.startswith("127.0.0.1 answers within ")


def test_the_table_for_people_keeps_each_fix_on_one_line(tmp_path: Path) -> None:
    lines = CliRunner().invoke(main, ["doctor", "--data", str(tmp_path / "missing" / "deep")]).stdout.splitlines()
    assert lines[0].startswith("ok   python          3.")
    assert all(line.startswith(("ok   ", "note ", "BAD  ", " " * 21 + "fix: ")) for line in lines)


def test_a_port_in_use_is_told_with_another_to_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        found = checkup.port("127.0.0.1", number)
    assert found.status == NOTE
    assert found.found == f"127.0.0.1:{number}: Address already in use"
    assert found.fix == "smokemesh up --listen 127.0.0.1:PORT with another port (0 takes a free one)"


def test_a_data_directory_where_rights_do_not_tell() -> None:
    found = checkup.data_directory("/proc/smokemesh")
    assert (found.status, found.fix) == (checkup.BAD, "choose another with --data DIR")
    assert found.found.startswith("/proc: ")


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("")
    found = checkup.data_directory(str(file))
    assert (found.status, found.found, found.fix) == (BAD, f"{file} is no directory", "choose another with --data DIR")


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))
    assert checkup.open_files() == Finding(
        "open files", NOTE, "limit 256: enough for an agent, few for a master", "in the systemd unit: LimitNOFILE=4096"
    )


def test_an_unknown_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Mars/Olympus")
    assert checkup.time_zone().found == "TZ=Mars/Olympus is unknown here, logs are in UTC"
    monkeypatch.setenv("TZ", "CST-8")
    assert checkup.time_zone().status == OK


def test_a_wrong_place_to_listen_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["doctor", "--listen", "8080"])
    assert result.exit_code == 2
    assert result.stderr == (
        'smokemesh: --listen "8080" is not an address to listen on; write HOST:PORT, like 127.0.0.1:8080 or [::]:8080\n'
    )


@pytest.mark.privileged
def test_a_user_without_rights_gets_exit_status_3_and_the_cure(tmp_path: Path) -> None:
    """Without any capability, in a network namespace of its own, where `ping_group_range` allows nobody."""
    foreign = tmp_path / "data"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, NOBODY, NOBODY)
    powerless = ["unshare", "--net", "setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    done = subprocess.run(
        [*powerless, sys.executable, "-m", "smokemesh", "doctor", "--json", "--data", str(foreign)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    found = {f["name"]: Finding(**f) for f in json.loads(done.stdout)}
    assert found["icmp4"].status == BAD
    assert "raw: Operation not permitted; net.ipv4.ping_group_range is 1 0)" in found["icmp4"].found
    assert "net.ipv4.ping_group_range='0 2147483647'" in found["icmp4"].fix
    assert found["loopback"].found == "could not be measured, see icmp4"
    assert found["data directory"].status == BAD
    assert found["data directory"].fix == f"sudo install -d -o 0 {foreign}"
