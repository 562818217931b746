"""SmokePing's matchers, `CheckLoss(l => 50, x => 5)`: conditions a pattern cannot say, some of which hold on by a state.

They judge the same histories as `patterns` (shares, seconds, None, START). Parameters are read, never run: percent,
and milliseconds for CheckLatency, seconds for Median, as SmokePing has them. ConsecutiveLoss is of 2.8, the others of 2.7.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from smokemesh.analysis.alerts.patterns import MOST_LENGTH, OPERATORS, START, Value

Parameters = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a matcher sees: the history up to now, and whether it matched before."""

    loss: Sequence[Value]
    rtt: Sequence[Value]
    raised: bool = False
    #: Decide as SmokePing 2.7 does, mistakes included.
    compat: bool = False


Verdict = Callable[[Parameters, Sight], bool]


@dataclass(frozen=True, slots=True)
class Matcher:
    """A matcher with its parameters."""

    text: str
    name: str
    parameters: Parameters
    #: Values it looks back on.
    maxlength: int
    _judge: Verdict = field(repr=False)

    @property
    def type(self) -> str:
        """What it judges: "loss" or "rtt"."""
        return "loss" if "Loss" in self.name else "rtt"

    def matches(self, sight: Sight) -> bool:
        """Is the alert on after this?"""
        return self._judge(self.parameters, sight)


def parse_matcher(text: str) -> Matcher:
    """A matcher as SmokePing's users write it. Raises ValueError in one line."""
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"matcher {text[:60]!r} is not of the form Name(key => value, …)")
    name = match[1]
    form = FORMS.get(name)
    if form is None:
        raise ValueError(f"matcher {name!r} is unknown, write one of {', '.join(FORMS)}")
    given = _arguments(name, match[2])
    for key in given:
        if key not in form.parameters:
            raise ValueError(f"matcher {name}: parameter {key!r} is unknown, it has {', '.join(form.parameters)}")
    parameters = {key: _value(name, key, form.parameters[key], given.get(key, "")) for key in form.parameters}
    length = form.length(parameters)
    if not 1 <= length <= MOST_LENGTH:
        raise ValueError(f"matcher {name} looks back on {length:.0f} values, must be 1 to {MOST_LENGTH}")
    return Matcher(text, name, parameters, int(length), form.judge)


def median(p: Parameters, sight: Sight) -> bool:
    """The median RTT of the newest values lies further from that of those before than `diff` seconds."""
    old, new, diff = _number(p, "old"), _number(p, "new"), float(p["diff"])
    recent = list(sight.rtt[-(old + new) :])
    # Of a short history the newest part is whole.
    before, after = recent[:-new] if new else recent, recent[-new:] if new else []
    if not sight.compat:
        known = bool(_numbers(before)) and bool(_numbers(after))
        return known and len(recent) == old + new and abs(_middle(before) - _middle(after)) > diff
    return abs(_middle(before) - _middle(after)) > diff


def avgratio(p: Parameters, sight: Sight) -> bool:
    """The mean RTT of the newest values, divided by that of those before, compares so with `percentage`."""
    return _ratio(p, sight, _mean)


def medratio(p: Parameters, sight: Sight) -> bool:
    """As Avgratio, of medians."""
    return _ratio(p, sight, _upper_middle if sight.compat else _middle)


def check_loss(p: Parameters, sight: Sight) -> bool:
    """`x` values on end with a loss of at least `l` percent raise it, `x` below clear it."""
    return _hold(sight.loss, float(p["l"]) / 100, _number(p, "x"), sight)


def check_latency(p: Parameters, sight: Sight) -> bool:
    """As CheckLoss, with RTTs of at least `l` milliseconds."""
    return _hold(sight.rtt, float(p["l"]) / 1000, _number(p, "x"), sight)


def consecutive_loss(p: Parameters, sight: Sight) -> bool:
    """Raised and cleared by limits and counts of their own."""
    steps = _number(p, "stepsclear" if sight.raised else "stepsraise")
    recent = sight.loss[-steps:] if steps else ()
    values = _numbers(recent)
    if len(recent) < steps or START in recent or len(values) < steps:
        return sight.raised
    if sight.raised:
        return not all(value < float(p["pctlossclear"]) / 100 for value in values)
    return all(value >= float(p["pctlossraise"]) / 100 for value in values)


def exp_loss(p: Parameters, sight: Sight) -> bool:
    """The exponentially weighted loss reaches `rising`, and then until it falls below `falling`."""
    hist, rising, skip, fast = _number(p, "hist"), float(p["rising"]), _number(p, "skip"), _number(p, "fast")
    falling = float(p["falling"]) if p["falling"] != "" else rising
    if sight.compat and p["falling"] != "":
        falling = 1.0  # whatever is written: a slip of precedence in SmokePing 2.7
    # SmokePing weights all it remembers, which may be more than `hist` for the sake of other alerts.
    recent = sight.loss if sight.compat else sight.loss[-hist:]
    if len(sight.loss) <= skip + 1 and (sight.compat or START in sight.loss):
        return False
    values = [round(value * 100, 9) for value in _numbers(recent)]
    if not values:
        return False if sight.compat else sight.raised
    if fast and len(values) >= fast:
        newest = values[-fast:]
        if all(value >= rising for value in newest):
            return True
        if all(value <= falling for value in newest):
            return False
    weighted = _weighted(values, hist)
    return weighted >= rising or (sight.raised and weighted >= falling)


def _weighted(values: Sequence[float], hist: int) -> float:
    """The weighted mean: the oldest of `hist` values counts a hundredth of the newest; what lacks is their plain mean."""
    share = 1 - 0.01 ** (1 / hist)
    weighted = 0.0
    for value in values:
        weighted = (1 - share) * weighted + share * value
    return weighted + sum(values) / len(values) * (1 - share) ** len(values)


