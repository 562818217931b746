"""`smokemesh agents`: the agents a master knows, and how they are."""

from json import loads
from typing import Any

import click

from smokemesh.cli.output import print_json, print_table

COLUMNS = {
    "name": "agent",
    "location": "location",
    "state": "state",
    "heard": "heard",
    "targets": "targets",
    "pings": "pings/s",
    "spool": "rounds waiting",
    "clock": "clock",
    "memory": "memory",
    "version": "version",
    "trouble": "trouble",
}


@click.command("agents")
@click.option("--master", default="http://127.0.0.1:8080", show_default=True, metavar="URL", help="The master to ask.")
@click.option("--json", is_flag=True, help="The API's answer.")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust for an https master.")
def command(master: str, json: bool, ca_file: str | None) -> None:
    """Show the agents a master knows, and how they are."""
    from smokemesh.cli.query import ask

    found = loads(ask(f"{master.rstrip('/')}/api/v1/agents", ca_file))
    if json:
        print_json(found)
    else:
        print_table([row(agent) for agent in found], COLUMNS)


def row(agent: dict[str, Any]) -> dict[str, Any]:
    """One agent as people read it."""
    health = agent.get("health") or {}
    # A slave says nothing of its program: those figures are not zero, they are not known.
    own = health if agent.get("kind") != "slave" else {}
    offset, silent = agent.get("clock_offset"), agent.get("silent")
    return {
        "name": agent["name"],
        "location": agent["location"],
        "state": "up" if agent["alive"] else "silent" if agent["seen"] else "never heard",
        "heard": f"{silent:.0f} s ago" if silent is not None else None,
        "targets": agent["targets"],
        "pings": f"{own['pings_per_second']:.1f}" if own else None,
        "spool": own.get("spool_rounds"),
        # Less than that is the way between agent and master.
        "clock": f"{offset:+.1f} s" if offset is not None and abs(offset) >= 0.5 else None,
        "memory": f"{own['rss'] / 2**20:.0f} MiB" if own else None,
        "version": health.get("version"),
        "trouble": health.get("last_error"),
    }
