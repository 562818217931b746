"""`smokemesh import-rrd`: the history of a SmokePing, out of its RRD files into our store.

Debian's `rrdtool` reads the files, two at a time; what each means stands in `smokeping.archive`, what is kept in
`storage.history`. It may be stopped at any time and started again: nothing is brought in twice.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from smokemesh.cli.output import print_json
from smokemesh.errors import ConfigError, HostError, SmokemeshError, UsageError
from smokemesh.model.assignment import task_id
from smokemesh.settings.shape import LOCAL_AGENT, MasterSettings

if TYPE_CHECKING:
    from smokemesh.smokeping.archive import Archive
    from smokemesh.storage.history import HistoryStore

#: Files read and kept together.
TOGETHER: Final = 40
#: Seconds `rrdtool` may take for one file.
PATIENCE: Final = 120


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One file, and whose history it holds."""

    agent: str
    target: str
    task: int
    file: str


@dataclass
class Report:
    """What became of the files."""

    files: int = 0
    rounds: int = 0
    rows: int = 0
    #: Rounds and coarser rows that had been brought in before.
    known: int = 0
    #: File -> why it was left out.
    skipped: dict[str, str] = field(default_factory=dict)
    resumed: bool = False


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--config", default="/etc/smokemesh/smokemesh.yaml", help="The master's configuration.", metavar="FILE")
@click.option("--data", default=None, help="The master's data directory.", metavar="DIR")
@click.option("--rename", multiple=True, help="A part of the tree has another path now.", metavar="/OLD=/NEW")
@click.option("--dry-run", is_flag=True, help="Say what would be read, and bring in nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    directory: str, config: str, data: str | None, rename: tuple[str, ...], dry_run: bool, as_json: bool
) -> int:
    """Bring in the RRD files below DIR (SmokePing's `datadir`).

    A file A/B/NAME.rrd is the history of target /A/B/NAME, NAME~SLAVE.rrd as that slave saw it. The finest rows become
    rounds, coarser ones keep their resolution. Stop the master before, unless it keeps its rounds on a ClickHouse server.
    """
    from smokemesh.cli.master import default_data_dir, load_settings

    if not os.path.isdir(directory):
        raise UsageError(f"{directory}: is no directory; write the datadir of the SmokePing")
    if shutil.which("rrdtool") is None:
        raise HostError("rrdtool is not there; sudo apt-get install rrdtool")
    settings = load_settings(config)
    report = Report()
    sources = sorted(find(Path(directory), settings, _renames(rename), report))
    if not dry_run and sources:
        bring(sources, settings, data or default_data_dir(), report)
    _print(report, sources, as_json, dry_run)
    return 0 if sources else 1


def find(directory: Path, settings: MasterSettings, renames: dict[str, str], report: Report) -> Iterator[Source]:
    """The files that belong to a target; others are noted with the reason."""
    probes = {target.path: target.probe for target in settings.targets}
    for file in sorted(directory.rglob("*.rrd")):
        stem, _, slave = file.relative_to(directory).as_posix().removesuffix(".rrd").partition("~")
        path, agent = _renamed(f"/{stem}", renames), slave or LOCAL_AGENT
        if path not in probes:
            report.skipped[str(file)] = f"the configuration has no target {path}"
        elif slave and slave not in settings.agents:
            report.skipped[str(file)] = f"the configuration has no agent {slave}"
        else:
            yield Source(agent, path, task_id(path, probes[path]), str(file))


def bring(sources: Sequence[Source], settings: MasterSettings, data: str, report: Report) -> None:
    """Read the files and keep what is new, agent by agent."""
    from smokemesh.master.premises import data_directory
    from smokemesh.storage.history import HistoryStore

    own = not settings.storage_dsn.startswith("clickhouse")
    place = data if own else os.path.join(data, "import")
    dsn = settings.storage_dsn or f"chdb://{os.path.abspath(data)}/rounds"
    with data_directory(place):
        store = HistoryStore(dsn, settings.retention, settings.storage_cluster, place)
        try:
            report.resumed = store.resume()
            with _progress(len(sources)) as advance, ThreadPoolExecutor(2) as readers:
                for agent, group in groupby(sources, key=lambda source: source.agent):
                    mine = list(group)
                    for start in range(0, len(mine), TOGETHER):
                        _bring_some(store, agent, mine[start : start + TOGETHER], readers, report, advance)
        finally:
            store.close()


