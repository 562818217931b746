"""The table of an evaluation: what was expected, what was observed, and the verdict."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    """One line."""

    case: str
    expected: str
    observed: str
    good: bool


@dataclass
class Table:
    """Lines in the order they were found."""

    title: str
    cases: list[Case] = field(default_factory=list)

    def equal(self, case: str, expected: object, observed: object) -> None:
        """Good when both are the same."""
        self.cases.append(Case(case, _short(expected), _short(observed), expected == observed))

    def holds(self, case: str, expected: str, observed: object, good: bool) -> None:
        """Good as told."""
        self.cases.append(Case(case, expected, _short(observed), good))

    @property
    def good(self) -> bool:
        """Every line is."""
        return bool(self.cases) and all(case.good for case in self.cases)

    def markdown(self) -> str:
        """For people."""
        lines = [f"## {self.title}", "", "| case | expected | observed | verdict |", "| --- | --- | --- | --- |"]
        for case in self.cases:
            cells = (case.case, case.expected, case.observed, "good" if case.good else "**differs**")
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        return "\n".join(lines) + "\n"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
