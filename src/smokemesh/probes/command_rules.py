"""Which programs an agent runs, and what they may be told. The rule is the agent's own, whatever a master says.

A known tool (`model.tools`) is run by its usual name from a system directory, with a command line this package makes.
Everything else needs a word in the agent's `limits.commands`: the path of a program for a command line of its own or a
tool's other `binary`, the name of a tool for what `tools.FREE` lists, or `*` for all.
"""

import os
import shlex
import string
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from smokemesh.model import tools
from smokemesh.model.options import CommandOptions, read
from smokemesh.model.probe import Probe
from smokemesh.probes.command_output import Reader, own_reader
from smokemesh.probes.tools.run import Ask, Instrument, Run, is_address, plain
from smokemesh.probes.tools.table import INSTRUMENTS

#: Where programs are looked for, in this order: never where the environment says.
DIRECTORIES: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PLACEHOLDERS: Final = frozenset({"host", "address", "pings", "timeout", "family"})


@dataclass(frozen=True, slots=True)
class Order:
    """A probe's options, understood."""

    options: CommandOptions
    #: The words before anything is put in; empty for a tool.
    words: tuple[str, ...]
    reader: Reader
    tool: Instrument | None = None
    settings: Any = None

    @property
    def whole_round(self) -> bool:
        """One run measures all of a round."""
        return self.tool.whole_round if self.tool else self.options.run == "round"

    @property
    def program(self) -> str:
        """The name or path of what is run."""
        return (self.settings.binary or self.tool.program) if self.tool else self.words[0]


@lru_cache(maxsize=4096)
def order(pairs: tuple[tuple[str, str], ...]) -> Order:
    """What the options of a probe ask for. Raises ValueError that says what is wrong."""
    options = read(CommandOptions, pairs)
    if options.run not in ("ping", "round"):
        raise ValueError(f"run: {options.run!r} is neither ping nor round")
    if options.forks < 1:
        raise ValueError(f"forks: {options.forks} must be 1 or more")
    if options.tool:
        settings = tools.read(options.tool, options.settings)
        tool = INSTRUMENTS[options.tool]
        return Order(options, (), Reader(tool.read, settings), tool, settings)
    words = tuple(shlex.split(options.argv))
    if not words:
        raise ValueError("neither tool nor argv says what is run")
    for word in words:
        _check_placeholders(word)
    return Order(options, words, own_reader(options))


def _check_placeholders(word: str) -> None:
    """Bare names only: `{pings:>2000000000}` would make a word of two gigabytes."""
    for _, name, spec, conversion in string.Formatter().parse(word):
        if name is not None and (name not in _PLACEHOLDERS or spec or conversion):
            told = f"{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}"
            raise ValueError(f"argv: {word!r} holds {{{told}}}, known are {', '.join(sorted(_PLACEHOLDERS))}")


def refusal(probe: Probe, commands: Collection[str]) -> str:
    """Why an agent with these `limits.commands` does not run this probe, "" when it does."""
    try:
        wanted = order(probe.options)
    except ValueError as error:
        return f"probe {probe.name}: {error}"
    if "*" in commands:
        return ""
    program = wanted.program
    if wanted.tool is None:
        if "/" in program and program in commands:
            return ""
        return f"{program} is no known tool, and the agent's limits.commands does not name its path"
    if program not in (wanted.tool.program, *commands) and not _usual(program, wanted.tool.program):
        return f"{program} is not {wanted.tool.program} in a system directory, and limits.commands does not name it"
    name = wanted.options.tool
    free = next(_free(wanted), "") if name not in commands else ""
    return f"{name} may not be told {free}: the agent's limits.commands does not name {name}" if free else ""


def _free(wanted: Order) -> Iterator[str]:
    """What the probe asks of a tool beyond measuring this address."""
    settings = wanted.settings
    yield from (key for key in tools.FREE.get(wanted.options.tool, ()) if getattr(settings, key))
    if wanted.options.environment_file:
        yield "environment_file"
    if wanted.options.tool == "ftp" and settings.mode == "put":
        yield "mode=put"  # it would send a file of this host
    # An address is held against the agent's networks when it is used; what a name stands for is not known here.
    if wanted.options.tool == "traceroute" and settings.desthost and not is_address(settings.desthost):
        yield "a name as desthost"


def _usual(path: str, program: str) -> bool:
    directory, name = os.path.split(path)
    return name == program and directory in DIRECTORIES


def make_run(wanted: Order, ask: Ask) -> Run:
    """The program and its words. Raises ValueError where a host could become an option or a second word."""
    for what in (ask.host, ask.address):
        plain(what, "host")
    if wanted.tool is None:
        values = {
            "host": ask.host or ask.address, "address": ask.address, "pings": ask.pings,
            "timeout": f"{ask.timeout:g}", "family": ask.family,
        }  # fmt: skip
        variables = tuple(sorted(ask.secrets.items()))
        return Run(tuple(word.format(**values) for word in wanted.words), environment=variables)
    run = wanted.tool.command(wanted.settings, ask)
    return replace(run, argv=(wanted.settings.binary, *run.argv[1:])) if wanted.settings.binary else run