def _bring_some(
    store: "HistoryStore",
    agent: str,
    sources: Sequence[Source],
    readers: ThreadPoolExecutor,
    report: Report,
    advance: Any,
) -> None:
    from smokemesh.model.rounds import RoundBatch
    from smokemesh.storage.history import CoarseRows

    native = store.native(agent, [source.task for source in sources])
    batches, coarse = [], []
    for source, archive in zip(sources, readers.map(_read, sources), strict=True):
        advance()
        if isinstance(archive, SmokemeshError):
            report.skipped[source.file] = str(archive)
            continue
        report.files += 1
        batch, rows = _sort_out(archive, source.task, native.get(source.task))
        batches.append(batch)
        coarse.append(rows)
    rows, rounds = CoarseRows.concatenate(coarse), RoundBatch.concatenate(batches)
    rows_kept, rounds_kept = store.bring(agent, rows, rounds)
    report.rows += rows_kept
    report.rounds += rounds_kept
    report.known += len(rows) + len(rounds) - rows_kept - rounds_kept


def _sort_out(archive: "Archive", task: int, native: int | None) -> Any:
    """An archive as rounds and coarse rows, up to when the agent began to measure by itself."""
    import numpy as np

    from smokemesh.smokeping.archive import SECOND, history, rounds, split
    from smokemesh.storage.history import CoarseRows

    before = archive.updated if native is None else min(archive.updated, native // SECOND)
    finest, coarser = split(archive, before)
    kept = history(archive, coarser)
    columns = {name: getattr(kept, name) for name in CoarseRows.__dataclass_fields__ if name != "task"}
    return rounds(finest, archive.pings, task), CoarseRows(task=np.full(len(kept), task, np.uint64), **columns)


def _read(source: Source) -> "Archive | SmokemeshError":
    """One file, or why it cannot be read: one broken file must not stop the others."""
    from smokemesh.smokeping.archive import parse_dump

    try:
        told = subprocess.run(
            ["rrdtool", "dump", source.file], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if told.returncode:
            reason = " ".join(told.stderr.split())
            return ConfigError(f"rrdtool cannot read it: {reason[:200]}", file=source.file)
        return parse_dump(told.stdout, source.file)
    except subprocess.TimeoutExpired:
        return ConfigError(f"rrdtool took longer than {PATIENCE} s", file=source.file)
    except UnicodeDecodeError:
        return ConfigError("rrdtool printed something that is no text", file=source.file)
    except ConfigError as error:
        return error


def _renames(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        old, sign, new = word.partition("=")
        if not sign or not old.startswith("/") or not new.startswith("/"):
            raise UsageError(f"--rename {word}: write /OLD=/NEW, two paths")
        pairs[old.rstrip("/")] = new.rstrip("/")
    return pairs


def _renamed(path: str, renames: dict[str, str]) -> str:
    for old, new in renames.items():
        if path == old or path.startswith(f"{old}/"):
            return new + path[len(old) :]
    return path


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere; yields what is called after each file."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("files", total=total)
        yield lambda: progress.advance(task)


def _print(report: Report, sources: Sequence[Source], as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"found": len(sources), **vars(report)})
        return
    for file, reason in report.skipped.items():
        click.echo(f"skipped: {file}: {reason.removeprefix(f'{file}: ')}", err=True)
    if dry_run:
        for source in sources:
            click.echo(f"{source.file}: {source.target} as {source.agent} saw it")
    agents = len({source.agent for source in sources})
    click.echo(
        f"{len(sources)} files of {agents} {'agent' if agents == 1 else 'agents'}, {len(report.skipped)} skipped"
    )
    if not dry_run:
        there = f"; {report.known} were there already" if report.known else ""
        click.echo(f"brought in: {report.rounds} rounds, {report.rows} coarser rows{there}")
