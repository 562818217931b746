"""What the address of a page of graphs asks for that cannot be shown: a line for each, in the reader's language.

The page then shows its usual range and all agents. Pure: parameters and the time in, lines out.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from smokemesh.errors import UsageError
from smokemesh.master.web import ranges
from smokemesh.master.web.language import Catalogue

#: Characters of a parameter that are repeated.
_MOST: Final = 60


def refused_range(given: Sequence[tuple[str, str]], t: Catalogue, now: int) -> str:
    """Why the range is not shown; "" when it is, or none is asked for."""
    written = dict(reversed(given))
    begin, end = written.get("from", ""), written.get("to", "")
    if not begin:
        return t("asked_alone", end=end[:_MOST]) if end else ""
    for text in (begin, end or "now"):
        try:
            ranges.parse_time(text, now)
        except UsageError:
            return t("asked_time", text=text[:_MOST])
    try:
        ranges.parse_range(begin, end, now)
    except UsageError:
        late = ranges.parse_time(begin, now) >= ranges.parse_time(end or "now", now)
        return t("asked_order" if late else "asked_long", begin=begin[:_MOST], end=end[:_MOST] or "now")
    return ""


def unknown_agents(given: Sequence[tuple[str, str]], known: Iterable[str], t: Catalogue) -> list[str]:
    """A line for each agent that is asked for and does not measure this."""
    names = list(known)
    asked = dict.fromkeys(value for name, value in given if name == "agent" and value not in names)
    return [t("asked_agent", name=name[:_MOST], known=", ".join(names)) for name in list(asked)[:5]]


def unknown_lines(given: Sequence[tuple[str, str]], known: Iterable[str], t: Catalogue) -> list[str]:
    """A line for each line of the graph that is asked for and is not drawn here."""
    names = set(known)
    asked = dict.fromkeys(value for name, value in given if name == "line" and value not in names)
    return [t("asked_line", name=name[:_MOST]) for name in list(asked)[:5]]
