"""`smokemesh doctor`: what this host lacks, and the exact fix."""

import shutil
import sys
import textwrap
from dataclasses import asdict

import click

from smokemesh.cli.checkup import BAD, NOTE, OK, Finding, examine
from smokemesh.cli.output import print_json
from smokemesh.errors import HostError, UsageError
from smokemesh.settings.kinds import parse_listen
from smokemesh.settings.reference import SECTIONS

_MARKS = {OK: ("ok", "green"), NOTE: ("note", "yellow"), BAD: ("BAD", "red")}
_NAME = 16


@click.command(name="doctor")
@click.option("--data", metavar="DIR", help="Data directory to look at.  [default: the one `up` would take]")
@click.option(
    "--listen", default=SECTIONS["master"].settings["listen"].default, metavar="HOST:PORT", help="Port to look at."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(data: str | None, listen: str, as_json: bool) -> int:
    """Say what this host lacks, with the exact fix.

    Changes nothing. Exit status 0, or 3 when something keeps smokemesh from measuring or storing.
    """
    from smokemesh.cli.master import default_data_dir

    try:
        place = parse_listen(listen)
    except ValueError as error:
        raise UsageError(f'--listen "{listen}" {error}') from None
    findings = []
    for finding in examine(data or default_data_dir(), place):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    return HostError.exit_status if any(finding.status == BAD for finding in findings) else 0


def _print(finding: Finding) -> None:
    mark, color = _MARKS[finding.status]
    indent = " " * (5 + _NAME)
    click.secho(f"{mark:<5}", fg=color, nl=False)
    click.echo(_fold(f"{finding.name:<{_NAME}}{finding.found}", indent))
    if finding.fix:
        click.echo(f"{indent}fix: {finding.fix}")  # never folded: it is to be copied


def _fold(text: str, indent: str) -> str:
    if not sys.stdout.isatty():
        return text
    width = max(60, shutil.get_terminal_size().columns - len(indent))
    return f"\n{indent}".join(
        [text[:_NAME] + line if i == 0 else line for i, line in enumerate(textwrap.wrap(text[_NAME:], width))]
    )
