"""SmokePing's alert patterns: `>0%,*12*,>0%,*12*,>0%`. What they mean as the manual says, and as SmokePing runs them.

A history is a sequence of values, the oldest first: a share (type loss) or seconds (type rtt), None for unknown, and
`START` where measuring began. In a pattern losses are percent and RTTs milliseconds, as people write them.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

#: Stands before the first round of a history.
START: Final = "S"
#: One judged value.
Value = float | Literal["S"] | None

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
#: What one unit of a pattern is in ours. Digits are read together with it: 33.3 divided by 1000 is not quite 0.0333.
_UNIT: Final[dict[str, str]] = {"loss": "e-2", "rtt": "e-3"}
_ENTRY: Final = re.compile(
    r"(==|!=|<=|>=|<|>|\*)(\d+(?:\.\d*)?|U|S|\d*\*)(%?)(?:(<=|>=|<|>)(\d+(?:\.\d*)?)(%?))?", re.ASCII
)
_GAP: Final = re.compile(r"[1-9]\d*\*", re.ASCII)
#: Longest pattern, in entries, and longest history it may look back on: more is a slip of the pen.
MOST_ENTRIES: Final = 1000
MOST_LENGTH: Final = 100_000
#: Comparisons one history may cost at worst. A pattern of two gaps of a day (`*288*`) each costs 84,000.
MOST_STEPS: Final = 250_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One comparison. `kind` is a key of OPERATORS, `U` unknown, `!U` known, `S` start or `*` anything."""

    text: str
    kind: str
    limit: float = 0.0
    #: A second comparison: `>45%<=55%`.
    also: str = ""
    also_limit: float = 0.0

    def holds(self, value: Value) -> bool:
        """Is the value as the entry wants it?"""
        match self.kind:
            case "*":
                return True
            case "U":
                return value is None
            case "!U":
                return value is not None
            case "S":
                return value == START
        if value is None or isinstance(value, str) or not OPERATORS[self.kind](value, self.limit):
            return False
        return not self.also or OPERATORS[self.also](value, self.also_limit)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern taken apart: `groups` of comparisons side by side, the oldest first, and the gaps between them."""

    text: str
    #: "loss" or "rtt".
    type: str
    groups: tuple[tuple[Entry, ...], ...]
    #: Values that may lie between one group and the next: at most this many.
    gaps: tuple[int, ...]
    #: Values it needs, and the most it looks at.
    minlength: int
    maxlength: int

    @property
    def steps(self) -> int:
        """Comparisons that a history may cost, at worst: each group at each shift the gaps right of it allow."""
        steps, shifts = 0, 1
        for group, gap in zip(self.groups[::-1], (*self.gaps[::-1], 0), strict=True):
            steps += shifts * (len(group) + gap)
            shifts += gap
        return steps

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All comparisons, the oldest first."""
        return tuple(entry for group in self.groups for entry in group)

    def matches(self, history: Sequence[Value], *, compat: bool = False) -> bool:
        """Does the end of the history look like this? `compat`: as SmokePing 2.7 decides it, mistakes included."""
        return self.places(history, compat=compat) is not None

    def places(self, history: Sequence[Value], *, compat: bool = False) -> tuple[int, ...] | None:
        """For each comparison the index of the value it is true of; None when the pattern does not match.

        An index is negative where SmokePing compares with what lies before the history.
        """
        if len(history) < self.minlength:
            return None
        shifts = _greedy(self, history) if compat else _backtracking(self, history)
        return None if shifts is None else self._indexes(len(history), shifts)

    def _indexes(self, length: int, shifts: Sequence[int]) -> tuple[int, ...]:
        """`shifts[k]` is how far group k lies from where it would be without gaps."""
        first, found = length - self.minlength, []
        for group, shift in zip(self.groups, shifts, strict=True):
            found += [first - shift + i for i in range(len(group))]
            first += len(group)
        return tuple(found)


def parse_pattern(text: str, type: str) -> Pattern:
    """A pattern of type loss or rtt. Raises ValueError in one line."""
    if type not in _UNIT:
        raise ValueError(f"type {type!r} has no patterns, write loss or rtt")
    words = re.split(r"\s*,\s*", text.strip(), flags=re.ASCII)
    while len(words) > 1 and not words[-1]:
        words.pop()  # as SmokePing: a comma at the end is nothing
    if len(words) > MOST_ENTRIES:
        raise ValueError(f"pattern has {len(words)} entries, may have {MOST_ENTRIES}")
    groups: list[list[Entry]] = [[]]
    gaps: list[int] = []
    for word in words:
        parsed = _entry(word, type)
        if isinstance(parsed, Entry):
            groups[-1].append(parsed)
        else:
            gaps.append(parsed)
            groups.append([])
    needed = sum(map(len, groups))
    if needed + sum(gaps) > MOST_LENGTH:
        raise ValueError(f"pattern {text[:60]!r} looks back on {needed + sum(gaps)} values, may on {MOST_LENGTH}")
    pattern = Pattern(text, type, tuple(map(tuple, groups)), tuple(gaps), needed, needed + sum(gaps))
    if pattern.steps > MOST_STEPS:
        raise ValueError(
            f"pattern {text[:60]!r} may take {pattern.steps} comparisons a round, may {MOST_STEPS}; write fewer or shorter gaps"
        )
    return pattern


