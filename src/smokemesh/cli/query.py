"""`smokemesh query`: ask a master for the measurements of a target; a table for people, JSON or CSV for programs."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any, Final

import click

from smokemesh.errors import MasterError, NotFound, SmokemeshError, UsageError

#: Seconds to wait for the master.
PATIENCE: Final = 60.0
#: Points of the table when a person reads it.
LINES: Final = 24


@click.command("query")
@click.argument("target")
@click.option("--master", default="http://127.0.0.1:8080", show_default=True, metavar="URL", help="The master to ask.")
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Only as this agent saw it; may be repeated.")
@click.option(
    "--from",
    "begin",
    default="now-3h",
    show_default=True,
    metavar="TIME",
    help="now-3h, 2026-11-21T10:00:00Z or Unix seconds.",
)
@click.option("--to", "end", default="now", show_default=True, metavar="TIME", help="As --from.")
@click.option(
    "--points",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="At most about so many points; rounds are merged to keep to it.",
)
@click.option("--json", "as_json", is_flag=True, help="The API's answer.")
@click.option("--csv", "as_csv", is_flag=True, help="One line for each point, RTTs in seconds.")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust for an https master.")
def command(
    target: str,
    master: str,
    agents: Sequence[str],
    begin: str,
    end: str,
    points: int | None,
    as_json: bool,
    as_csv: bool,
    ca_file: str | None,
) -> None:
    """Show what was measured of TARGET, a path like /changzhou/rack29."""
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude one another: give one of them")
    amount = points or (1000 if as_json or as_csv else LINES)
    asked = [("target", target), *(("agent", name) for name in agents), ("begin", begin), ("end", end)]
    question = urllib.parse.urlencode([*asked, ("points", str(amount))])
    answer = ask(f"{master.rstrip('/')}/api/v1/{'graph.csv' if as_csv else 'series'}?{question}", ca_file)
    if as_json or as_csv:
        sys.stdout.buffer.write(answer if answer.endswith(b"\n") else answer + b"\n")
    else:
        show(json.loads(answer))


def ask(url: str, ca_file: str | None = None, body: Any = None) -> bytes:
    """The master's answer; a `body` is posted as JSON. Raises what it says is wrong."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--master {url.partition('/api/')[0]}: must begin with http:// or https://")
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file) if url.startswith("https://") else None
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, {"Content-Type": "application/json"} if content else {})
        with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
            reply: bytes = answer.read()
            return reply
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from None
    except FileNotFoundError:
        raise UsageError(f"--ca-file {ca_file}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MasterError(f"master {_origin(url)}: {getattr(reason, 'strerror', None) or reason}") from None


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _refusal(url: str, error: urllib.error.HTTPError) -> SmokemeshError:
    """The master's own words, if it is one of ours that answered."""
    try:
        said = json.loads(error.read())
        message = str(said["message"])
    except (ValueError, KeyError, TypeError):
        return MasterError(f"master {_origin(url)}: answered {error.code} {error.reason}; is it a smokemesh master?")
    kinds: dict[int, type[SmokemeshError]] = {400: UsageError, 404: NotFound}
    return kinds.get(error.code, MasterError)(message)


def show(reply: dict[str, Any]) -> None:
    """The answer as tables, one for each agent."""
    from smokemesh.cli.output import print_table
    from smokemesh.master.web.screen import duration, percent, span

    for place, series in enumerate(reply["series"]):
        summary = series["summary"]
        lost = f"{summary['sent'] - summary['received']} of {summary['sent']}"
        doubtful = f", up to {summary['doubtful']} perhaps lost by the agent itself" if summary["doubtful"] else ""
        click.echo(
            ("\n" if place else "") + f"{_seen(series)}: median {duration(summary['median_average'])}, "
            f"loss {percent(summary['loss_average'])} ({lost}{doubtful}), sd {duration(summary['deviation'])}, "
            f"one line stands for {span(series['step'])}{_widened(reply, series)}"
        )
        if not series["time"]:
            click.echo("nothing was measured in this range")
            continue
        print_table([_row(series, k) for k in range(len(series["time"]))], _COLUMNS)


def _seen(series: dict[str, Any]) -> str:
    """Which target as who sees it; on a page of several targets the title names the line, not the place."""
    if series["page"] == series["target"]:
        return f"{series['target']} seen from {series['title']}"
    address = f" · {series['address']}" if series["address"] else ""
    return f"{series['title']}: {series['target']} seen from {series['agent']}{address}"


def _widened(reply: dict[str, Any], series: dict[str, Any]) -> str:
    """The range of the figures, where it is not about the range asked for: rollups are counted by whole bins."""
    begin, end = min(series["begin"], reply["begin"]), max(min(series["end"], reply["now"]), reply["end"])
    asked = reply["end"] - reply["begin"]
    return f", figures from {_moment(begin)} to {_moment(end)}" if end - begin > 1.01 * asked else ""


def _moment(time: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


_COLUMNS: Final = {
    "time": "TIME", "median": "MEDIAN", "least": "LEAST", "most": "MOST", "jitter": "JITTER", "loss": "LOSS",
    "pings": "ANSWERED",
}  # fmt: skip


def _row(series: dict[str, Any], k: int) -> dict[str, str]:
    from smokemesh.master.web.screen import duration, percent

    sent, received = series["sent"][k], series["received"][k]
    return {
        "time": _moment(series["time"][k]),
        "median": duration(series["median"][k]),
        "least": duration(series["bands"][0][k]),
        "most": duration(series["bands"][-1][k]),
        "jitter": duration(series["jitter"][k]),
        "loss": percent((sent - received) / sent if sent else None),
        "pings": f"{received}/{sent}",
    }
