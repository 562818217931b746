"""Run it: `python -m benchmarks.rounds`."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.programs import Watched, free_port, running, smokemesh, wait_until_ready
from benchmarks.rounds import smokeping
from smokemesh.model.rounds import Flag
from smokemesh.storage.audit import RoundAudit, audit


def main() -> None:
    """Measure, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--step", type=int, default=60)
    parser.add_argument("--pings", type=int, default=20)
    parser.add_argument("--peer-targets", type=int, default=2000, help="0 leaves SmokePing out")
    parser.add_argument("--peer-rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smokemesh-rounds-") as name:
        directory = Path(name)
        ours = _ours(directory, _loopback(asked.targets), asked.step, asked.pings, 60 * asked.minutes)
        report: dict[str, Any] = {"benchmark": "rounds", "step": asked.step, "pings": asked.pings, "smokemesh": ours}
        if asked.peer_targets:
            peer = smokeping.measure(
                directory / "peer",
                _loopback(asked.peer_targets),
                step=asked.step,
                pings=asked.pings,
                rounds=asked.peer_rounds,
            )
            report["smokeping"] = peer
            cost = ours["agent"]["cpu_seconds_per_1000_rounds"] + ours["master"]["cpu_seconds_per_1000_rounds"]
            report["cpu_ratio"] = round(cost / peer["cpu_seconds_per_1000_rounds"], 3)
    print(json.dumps(report))


def _loopback(count: int) -> list[str]:
    """That many addresses of 127.0.0.0/8."""
    return [f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}" for i in range(count)]


def _configure(directory: Path, hosts: list[str], step: int, pings: int) -> tuple[Path, Path, str]:
    """Write the two configurations and the secret; returns both files and the master's address."""
    address = f"127.0.0.1:{free_port()}"
    secret = directory / "secret"
    secret.write_text("secret-of-a-benchmark\n")
    secret.chmod(0o600)
    master = directory / "smokemesh.yaml"
    lines = [
        f"listen: {address}",
        "probes:",
        f"  ping: {{kind: icmp, step: {step}s, pings: {pings}}}",
        "agents:",
        f"  bench: {{secret_file: {secret}}}",
        "targets:",
        "  loop:",
        "    probe: ping",
        "    agents: [bench]",
    ]
    master.write_text("\n".join([*lines, *(f"    t{i}: {{host: {host}}}" for i, host in enumerate(hosts))]) + "\n")
    agent = directory / "agent.yaml"
    agent.write_text(
        f"name: bench\nmasters: [http://{address}]\nshared_secret: {secret}\ndata: {directory / 'agent'}\n"
        "limits: {most_packets_per_second: 50000, most_packets_per_second_per_prefix: 50000}\n"
    )
    return master, agent, address


def _ours(directory: Path, hosts: list[str], step: int, pings: int, seconds: float) -> dict[str, Any]:
    """Run both programs for `seconds` after the first full step, then count what the store holds."""
    config, agent_config, address = _configure(directory, hosts, step, pings)
    data = directory / "master"
    data.mkdir()
    (directory / "agent").mkdir()
    master_argv = smokemesh("master", "--config", str(config), "--data", str(data))
    agent_argv = smokemesh("agent", "--config", str(agent_config))
    with running(master_argv, directory / "master.log") as master:
        wait_until_ready(f"http://{address}/-/ready", check=master.check)
        with running(agent_argv, directory / "agent.log") as agent:
            _sleep_watching([master, agent], step + 5.0)
            begun, at_master, at_agent = time.monotonic(), master.read().cpu, agent.read().cpu
            _sleep_watching([master, agent], seconds)
            took = time.monotonic() - begun
            costs = {
                name: _cost(program, program.read().cpu - before, took, len(hosts) * took / step)
                for name, program, before in (("master", master, at_master), ("agent", agent, at_agent))
            }
            agent.stop()
        master.stop()
    kept = audit(f"chdb://{data / 'rounds'}")
    return {**_verdict(kept, len(hosts), step), **costs}


def _sleep_watching(programs: list[Watched], seconds: float) -> None:
    """Wait; stop the benchmark when a program ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for program in programs:
            program.check()
        time.sleep(0.5)


def _cost(program: Watched, cpu: float, took: float, rounds: float) -> dict[str, float]:
    return {
        "cpu_share": round(cpu / took, 4),
        "cpu_seconds_per_1000_rounds": round(1000 * cpu / rounds, 4),
        "rss_mb": round(program.cost.rss_last / 2**20, 1),
        "rss_most_mb": round(program.cost.rss_most / 2**20, 1),
    }


def _verdict(kept: RoundAudit, targets: int, step: int) -> dict[str, Any]:
    """What is missing between each task's first and last round, what is doubled, late, or not the same in a rollup."""
    slots = np.round((kept.last - kept.first) / (step * 1e9)).astype(int) + 1
    return {
        "targets": targets,
        "tasks_seen": len(kept.task),
        "rounds": int(kept.rounds.sum()),
        "missed": int((slots - kept.distinct).sum()),
        "doubled": int((kept.rounds - kept.distinct).sum()),
        "overrun": kept.flagged(Flag.OVERRUN),
        "own_drops": kept.flagged(Flag.OWN_DROPS),
        "pings_lost": int(kept.sent.sum() - kept.received.sum()),
        "rollups_agree": kept.rollups_agree,
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