def _entry(word: str, type: str) -> Entry | int:
    """A comparison, or the length of a gap."""
    match = _ENTRY.fullmatch(word)
    if match is None:
        raise ValueError(f"pattern entry {word[:60]!r} is invalid, write like >20%, ==U, ==S, ==* or *12*")
    sign, wanted, percent, also, also_wanted, also_percent = match.groups()
    if sign == "*":
        if not _GAP.fullmatch(wanted):
            raise ValueError(f"pattern entry {word!r}: a gap is written *N*, N from 1 on")
        return int(wanted[:-1]) if len(wanted) < 10 else MOST_LENGTH + 1
    if wanted in ("U", "S", "*"):
        return Entry(word, _named(word, sign, wanted))
    if type == "loss" and (not percent or (also and not also_percent)):
        raise ValueError(f"pattern entry {word!r}: loss should be specified in %, write {_with_percent(match)}")
    limit = float(wanted.rstrip("*") + _UNIT[type])
    return Entry(word, sign, limit, also, float(also_wanted + _UNIT[type])) if also else Entry(word, sign, limit)


def _named(word: str, sign: str, wanted: str) -> str:
    """The kind of an entry about U, S or *."""
    if wanted == "U" and sign == "!=":
        return "!U"
    if sign != "==":
        signs = ("==", "!=") if wanted == "U" else ("==",)
        cures = " or ".join(f"{one}{wanted}" for one in signs)
        raise ValueError(f"pattern entry {word!r}: {wanted} is only valid with {' or '.join(signs)}, write {cures}")
    return wanted


def _with_percent(match: re.Match[str]) -> str:
    sign, wanted, _, also, also_wanted, _ = match.groups()
    return f"{sign}{wanted.rstrip('*')}%" + (f"{also}{also_wanted}%" if also else "")


def _holds(group: Sequence[Entry], history: Sequence[Value], first: int) -> bool:
    """Are the entries true of the values from `first` on? What lies before the history is unknown."""
    return all(entry.holds(history[i] if i >= 0 else None) for i, entry in enumerate(group, first))


def _backtracking(pattern: Pattern, history: Sequence[Value]) -> list[int] | None:
    """As the manual says: between two groups any number of values up to the gap's, the fewest that do.

    `reach[k]` maps each shift at which groups k and later fit to the shift of group k + 1 there.
    """
    room, last = len(history) - pattern.minlength, len(pattern.groups) - 1
    starts = [room + n for n in accumulate([0, *map(len, pattern.groups[:-1])])]
    if not _holds(pattern.groups[last], history, starts[last]):
        return None
    reach: list[dict[int, int]] = [{} for _ in pattern.groups]
    reach[last] = {0: 0}
    for k in range(last - 1, -1, -1):
        shifts = {
            s + n: s for s in sorted(reach[k + 1], reverse=True) for n in range(min(pattern.gaps[k], room - s) + 1)
        }
        reach[k] = {s: way for s, way in shifts.items() if _holds(pattern.groups[k], history, starts[k] - s)}
    if not reach[0]:
        return None
    found = [min(reach[0])]
    for ways in reach[:-1]:
        found.append(ways[found[-1]])
    return found


def _greedy(pattern: Pattern, history: Sequence[Value]) -> list[int] | None:
    """As SmokePing 2.7.3 was measured to do, which finds less than its manual promises.

    The right-most gap is tried from 0 up; for each try the groups further left are searched first, and where they
    are not found all is lost. A gap stays below its number and below the values there is room for, so one value more
    than needed must be there; and all shifts so far, its own counted twice, stay below the pattern's length.
    """
    room, last = len(history) - pattern.minlength, len(pattern.groups) - 1
    starts = [room + n for n in accumulate([0, *map(len, pattern.groups[:-1])])]
    # What is found for a group depends on nothing but the shift of the group right of it, so it is looked for once.
    found: dict[tuple[int, int], int] = {}

    def search(k: int, right: int) -> int:
        """The shift of group k where the group right of it has shift `right`, -1 when it is not found."""
        known = found.get((k, right))
        if known is not None:
            return known
        own, shift = 0, -1
        while own < min(pattern.maxlength - right - own, room, pattern.gaps[k]):
            if k and search(k - 1, right + own) < 0:
                break
            if _holds(pattern.groups[k], history, starts[k] - right - own):
                shift = right + own
                break
            own += 1
        found[k, right] = shift
        return shift

    if not _holds(pattern.groups[last], history, starts[last]) or (last and search(last - 1, 0) < 0):
        return None
    shifts = [0]
    for k in range(last - 1, -1, -1):
        shifts.append(found[k, shifts[-1]])
    return shifts[::-1]