def _hold(values: Sequence[Value], limit: float, count: int, sight: Sight) -> bool:
    """Flips when `count` of the last `count` values lie on the other side. What is not known is on neither side."""
    recent = values[-count:]
    if START in recent:
        return sight.raised
    # SmokePing takes an unknown value for 0.
    known = [value or 0.0 for value in recent if not isinstance(value, str)] if sight.compat else _numbers(recent)
    other = sum((value < limit) if sight.raised else (value >= limit) for value in known)
    return sight.raised if other < count else not sight.raised


def _ratio(p: Parameters, sight: Sight, average: Callable[[Sequence[Value]], float]) -> bool:
    historic, current = _number(p, "historic"), _number(p, "current")
    recent = sight.rtt[-(historic + current) :]
    if len(recent) < historic + current or recent[0] == START:
        return False
    before, after = average(recent[:historic]), average(recent[historic:])
    if before == 0 or after == 0:
        return False
    return OPERATORS[str(p["comparator"])](after / before, float(p["percentage"]) / 100)


def _numbers(values: Sequence[Value]) -> list[float]:
    return [value for value in values if value is not None and not isinstance(value, str)]


def _mean(values: Sequence[Value]) -> float:
    """Mean of what is known, 0 of nothing."""
    known = _numbers(values)
    return sum(known) / len(known) if known else 0.0


def _middle(values: Sequence[Value]) -> float:
    """Median of what is known, 0 of nothing."""
    known = sorted(_numbers(values))
    half = len(known) // 2
    if not known:
        return 0.0
    return known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2


def _upper_middle(values: Sequence[Value]) -> float:
    """As SmokePing's Medratio: the upper of two, and what is not known counts as 0."""
    known = sorted(value if isinstance(value, float | int) else 0.0 for value in values)
    return known[len(known) // 2] if known else 0.0


def _number(p: Parameters, key: str) -> int:
    return int(p[key])


@dataclass(frozen=True, slots=True)
class _Form:
    """What may be written between the parentheses: "int", "number", "comparator"; a `?` marks what may be left out."""

    parameters: dict[str, str]
    length: Callable[[Parameters], float]
    judge: Verdict


_RATIO: Final = {"historic": "int", "current": "int", "comparator": "comparator", "percentage": "number"}
_CONSECUTIVE: Final = {"pctlossraise": "int", "stepsraise": "int", "pctlossclear": "int", "stepsclear": "int"}
_EXPLOSS: Final = {"hist": "int", "rising": "number", "falling": "number?", "skip": "int?", "fast": "int?"}
FORMS: Final[dict[str, _Form]] = {
    "Median": _Form(
        {"old": "int", "new": "int", "diff": "number"}, lambda p: float(p["old"]) + float(p["new"]), median
    ),
    "Avgratio": _Form(_RATIO, lambda p: float(p["historic"]) + float(p["current"]), avgratio),
    "Medratio": _Form(_RATIO, lambda p: float(p["historic"]) + float(p["current"]), medratio),
    "CheckLoss": _Form({"l": "int", "x": "int"}, lambda p: float(p["x"]), check_loss),
    "CheckLatency": _Form({"l": "int", "x": "int"}, lambda p: float(p["x"]), check_latency),
    "ConsecutiveLoss": _Form(
        _CONSECUTIVE, lambda p: max(float(p["stepsraise"]), float(p["stepsclear"])), consecutive_loss
    ),
    "ExpLoss": _Form(_EXPLOSS, lambda p: float(p["hist"]), exp_loss),
}
#: SmokePing looks for the form anywhere, so a semicolon at the end is common.
_CALL: Final = re.compile(r"\s*([^\s(]+)\((.+)\)\s*;?\s*", re.DOTALL)
_TOKEN: Final = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s,=>'\"]+))\s*(?:=>|,|$)")
_WHOLE: Final = re.compile(r"\d+", re.ASCII)
_DECIMAL: Final = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)


def _arguments(name: str, text: str) -> dict[str, str]:
    """The list as keys and values; `=>` is a comma to Perl."""
    words, place, text = [], 0, text.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"matcher {name}: {text[place:][:40]!r} is not understood, write key => value, …")
        single, double, bare = match.groups()
        words.append(_bare(bare) if bare is not None else double if single is None else single)
        place = match.end()
    if len(words) % 2:
        raise ValueError(f"matcher {name}: {words[-1][:40]!r} has no value, write key => value, …")
    return dict(zip(words[::2], words[1::2], strict=True))


def _bare(word: str) -> str:
    """A word without quotes; numbers as Perl reads them: 1_000 is 1000, and 010 is eight."""
    if re.fullmatch(r"\d[\d_]*", word, re.ASCII):
        plain = word.replace("_", "")
        return str(int(plain, 8)) if re.fullmatch(r"0[0-7]+", plain) else plain
    return word


def _value(name: str, key: str, form: str, text: str) -> float | str:
    """A parameter as a value. Raises ValueError."""
    if not text:
        if form.endswith("?"):
            return 0.0 if form == "int?" else ""
        raise ValueError(f"matcher {name}: parameter {key!r} is missing")
    kind = form.removesuffix("?")
    if kind == "comparator":
        if text in OPERATORS and text != "!=":
            return text
        raise ValueError(f"matcher {name}: {key} is {text[:40]!r}, must be one of '<', '>', '<=', '>=', '=='")
    pattern, wanted = (_WHOLE, "a whole number") if kind == "int" else (_DECIMAL, "a number")
    if not pattern.fullmatch(text) or len(text) > 20:
        raise ValueError(f"matcher {name}: {key} is {text[:40]!r}, must be {wanted}")
    return float(text)
