"""Programs that measure, hang, flood, die, breed or print garbage: real processes under the engine."""

import gc
import math
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.integration.engine_bench import collect, measure, measure_fairly

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, Flag, RoundBatch
from smokemesh.probes.command import CommandEngine
from smokemesh.probes.engine import RoundRequest

#: Starting a program takes a while, the more the busier the machine is.
START = 0.25


@pytest.fixture
def engine() -> Iterator[CommandEngine]:
    engine = CommandEngine()
    yield engine
    engine.close()


def command(
    argv: str, *, pings: int = 3, timeout: float = 2.0, name: str = "c", step: float = 60.0, **options: str
) -> Probe:
    pairs = {"argv": argv, **options}
    return Probe(
        name=name,
        kind="command",
        pings=pings,
        interval=0.02,
        timeout=timeout,
        step=step,
        options=tuple(sorted(pairs.items())),
    )


def script(path: Path, text: str) -> str:
    """A program in a shell's words; its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def alive(pid: int) -> bool:
    """Whether a process runs; what only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < until, f"process {pid} still runs"
        os.sched_yield()


def test_each_run_gives_an_rtt(engine: CommandEngine) -> None:
    batch = measure(engine, command("/bin/echo 12.5", unit="ms"))
    assert batch.rtts.tolist() == pytest.approx([0.0125] * 3)
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (3, 3, 0)


def test_one_run_gives_a_whole_round_in_its_order(engine: CommandEngine) -> None:
    batch = measure(engine, command("printf '0.003\\n-\\n0.001\\ngarbage\\n'", pings=6, run="round"))
    assert np.isnan(batch.rtts).tolist() == [False, True, False, True, True, True]
    assert batch.rtts[[0, 2]].tolist() == pytest.approx([0.003, 0.001])
    assert (batch.sent[0], batch.received[0]) == (6, 2)


def test_surplus_answers_are_cut(engine: CommandEngine) -> None:
    batch = measure(engine, command("printf '1\\n2\\n3\\n'", pings=2, run="round", unit="ms"))
    assert batch.rtts.tolist() == pytest.approx([0.001, 0.002])


@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_the_time_it_ran_is_the_truth(engine: CommandEngine, seconds: float) -> None:
    batch = measure_fairly(engine, command(f"/bin/sleep {seconds}", parse="exit"))
    assert (batch.rtts >= seconds).all()
    assert float(np.min(batch.rtts)) < seconds + START


def test_a_status_that_is_not_0_is_a_lost_ping(engine: CommandEngine) -> None:
    batch = measure(engine, command("/bin/false", parse="exit"))
    assert (batch.sent[0], batch.received[0]) == (3, 0)


def test_an_expression_reads_what_is_meant(engine: CommandEngine) -> None:
    pattern = r"regex:rtt=([\d.]+|-)"
    batch = measure(engine, command("printf 'a rtt=5 b\\nrtt=- rtt=7'", pings=3, run="round", unit="ms", parse=pattern))
    assert batch.rtts[[0, 2]].tolist() == pytest.approx([0.005, 0.007])
    assert math.isnan(batch.rtts[1])


def test_what_is_put_in_stays_one_word(engine: CommandEngine) -> None:
    argv = "/bin/sh -c 'echo $#' x {host} {address} {pings} {timeout} {family}"
    batch = measure(engine, command(argv, pings=1), host="a.example")
    assert batch.rtts.tolist() == [5.0]


