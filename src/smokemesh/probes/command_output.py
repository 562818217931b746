"""What a program printed, read as RTTs the way a probe's `parse` says. Seconds, NaN for lost."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smokemesh.model import tools
from smokemesh.model.options import CommandOptions
from smokemesh.probes.tools.run import Ask, Output, numbers, ran
from smokemesh.probes.tools.table import INSTRUMENTS

_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what one probe's program prints."""

    call: Callable[[Output, Any, Ask], Sequence[float]]
    settings: Any = None

    def read(self, output: Output, ask: Ask) -> Sequence[float]:
        """RTTs in the order sent, as far as known."""
        return self.call(output, self.settings, ask)


def own_reader(options: CommandOptions) -> Reader:
    """The reader of a command line of its own. Raises ValueError when `parse` or `unit` make no sense."""
    if options.unit not in _UNITS:
        raise ValueError(f"unit: {options.unit!r} is unknown, write one of {', '.join(_UNITS)}")
    unit = _UNITS[options.unit]
    if options.parse == "exit":
        return Reader(ran)
    if options.parse == "lines":
        return Reader(lambda output, _settings, _ask: _lines(output, unit))
    if options.parse.startswith("regex:"):
        return _expression(options.parse.removeprefix("regex:"), unit)
    if options.parse in INSTRUMENTS:
        return Reader(INSTRUMENTS[options.parse].read, tools.read(options.parse, options.settings))
    raise ValueError(f"parse: {options.parse!r} is neither lines, exit, regex:… nor a tool's name")


def _lines(output: Output, unit: float) -> list[float]:
    """An RTT a line; `-`, an empty line or anything else is a lost ping."""
    lines = output.stdout.decode("utf-8", "replace").splitlines()
    return numbers((line.strip() for line in lines), unit)


def _expression(text: str, unit: float) -> Reader:
    try:
        pattern = re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"parse: {text!r} is no regular expression: {error}") from error
    if pattern.groups < 1:
        raise ValueError(f"parse: {text!r} has no group for the RTT, write it in parentheses")
    return Reader(
        lambda output, _settings, _ask: numbers((found[1] or "" for found in pattern.finditer(output.text)), unit)
    )
