"""The evaluation against the real SmokePing takes minutes of waiting: it runs beside the other tests, and is looked at last."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

PARTS: Final = ("slaves", "history", "under-smokeping")
PROGRAMS: Final = ("smokeping", "fping", "rrdtool", "lighttpd")
ROOT: Final = Path(__file__).parent.parent.parent
_FILE: Final = "test_evaluation.py"
_running: Final = pytest.StashKey["Evaluation"]()


class Evaluation:
    """`python -m evaluate --quick`, under way."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="smokemesh-evaluation-")
        self._file = Path(self._folder.name) / "evaluation.md"
        argv = [sys.executable, "-m", "evaluate", "--quick", "--output", str(self._file), *PARTS]
        self._log = Path(self._folder.name) / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)

    def section(self, part: str) -> str:
        """The table of one part, as soon as all are done."""
        self._process.wait(1200)
        if not self._file.exists():
            return self._log.read_text()
        return re.split(r"^## ", self._file.read_text(), flags=re.MULTILINE)[1 + PARTS.index(part)]

    def end(self) -> None:
        """Stop it where it is: it takes its programs and networks with it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._folder.cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for the evaluation comes last."""
    items.sort(key=lambda item: item.path.name == _FILE)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin it when it is wanted and this host can run it."""
    wanted = any(item.path.name == _FILE for item in session.items) and not session.config.option.collectonly
    if wanted and os.geteuid() == 0 and all(map(shutil.which, PROGRAMS)):
        session.config.stash[_running] = Evaluation()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing running."""
    found = session.config.stash.get(_running, None)
    if found is not None:
        found.end()


@pytest.fixture
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    """The evaluation that began with the session."""
    return request.config.stash[_running]
