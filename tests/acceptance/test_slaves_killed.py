"""kill -9 of the master while slaves post: whatever it answered with OK, and whatever they brought again, is in the store once."""

import http.client
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.programs import free_port, smokemesh, wait_until_ready
from smokemesh.smokeping import protocol
from smokemesh.smokeping.results import write_lines
from smokemesh.storage.audit import audit

SLAVES = ("one", "two", "three")
TARGETS = 40
KILLS = 2
SECRET = b"known-to-all-of-them"


def start(directory: Path, address: str) -> "subprocess.Popen[bytes]":
    argv = smokemesh(
        "master", "--config", str(directory / "m.yaml"), "--data", str(directory / "data"), "--listen", address
    )
    with (directory / "log").open("ab") as log:
        program = subprocess.Popen(argv, stdout=log, stderr=log)
    wait_until_ready(f"http://{address}/-/ready")
    return program


def post(address: str, slave: str, lines: list[bytes]) -> bool:
    """Whether the master has them."""
    kind, body = protocol.post(slave, SECRET, b"\n".join(lines), 2**40)
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", "/smokeping.cgi", body, {"Content-Type": kind})
        return connection.getresponse().read() == protocol.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def work(address: str, slave: str, ended: threading.Event, sent: dict[str, int]) -> None:
    """As a slave does: what was not answered is kept, and goes with the next round's lines."""
    first, rounds, kept = int(time.time()) - 50_000, 0, list[bytes]()
    while kept or not ended.is_set():
        kept += write_lines((f"/t{i}", first + 10 * rounds, 3, [0.01, 0.02]) for i in range(TARGETS))
        rounds += 1
        kept = [] if post(address, slave, kept) else kept
        assert rounds < 5000
    sent[slave] = rounds


def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    (tmp_path / "secrets").touch(mode=0o600)
    (tmp_path / "secrets").write_text("".join(f"{name}:{SECRET.decode()}\n" for name in SLAVES))
    targets = "".join(f"  t{i}: {{host: 127.0.0.1, agents: [{', '.join(SLAVES)}]}}\n" for i in range(TARGETS))
    agents = ", ".join(f"{name}: {{}}" for name in SLAVES)
    text = f"agents: {{{agents}}}\nsmokeping: {{secrets_file: secrets}}\ntargets:\n{targets}"
    (tmp_path / "m.yaml").write_text(text)
    address, ended, sent = f"127.0.0.1:{free_port()}", threading.Event(), dict[str, int]()
    program = start(tmp_path, address)
    threads = [threading.Thread(target=work, args=(address, name, ended, sent)) for name in SLAVES]
    try:
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            ended.wait(random.uniform(0.8, 2.0))
            program.send_signal(signal.SIGKILL)
            program.wait()
            program = start(tmp_path, address)
        ended.wait(0.5)
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
        program.terminate()
        assert program.wait(60) == 0
    found = audit(f"chdb://{tmp_path}/data/rounds")
    held = {name: int(sum(found.rounds[i] for i, agent in enumerate(found.agent) if agent == name)) for name in SLAVES}
    assert held == {name: rounds * TARGETS for name, rounds in sent.items()}
    assert found.rounds.tolist() == found.distinct.tolist()
    assert found.rollups_agree
    assert not list((tmp_path / "data" / "slaves" / "journal").iterdir())
