"""Alert rules in plain words, in the reader's language: `>0%,*12*,>0%` is for those who know it."""

from smokemesh.analysis.alerts.patterns import Entry, Pattern, parse_pattern
from smokemesh.master.web import screen
from smokemesh.master.web.language import Catalogue
from smokemesh.model.alert import Alert


def rule_words(alert: Alert, t: Catalogue) -> str:
    """When an alert is raised."""
    return t.spaced(_words(alert, t))


def _words(alert: Alert, t: Catalogue) -> str:
    match alert.type:
        case "loss" | "rtt":
            return pattern_words(parse_pattern(alert.pattern, alert.type), t)
        case "matcher":
            return t("rule_matcher", name=alert.pattern.partition("(")[0])
        case "threshold":
            return _threshold(alert, t)
        case "deviation":
            what = t(f"measure_{alert.measure}")
            return t("rule_deviation", what=what, factor=f"{alert.factor:g}", span=t.span(alert.baseline))
    return t("rule_silent", span=t.span(alert.wait))


def _threshold(alert: Alert, t: Catalogue) -> str:
    bounds = [
        t(f"rule_{side}", limit=_amount(limit, alert.measure == "loss"))
        for side, limit in (("above", alert.above), ("below", alert.below))
        if limit is not None
    ]
    said = f"{t(f'measure_{alert.measure}')} {t('rule_or').join(bounds)}"
    return f"{said} {t('rule_for', span=t.span(alert.wait))}" if alert.wait else said


def pattern_words(pattern: Pattern, t: Catalogue) -> str:
    """Comparison by comparison, the same ones in a row as one, the gaps between them."""
    parts = []
    for k, group in enumerate(pattern.groups):
        if k:
            parts.append(t("rule_gap", count=pattern.gaps[k - 1]))
        parts += [_times(entry, count, pattern.type, t) for entry, count in _runs(group)]
    return t("rule_then").join(parts)


def _runs(group: tuple[Entry, ...]) -> list[tuple[Entry, int]]:
    found: list[tuple[Entry, int]] = []
    for entry in group:
        if found and found[-1][0] == entry:
            found[-1] = (entry, found[-1][1] + 1)
        else:
            found.append((entry, 1))
    return found


def _times(entry: Entry, count: int, type: str, t: Catalogue) -> str:
    said = _entry(entry, type, t)
    return t("rule_times", count=count, what=said) if count > 1 else said


def _entry(entry: Entry, type: str, t: Catalogue) -> str:
    what = t("measure_loss" if type == "loss" else "measure_median")
    named = {"*": "rule_any", "U": "rule_unknown", "!U": "rule_known", "S": "rule_start"}.get(entry.kind)
    if named:
        return t(named, what=what)
    said = _compared(entry.kind, entry.limit, type, t)
    return f"{what} {said}" + (t("rule_and") + _compared(entry.also, entry.also_limit, type, t) if entry.also else "")


def _compared(kind: str, limit: float, type: str, t: Catalogue) -> str:
    names = {">": "above", ">=": "from", "<": "below", "<=": "to", "==": "equal", "!=": "other"}
    return t(f"rule_{names[kind]}", limit=_amount(limit, type == "loss"))


def _amount(value: float, is_share: bool) -> str:
    return screen.percent(value) if is_share else screen.duration(value)
