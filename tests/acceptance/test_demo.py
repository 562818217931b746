"""`smokemesh demo` as a person runs it: real programs, real packets, and nothing left when it ends."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.privileged

AGENTS = {"frankfurt", "singapore", "saopaulo"}
PATIENCE = 90.0


class Demo:
    """A demo under way."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process, self.url = process, url

    def ask(self, path: str) -> Any:
        """What the JSON API answers."""
        with urllib.request.urlopen(f"{self.url}api/v1/{path}", timeout=10) as answer:
            return json.load(answer)

    def until(self, condition: Callable[[], Any]) -> Any:
        """The first answer of `condition` that is something."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the demo ended by itself"
            if answer := condition():
                return answer
            time.sleep(0.2)  # between two looks; the deadline decides
        raise AssertionError(f"nothing came of {condition.__name__} within {PATIENCE} s")

    def latest(self, path: str) -> dict[str, Any]:
        """The newest round of a target, by agent; agents without one are left out."""
        return {each["agent"]: each for each in self.ask("latest").get(path, []) if each.get("sent")}


@contextmanager
def running(*arguments: str, run_by: Sequence[str] = ()) -> Iterator[Demo]:
    """A demo that has said where its pages are."""
    argv = [*run_by, sys.executable, "-m", "smokemesh", "demo", "--listen", "127.0.0.1:0", "--step", "2s", *arguments]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        said = [process.stdout.readline(), process.stdout.readline()]
        assert said[1].startswith("Pages: http://"), (said, process.poll())
        yield Demo(process, said[1].removeprefix("Pages: ").strip())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def family(parent: int) -> set[int]:
    """A process and all that descend from it."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, todo = set[int](), [parent]
    while todo:
        found.add(pid := todo.pop())
        todo += below.get(pid, [])
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run (the ended may wait for a parent to collect them)."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.add(pid)
    return found


def test_the_demo_measures_what_it_makes_up_and_ends_cleanly(tmp_path: Path) -> None:
    with running("--data", str(tmp_path)) as demo:
        demo.until(lambda: set(demo.latest("/faults/lossy")) == AGENTS)
        demo.until(lambda: set(demo.latest("/faults/dead")) == AGENTS)
        demo.until(lambda: len(demo.latest("/cities/singapore-v6")) == 2)
        demo.until(lambda: {agent["name"] for agent in demo.ask("agents") if agent["alive"]} == AGENTS)
        lossy, dead = demo.latest("/faults/lossy"), demo.latest("/faults/dead")
        assert {name: (each["sent"], each["received"]) for name, each in lossy.items()} == dict.fromkeys(
            AGENTS, (20, 18)
        )
        assert {name: each["loss"] for name, each in dead.items()} == dict.fromkeys(AGENTS, 1.0)
        assert lossy["frankfurt"]["median"] == pytest.approx(0.0025, abs=0.002)
        assert lossy["singapore"]["median"] == pytest.approx(0.1585, abs=0.005)
        assert demo.until(
            lambda: "duplicate" in demo.latest("/faults/duplicates").get("frankfurt", {}).get("flags", "")
        )
        processes = family(demo.process.pid)
        demo.process.send_signal(signal.SIGINT)
        _, complaints = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0
    assert complaints == ""
    assert alive(processes) == set()
    assert (tmp_path / "smokemesh.yaml").exists()


@pytest.mark.peer("setpriv")
def test_the_demo_needs_no_privileges(tmp_path: Path) -> None:
    """As any user: all namespaces are in a user namespace."""
    # A user namespace maps its maker, and mapping root takes CAP_SETFCAP (user_namespaces(7)), which others need not have.
    capabilities = "-all,+setfcap"
    run_by = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]
    with running("--data", str(tmp_path), run_by=run_by) as demo:
        assert "CapEff:\t0000000080000000" in Path(f"/proc/{demo.process.pid}/status").read_text()
        lossy = demo.until(lambda: demo.latest("/faults/lossy").get("frankfurt"))
        assert (lossy["sent"], lossy["received"]) == (20, 18)
        demo.process.send_signal(signal.SIGINT)
        demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0


def test_a_killed_demo_leaves_no_program_behind(tmp_path: Path) -> None:
    with running("--data", str(tmp_path)) as demo:
        processes = family(demo.process.pid)
        assert len(processes) >= 6  # itself, the network, the master, three agents
        demo.process.kill()
        demo.process.communicate()
        deadline = time.monotonic() + PATIENCE
        while alive(processes) and time.monotonic() < deadline:
            time.sleep(0.1)  # between two looks; the deadline decides
    assert alive(processes) == set()


def test_the_temporary_data_goes_with_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running() as demo:
        assert list(tmp_path.glob("smokemesh-demo-*"))
        demo.process.send_signal(signal.SIGTERM)
        demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0
    assert not list(tmp_path.glob("smokemesh-demo-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--day", "soon"), "smokemesh: --day soon: "),
        (("--day", "1s"), "smokemesh: --day 1s: too short; write 10s or more"),
        (("--step", "100ms"), "smokemesh: --step 100ms: too short; write 2s or more"),
        (("--listen", "nonsense"), "smokemesh: --listen nonsense: "),
    ],
)
def test_what_is_typed_wrongly_is_said_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    argv = [sys.executable, "-m", "smokemesh", "demo", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.peer("unshare")
def test_a_host_without_tun_is_one_line_with_the_cure() -> None:
    hide = 'mount -t tmpfs none /dev/net && exec "$@"'
    argv = [sys.executable, "-m", "smokemesh", "demo", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr == (
        "smokemesh: /dev/net/tun: not there; sudo modprobe tun (in a container: --device /dev/net/tun)\n"
    )
