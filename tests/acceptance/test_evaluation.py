"""The evaluation against the real SmokePing, minutes of what `make evaluate` runs for an hour: every line of it must be good."""

from pathlib import Path

import pytest

from evaluate import history, slaves, under_smokeping
from evaluate.table import Table

pytestmark = [pytest.mark.privileged, pytest.mark.peer("smokeping", "fping", "rrdtool", "lighttpd")]


def insist(table: Table) -> None:
    assert table.good, "\n" + "\n".join(
        f"{c.case}: expected {c.expected}, observed {c.observed}" for c in table.cases if not c.good
    )


@pytest.mark.timeout(420)
def test_a_real_slave_and_our_agent_lose_and_double_nothing(tmp_path: Path) -> None:
    insist(slaves.evaluate(tmp_path, 180))


@pytest.mark.timeout(240)
def test_our_agent_under_a_real_master(tmp_path: Path) -> None:
    insist(under_smokeping.evaluate(tmp_path, 5))


@pytest.mark.timeout(240)
def test_the_history_of_a_real_daemon(tmp_path: Path) -> None:
    insist(history.evaluate(tmp_path, 10))
