"""Run it: `python -m benchmarks.ingest`.

Several slaves post rounds of all their targets, as a 2.7.3 slave does, as fast as they are answered. The peer is Debian's CGI behind
lighttpd, run as its package sets it up (a plain CGI, a process for each post) and as FastCGI. It only queues the rounds in
files for its daemon, which is not counted. Ours has them safe on disk when it answers, and, rollups included, in the store a moment
later: `stored_per_second` counts until then.
"""

import argparse
import hashlib
import hmac
import http.client
import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.programs import free_port, running, smokemesh, wait_until_ready
from evaluate.smokeping import Host, Installation
from smokemesh.storage.audit import audit

SECRET: Final = b"secret-of-a-benchmark"
STEP: Final = 300
_LAST: Final = re.compile(rb"'__last' => '?(\d+)")


def main() -> None:
    """Measure both, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slaves", type=int, default=8)
    parser.add_argument("--targets", type=int, default=500)
    parser.add_argument("--pings", type=int, default=20)
    parser.add_argument("--posts", type=int, default=60, help="of each slave, to us")
    parser.add_argument("--peer-posts", type=int, default=4, help="of each slave, to the real CGI")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smokemesh-ingest-") as name:
        directory = Path(name)
        ours = _ours(directory / "ours", asked)
        plain, fast = (_peer(directory / f"peer{processes}", asked, processes) for processes in (0, 2))
    report: dict[str, Any] = {"benchmark": "ingest", "slaves": asked.slaves, "targets": asked.targets}
    report |= {"pings": asked.pings, "smokemesh": ours, "cgi": plain, "fastcgi": fast}
    report["ratio"] = round(ours["rounds_per_second"] / plain["rounds_per_second"], 1)
    report["ratio_fastcgi"] = round(ours["rounds_per_second"] / fast["rounds_per_second"], 1)
    print(json.dumps(report))


def _installation(directory: Path, asked: argparse.Namespace) -> Installation:
    names = [f"slave{i}" for i in range(asked.slaves)]
    made = Installation(
        directory=directory,
        step=STEP,
        pings=asked.pings,
        hosts=[Host(name=f"t{i}", address=f"127.1.{i // 250}.{1 + i % 250}") for i in range(asked.targets)],
        slaves=dict.fromkeys(names, SECRET.decode()),
        root={"slaves": " ".join(names)},
        each={"nomasterpoll": "yes"},
    )
    made.write()
    # The real CGI loses rounds where the directories are not there (its daemon makes them).
    for i in range(asked.targets):
        (directory / "dyn" / f"t{i}").mkdir(exist_ok=True)
    return made


def _ours(directory: Path, asked: argparse.Namespace) -> dict[str, Any]:
    config = _installation(directory, asked).config
    address = f"127.0.0.1:{free_port()}"
    argv = smokemesh("master", "--config", str(config), "--data", str(directory / "data"), "--listen", address)
    with running(argv, directory / "log") as program:
        wait_until_ready(f"http://{address}/-/ready", check=program.check)
        before = program.read().cpu
        told = _load(address, asked, asked.posts)
        answered = time.monotonic()
        _wait_until_stored(address, told["rounds"])
        told["stored_per_second"] = round(told["rounds"] / (told["seconds"] + time.monotonic() - answered))
        told["cpu_seconds_per_million_rounds"] = round(1e6 * (program.read().cpu - before) / told["rounds"], 1)
        told["rss_mb"] = round(program.cost.rss_most / 2**20)
    held = audit(f"chdb://{directory}/data/rounds")
    told["rounds_held"] = int(held.rounds.sum())
    return told


def _wait_until_stored(address: str, rounds: int) -> None:
    """Until the master says that it has stored so many."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            found = re.search(rb"^smokemesh_rounds_stored_total (\S+)", answer.read(), re.MULTILINE)
        if found and float(found[1]) >= rounds:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{rounds} rounds were not stored within 300 s")


def _peer(directory: Path, asked: argparse.Namespace, processes: int) -> dict[str, Any]:
    installation, port = _installation(directory, asked), free_port()
    web = installation.web(subprocess.Popen, port, fast=processes)
    try:
        _wait_for_cgi(port, web)
        told = _load(f"127.0.0.1:{port}", asked, asked.peer_posts)
    finally:
        web.terminate()
        web.wait(30)
    files = list((directory / "dyn").rglob("*.slave_cache"))
    assert len(files) == asked.slaves * asked.targets, f"the real CGI queued {len(files)} files"
    return told


def _wait_for_cgi(port: int, web: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert web.poll() is None, "lighttpd ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/smokeping.cgi?slave=nobody", timeout=30).read()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the real CGI did not answer within 60 s")


def _load(address: str, asked: argparse.Namespace, posts: int) -> dict[str, Any]:
    """All slaves at the same time, each post after the other is answered."""
    made = [_bodies(address, f"slave{i}", asked.targets, asked.pings, posts) for i in range(asked.slaves)]
    failures: list[str] = []
    threads = [threading.Thread(target=_send, args=(address, bodies, failures)) for bodies in made]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begun
    if failures:
        raise RuntimeError(f"a post was answered by {failures[0]}")
    rounds = posts * asked.slaves * asked.targets
    return {"rounds": rounds, "seconds": round(took, 2), "rounds_per_second": round(rounds / took)}


def _bodies(address: str, slave: str, targets: int, pings: int, posts: int) -> list[bytes]:
    """What a slave posts, one round of every target each time."""
    last = int(_LAST.findall(_post(address, _body(slave, b"", 0)))[-1])
    random = np.random.default_rng(sum(slave.encode()))
    first = int(time.time()) - posts * STEP
    made = []
    for number in range(posts):
        rtts = np.sort(random.gamma(4.0, 0.005, (targets, pings)), axis=1)
        lines = [_line(f"/t{i}", first + number * STEP, rtts[i]) for i in range(targets)]
        made.append(_body(slave, "\n".join(lines).encode(), last))
    return made


def _line(path: str, moment: int, rtts: Sequence[float] | np.ndarray) -> str:
    values = ":".join(f"{rtt:.10e}" for rtt in rtts)
    return f"{path}\t{moment}\tU:0:{rtts[len(rtts) // 2]:.10e}:{values}"


def _body(slave: str, data: bytes, last: int) -> bytes:
    key = hmac.new(SECRET, data, hashlib.md5).hexdigest()
    fields = {"slave": slave.encode(), "key": key.encode(), "protocol": b"2", "data": data, "config_time": b"%d" % last}
    parts = [
        b'--xYzZY\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v)
        for k, v in fields.items()
    ]
    return b"".join(parts) + b"--xYzZY--\r\n"


def _post(address: str, body: bytes) -> bytes:
    """One post on a connection of its own, as a slave's."""
    connection = http.client.HTTPConnection(address, timeout=120)
    headers = {"Content-Type": "multipart/form-data; boundary=xYzZY", "User-Agent": "smokeping-slave/1.0"}
    connection.request("POST", "/smokeping.cgi", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text[:200]!r}")
    return text


def _send(address: str, bodies: Sequence[bytes], failures: list[str]) -> None:
    for body in bodies:
        try:
            told = _post(address, body)
        except (OSError, RuntimeError) as error:
            failures.append(str(error))
            return
        if told != b"OK\n":
            failures.append(repr(told[:200]))
            return


if __name__ == "__main__":
    main()
