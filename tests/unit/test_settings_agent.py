"""`agent.yaml`, and the secret it names."""

import pytest
import yaml

from smokemesh.settings.agent import load_agent
from smokemesh.settings.secrets import parse_secret, parse_slave_secret, secret_problem
from smokemesh.settings.shape import AgentSettings, Limits, SpoolSettings
from smokemesh.settings.show import agent_values

EXAMPLE = """
name: boomer
masters: [https://a.example:8080/]
master_type: str
auth_timeout: 2
shared_secret: secret
data: state
ca_file: /etc/ssl/ours.pem
labels: {rack: r29}
limits: {least_interval: 10s, most_packets_per_second: 500, most_packet_size: 1KiB, allow: [192.0.2.0/24], deny: []}
spool: {most_bytes: 200MiB, most_age: 3d}
"""


def load(text: str) -> AgentSettings:
    return load_agent("/etc/smokemesh/agent.yaml", lambda path: text)


def test_the_whole_file() -> None:
    assert load(EXAMPLE) == AgentSettings(
        name="boomer",
        masters=("https://a.example:8080",),
        shared_secret="/etc/smokemesh/secret",
        data="/etc/smokemesh/state",
        auth_timeout=2.0,
        ca_file="/etc/ssl/ours.pem",
        labels={"rack": "r29"},
        limits=Limits(
            least_interval=10.0, most_packets_per_second=500.0, most_packet_size=1024, allow=("192.0.2.0/24",), deny=()
        ),
        spool=SpoolSettings(most_bytes=200 * 2**20, most_age=3 * 86400.0),
    )


def test_the_least_file() -> None:
    least = load("name: boomer\nmasters: [http://127.0.0.1:8080]\nshared_secret: /s\n")
    assert least == AgentSettings(
        name="boomer", masters=("http://127.0.0.1:8080",), shared_secret="/s", data="/var/lib/smokemesh"
    )


def test_what_is_typed_goes_before_the_file_and_need_not_stand_in_it() -> None:
    settings = load_agent("f", lambda path: "shared_secret: /s", {"name": "typed", "masters": ("http://127.0.0.1:1",)})
    assert (settings.name, settings.masters, settings.shared_secret) == ("typed", ("http://127.0.0.1:1",), "/s")


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_shown_reads_back(whole: bool) -> None:
    settings = load(EXAMPLE)
    assert load(yaml.safe_dump(agent_values(settings, whole))) == settings


@pytest.mark.parametrize(
    ("mode", "owner", "problem"),
    [
        (0o100600, 1000, None),
        (0o100400, 1000, None),
        (0o100600, 0, None),
        (0o100644, 1000, "/s: mode 0644 lets others read the secret; run: chmod 600 /s"),
        (0o100640, 0, "/s: mode 0640 lets others read the secret; run: chmod 600 /s"),
        (0o100620, 1000, "/s: mode 0620 lets others read the secret; run: chmod 600 /s"),
        (0o100600, 1001, "/s: belongs to user 1001, we run as 1000; run: chown 1000 /s"),
    ],
)
def test_who_may_read_a_secret(mode: int, owner: int, problem: str | None) -> None:
    assert secret_problem("/s", mode, owner, 1000) == problem


@pytest.mark.parametrize("data", [b"correct-horse", b"correct-horse\n", b"correct-horse\r\n", b"correct-horse\n\n"])
def test_a_secret_is_the_first_line(data: bytes) -> None:
    assert parse_secret(data) == b"correct-horse"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "/s: holds no secret; write one with: head -c 32 /dev/urandom | base64 > /s"),
        (b"\nx", "/s: holds no secret; write one with: head -c 32 /dev/urandom | base64 > /s"),
        (b"one-secret\ntwo\n", "/s: holds more than one line; write the secret alone"),
        (
            b"two words here",
            "/s: the secret holds blanks or bytes that are not printable ASCII; write letters and digits",
        ),
        (
            b"\xff\xfe\x00secret",
            "/s: the secret holds blanks or bytes that are not printable ASCII; write letters and digits",
        ),
        (b"short", "/s: the secret has 5 characters; write 8 or more"),
    ],
)
def test_what_is_no_secret(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole message is compared
        parse_secret(data, "/s")
    assert str(caught.value) == problem


def test_a_slaves_secret_is_taken_as_smokeping_takes_it() -> None:
    assert parse_slave_secret(b"wsec\n", "/s") == b"wsec"
    assert parse_slave_secret(b" two words \nmore", "/s") == b" two words "
    with pytest.raises(ValueError, match="/s: holds no secret"):
        parse_slave_secret(b"\n", "/s")
    assert secret_problem("/s", 0o640, 0, 1000, group=True) is None
    assert secret_problem("/s", 0o660, 0, 1000, group=True) is not None
    assert secret_problem("/s", 0o644, 0, 1000, group=True) is not None
