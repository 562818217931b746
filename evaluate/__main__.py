"""Run it: `python -m evaluate`. Takes about seventy minutes; `--quick` about ten."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from evaluate import history, side_by_side, slaves, under_smokeping
from evaluate.table import Table

#: Name -> what is run, given a directory and whether it is to be short.
PARTS: Final[dict[str, Callable[[Path, bool], Table]]] = {
    "side-by-side": lambda directory, quick: side_by_side.evaluate(directory, 30),
    "slaves": lambda directory, quick: slaves.evaluate(directory, 180 if quick else 3600),
    "history": lambda directory, quick: history.evaluate(directory, 20 if quick else 200),
    "under-smokeping": lambda directory, quick: under_smokeping.evaluate(directory, 12 if quick else 60),
}


def main() -> int:
    """Run the parts asked for and write the table; 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any, all")
    parser.add_argument("--quick", action="store_true", help="minutes instead of an hour")
    parser.add_argument("--output", type=Path, default=Path("evaluation.md"), help="where the table is written")
    parser.add_argument("--keep", type=Path, help="directory to keep what the programs wrote in")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such part; write {', '.join(PARTS)}")
    tables = list(_run(asked.parts or list(PARTS), asked.quick, asked.keep))
    text = "# Evaluation\n\n" + "\n".join(table.markdown() for table in tables)
    asked.output.write_text(text)
    print(text)
    return 0 if all(table.good for table in tables) else 1


def _run(parts: list[str], quick: bool, keep: Path | None) -> Iterator[Table]:
    with tempfile.TemporaryDirectory(prefix="smokemesh-evaluation-") as name:
        for part in parts:
            directory = (keep or Path(name)) / part
            directory.mkdir(parents=True)
            yield PARTS[part](directory, quick)


if __name__ == "__main__":
    raise SystemExit(main())
