"""What every test may rely on: a test that needs what this host lacks is skipped here and fails in CI."""

import os
import resource
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest

# In CI the same examples each time, so that a red run is red again; elsewhere new ones. No deadline: machines are shared.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("here", deadline=None)

#: Programs the marked tests call.
BROWSER = "chromium"
CI = os.environ.get("CI") == "true"


def pytest_configure(config: pytest.Config) -> None:
    """`benchmarks` is a package beside `src`; tests share its peers."""
    hypothesis.settings.load_profile("ci" if CI else "here")
    # The embedded database keeps some files open after it is closed; tests open many, a master one.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    root = str(Path(__file__).parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)


def _missing(item: pytest.Item) -> str:
    """Why this test cannot run on this host, "" when it can."""
    if item.get_closest_marker("privileged") and os.geteuid() != 0:
        return "needs root: raw sockets or network namespaces"
    if item.get_closest_marker("browser") and shutil.which(BROWSER) is None:
        return f"needs {BROWSER}: apt-get install {BROWSER}"
    marker = item.get_closest_marker("peer")
    absent = [name for name in (marker.args if marker else ()) if shutil.which(name) is None]
    return f"needs {', '.join(absent)}: apt-get install them" if absent else ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip on a laptop, fail in CI, where everything must be installed."""
    why = _missing(item)
    if why and CI:
        pytest.fail(why, pytrace=False)
    if why:
        pytest.skip(why)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No SMOKEMESH_ variable of the person's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith("SMOKEMESH_"):
            monkeypatch.delenv(name)
