"""A full disk: one clear line, reading goes on, and the insert that failed is completed exactly when there is room."""

import subprocess
import sys
from pathlib import Path

import pytest

#: Runs in a mount namespace of its own, on a file system of 64 MB that a ballast makes nearly full.
PROGRAM = """
import sys, time
import numpy as np
from smokemesh.errors import StoreError
from smokemesh.model.rounds import RoundBatch
from smokemesh.storage.rounds import open_rounds

N, BALLAST = 20_000, sys.argv[1] + "/ballast"
dice = np.random.default_rng(1)
now = time.time_ns()

def batch(i):
    columns = {"task": np.arange(N), "time": np.full(N, now + i), "step": np.full(N, 60), "sent": np.full(N, 20),
               "received": np.full(N, 20), "rtts": dice.random(20 * N)}
    return RoundBatch.from_columns(N, columns)

store = open_rounds(f"chdb://{sys.argv[1]}/rounds")
with open(BALLAST, "wb") as file:
    file.write(bytes(32 * 2**20))
for i in range(40):
    last = batch(i)
    try:
        store.insert("a", last, str(i))
    except StoreError as error:
        print(error)
        break
else:
    raise SystemExit("the disk never was full")
assert len(store.latest([1], 0)) == 1
with open(BALLAST, "wb"):
    pass
store.insert("a", last, str(i))
store.insert("a", last, str(i))
with store._clients.reading() as client:
    rows = client.query("SELECT bin, sum(rounds) FROM rollups GROUP BY bin ORDER BY bin").result_rows
assert rows == [(bin_, N * (i + 1)) for bin_ in (300, 3600, 86400)], rows
assert store.usage()[0].rows == N * (i + 1)
store.close()
"""


@pytest.mark.privileged
def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=64m none {disk} && exec {sys.executable} -c "$PROGRAM" {disk}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount],
        env={"PROGRAM": PROGRAM, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout == f"storage chdb://{disk}/rounds: the disk is full; make room\n"
    assert done.returncode == 0
