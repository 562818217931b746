"""The evaluation against the real SmokePing, minutes of what `make evaluate` runs for an hour: every line of it must be good."""

import pytest
from tests.acceptance.conftest import PARTS, PROGRAMS, Evaluation

pytestmark = [pytest.mark.privileged, pytest.mark.peer(*PROGRAMS), pytest.mark.timeout(1300)]


@pytest.mark.parametrize("part", PARTS)
def test_every_line_is_good(evaluation: Evaluation, part: str) -> None:
    """A real slave and our agent lose and double nothing; a real daemon's history; our agent under a real master."""
    table = evaluation.section(part)
    assert "| good |" in table, table
    assert "**differs**" not in table, table
