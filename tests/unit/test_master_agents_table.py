"""`smokemesh agents`: one row for each agent, with what is not known left out."""

from smokemesh.cli.agents import row

QUIET = {"name": "a", "location": "", "alive": False, "seen": None, "silent": None, "targets": 3, "health": None}
HEALTH = {
    "pings_per_second": 12.34, "spool_rounds": 5, "rss": 50 * 2**20, "version": "0.1.0", "last_error": "no route",
}  # fmt: skip


def test_an_agent_never_heard() -> None:
    found = row(QUIET)
    assert (found["state"], found["heard"], found["targets"]) == ("never heard", None, 3)
    assert found["memory"] is None


def test_an_agent_that_is_up() -> None:
    found = row(QUIET | {"alive": True, "seen": "…", "silent": 3.2, "health": HEALTH, "clock_offset": -2.04})
    assert (found["state"], found["heard"], found["pings"], found["spool"]) == ("up", "3 s ago", "12.3", 5)
    assert (found["clock"], found["memory"], found["trouble"]) == ("-2.0 s", "50 MiB", "no route")


def test_an_agent_that_fell_silent() -> None:
    assert row(QUIET | {"seen": "…", "silent": 99.0, "clock_offset": 0.2})["state"] == "silent"
    assert row(QUIET | {"clock_offset": 0.2})["clock"] is None


def test_a_slave_tells_nothing_of_its_program() -> None:
    silent = HEALTH | {"pings_per_second": 0.0, "rss": 0, "spool_rounds": 0, "last_error": ""}
    found = row(QUIET | {"kind": "slave", "alive": True, "seen": "…", "silent": 3.2, "health": silent})
    assert (found["pings"], found["memory"], found["spool"]) == (None, None, None)
    assert (found["state"], found["version"]) == ("up", "0.1.0")