@pytest.mark.parametrize("host", ["-x", "a b", "a\nb", "--help", "a\0b"])
def test_a_host_can_be_no_option_nor_second_word(
    engine: CommandEngine, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    batch = measure(engine, command("/bin/echo {host}"), host=host)
    assert batch.received[0] == 0
    assert batch.error[0] == ERROR_ERRNO + 22
    assert len(caplog.records) == 1  # once, not for every ping


def test_a_program_that_is_not_there_is_one_line(engine: CommandEngine, caplog: pytest.LogCaptureFixture) -> None:
    batch = measure(engine, command("/nowhere/pinger {host}"))
    assert (batch.error[0], batch.errors[0]) == (ERROR_ERRNO + 2, 3)
    assert batch.flags[0] & Flag.SEND_ERROR
    assert [r.getMessage() for r in caplog.records] == [
        "command cannot measure: probe=c error='/nowhere/pinger: No such file or directory'"
    ]


def test_a_hanging_program_is_ended_with_all_it_started(engine: CommandEngine, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = script(tmp_path / "hang", f"trap '' TERM\nsleep 300 &\necho $! $$ > {pids}\nwhile :; do sleep 300; done")
    begun = time.monotonic()
    batch = measure(engine, command(program, pings=1, timeout=0.5))
    assert time.monotonic() - begun < 0.5 + 0.5 + 2 * START
    assert (batch.sent[0], batch.received[0]) == (1, 0)
    for pid in pids.read_text().split():
        wait_until_gone(int(pid))


def test_what_a_program_leaves_behind_is_ended(engine: CommandEngine, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = script(tmp_path / "breed", f"sleep 300 & echo $! > {pids}\necho 0.5")
    begun = time.monotonic()
    batch = measure(engine, command(program, pings=1, timeout=20.0))
    assert batch.rtts.tolist() == [0.5]
    assert time.monotonic() - begun < 5  # not waited for what holds its output open
    wait_until_gone(int(pids.read_text()))


def test_a_flood_of_output_is_cut_off(engine: CommandEngine, caplog: pytest.LogCaptureFixture) -> None:
    begun = time.monotonic()
    batch = measure(engine, command("/usr/bin/yes 0.001", pings=1, timeout=20.0))
    assert time.monotonic() - begun < 5
    assert (batch.received[0], batch.error[0]) == (0, ERROR_ERRNO + 90)
    assert "printed too much" in caplog.text


@pytest.mark.parametrize(
    "text", ["kill -KILL $$", "kill -SEGV $$", "head -c 3000 /dev/urandom", "exit 3", "echo nan; echo inf; echo -1"]
)
def test_what_dies_or_babbles_is_lost(engine: CommandEngine, tmp_path: Path, text: str) -> None:
    batch = measure(engine, command(script(tmp_path / "odd", text), run="round"))
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (3, 0, 0)


def test_it_learns_nothing_it_need_not_know(
    engine: CommandEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOKEMESH_SHARED_SECRET", "told to nobody")
    secrets, seen = tmp_path / "env", tmp_path / "seen"
    secrets.write_text("# for the program\nPASSWORD=hush hush\n")
    secrets.chmod(0o600)
    program = script(tmp_path / "env.sh", f"{{ env; pwd; ls -l /proc/self/fd; cat; }} > {seen}; echo 1")
    batch = measure(engine, command(program, pings=1, environment_file=str(secrets)))
    assert batch.rtts.tolist() == [1.0]
    text = seen.read_text()
    assert "PASSWORD=hush hush" in text
    assert "told to nobody" not in text
    assert "\n/\n" in text
    assert "0 -> /dev/null" in text
    assert "socket:" not in text
    assert "eventpoll" not in text


def test_a_file_of_passwords_open_to_others_is_refused(
    engine: CommandEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = tmp_path / "env"
    secrets.write_text("PASSWORD=x\n")
    secrets.chmod(0o644)
    batch = measure(engine, command("/bin/echo 1", environment_file=str(secrets)))
    assert batch.received[0] == 0
    assert f"run: chmod 600 {secrets}" in caplog.text


def test_dead_targets_do_not_hold_up_the_others(engine: CommandEngine) -> None:
    """SmokePing runs targets in batches of `forks`: with a dead one in each, every batch takes the whole time-out."""
    dead = command("/bin/sleep 60", pings=1, timeout=3.0, parse="exit")
    living = command("/bin/echo 0.25", pings=1, timeout=3.0)
    now = time.monotonic()
    # 30 dead ones in batches of 5 would take 18 s by themselves.
    probes = [dead if i % 10 < 3 else living for i in range(100)]
    engine.start([RoundRequest(i, 0, now, "127.0.0.1", probe) for i, probe in enumerate(probes)])
    ended: dict[int, float] = {}
    batches: list[RoundBatch] = []
    while len(ended) < 100:
        assert time.monotonic() < now + 25
        engine.run(time.monotonic() + 0.02)
        batches.append(engine.take())
        ended |= {int(task): time.monotonic() - now for task in batches[-1].task}
    batch = RoundBatch.concatenate(batches)
    by_task = dict(zip(batch.task.tolist(), batch.received.tolist(), strict=True))
    assert [by_task[i] for i in range(100)] == [int(i % 10 >= 3) for i in range(100)]
    assert batch.sent.tolist() == [1] * 100
    assert max(t for i, t in ended.items() if i % 10 >= 3) < 8


def test_what_never_got_its_turn_does_not_count(engine: CommandEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smokemesh.probes.command.STARTING", 60.0)
    probes = [command("/bin/sleep 60", pings=1, timeout=2.0, step=1.0, forks="1", parse="exit") for _ in range(3)]
    batch = measure(engine, probes)
    assert sorted(batch.sent.tolist()) == [0, 1, 1] or sorted(batch.sent.tolist()) == [0, 0, 1]
    assert batch.received.tolist() == [0, 0, 0]
    assert all(flags & Flag.OWN_DELAY for flags, sent in zip(batch.flags, batch.sent, strict=True) if not sent)


def test_nothing_is_left_when_the_engine_is_closed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    engine = CommandEngine()
    before = len(os.listdir("/proc/self/fd"))
    engine.start(
        [
            RoundRequest(
                1,
                0,
                time.monotonic(),
                "127.0.0.1",
                command(script(tmp_path / "s", f"echo $$ >> {pids}; sleep 300"), timeout=300),
            )
        ]
    )
    until = time.monotonic() + 5
    while not pids.exists() or len(pids.read_text().split()) < 3:
        assert time.monotonic() < until
        engine.run(time.monotonic() + 0.01)
    engine.close()
    for pid in pids.read_text().split():
        wait_until_gone(int(pid))
    assert len(os.listdir("/proc/self/fd")) < before


def test_many_rounds_leave_no_files_or_zombies(engine: CommandEngine) -> None:
    measure(engine, command("/bin/true", parse="exit"))
    before = len(os.listdir("/proc/self/fd"))
    measure(engine, [command("/bin/true", parse="exit", pings=5)] * 8)
    assert len(os.listdir("/proc/self/fd")) == before
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or not [p for p in children.read_text().split() if not alive(int(p))]


def test_waiting_costs_nothing(engine: CommandEngine) -> None:
    engine.start([RoundRequest(1, 0, time.monotonic(), "127.0.0.1", command("/bin/sleep 1.5", pings=1, parse="exit"))])
    begun = resource.getrusage(resource.RUSAGE_SELF)
    collect(engine, 1)
    ended = resource.getrusage(resource.RUSAGE_SELF)
    assert ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime < 0.3


def test_a_tool_is_run_by_its_name_only(engine: CommandEngine) -> None:
    """What `tool` names needs no words from the master."""
    probe = Probe(
        name="t", kind="command", pings=2, interval=0.05, timeout=2.0,
        options=(("settings", f"binary={sys.executable}"), ("tool", "nfsping")),
    )  # fmt: skip
    batch = measure(engine, probe)  # Python is no nfsping, and says so by its status
    assert (batch.sent[0], batch.received[0]) == (2, 0)


def _of_programs() -> int:
    """Descriptors of the kinds that running a program takes; other threads of this process have files of their own."""
    kinds = ("pipe:", "anon_inode:[pidfd]", "/memfd:", "/dev/null")
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own is gone
            found += os.readlink(f"/proc/self/fd/{number}").startswith(kinds)
    return found


def test_without_files_nothing_counts_and_nothing_is_left(engine: CommandEngine, tmp_path: Path) -> None:
    measure(engine, command("/bin/echo 1", pings=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = []
    for spare in range(1, 8):
        highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]  # fill every gap
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1 + spare, hard))
        try:
            batch = measure(engine, command("/bin/echo 1", pings=1))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in held:
                os.close(fd)
        assert batch.sent[0] == batch.received[0]
        assert batch.received[0] or batch.flags[0] & Flag.OWN_DELAY
        gc.collect()
        left.append(_of_programs())
    # With little room, what is kept for the next program comes by and by; what leaks would leak each time.
    assert len(set(left[-3:])) == 1, left
