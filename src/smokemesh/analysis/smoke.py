"""The smoke graph as numbers: bands, their shades, the colour of a loss, the vertical axis.

Every renderer (page, SVG, PNG) takes them from here. The look is SmokePing's: nested bands of the sorted
pings, light outside and dark inside, and a median coloured by loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.analysis import stats
from smokemesh.model.series import BANDS


@dataclass(frozen=True, slots=True)
class Layer:
    """Smoke between two columns of the bands, in a grey of 0 (black) to 255."""

    low: int
    high: int
    grey: int


@dataclass(frozen=True, slots=True)
class LossStep:
    """One colour of loss: for shares up to and including `most`, as far as no smaller step holds them."""

    most: float
    #: Six hexadecimal digits.
    color: str
    #: Lost pings of a round, for people.
    label: str


#: The smoke from the outermost, lightest layer to the innermost, darkest one, in the order they are painted.
LAYERS: Final = tuple(
    Layer(low, len(BANDS) - 1 - low, 50 + 190 * (len(BANDS) // 2 - 1 - low) // (len(BANDS) // 2))
    for low in range(len(BANDS) // 2)
)

#: Share of a round's pings, least number of pings, colour. All pings but one, and all pings, follow.
_STEPS: Final = (
    (0.00, 0, "26ff00"),
    (0.01, 1, "00b8ff"),
    (0.05, 2, "0059ff"),
    (0.10, 3, "7e00ff"),
    (0.25, 4, "ff00ff"),
    (0.50, 5, "ff5500"),
)
_NEARLY_ALL: Final = "ff0000"
_ALL: Final = "a00000"
#: The greatest share that is less than everything.
_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


def bands(rtts: stats.RTTs) -> NDArray[np.float64]:
    """The quantiles at BANDS of each round."""
    return stats.quantiles(rtts, BANDS)


def loss_colors(pings: int) -> tuple[LossStep, ...]:
    """The colours for rounds of so many pings, from no loss to total loss.

    The bounds are SmokePing's (its newest): 1, 5, 10, 25 and 50 %, but at least one lost ping more each. They
    are shares, so they hold for merged rounds too; and total loss never shares a colour with anything less.
    """
    counts = {max(int(share * pings), least): color for share, least, color in _STEPS}
    if pings > 1:
        counts[pings - 1] = _NEARLY_ALL
    counts[pings] = _ALL
    steps: list[LossStep] = []
    before = -1
    for count in sorted(count for count in counts if count <= pings):
        share = 1.0 if count == pings else _BELOW_ONE if count == pings - 1 and count else count / pings
        steps.append(LossStep(share, counts[count], _label(before + 1, count, pings)))
        before = count
    return tuple(steps)


def loss_classes(loss: NDArray[np.float64], steps: Sequence[LossStep]) -> NDArray[np.intp]:
    """Index of the step each loss belongs to; -1 where the loss is not known."""
    found = np.searchsorted([step.most for step in steps], loss, side="left")
    return np.where(np.isnan(loss), -1, np.minimum(found, len(steps) - 1))


def upper_limit(median: NDArray[np.float64]) -> float:
    """Where the vertical axis ends, seconds, so that all usual medians are well inside.

    That is a fifth above the greatest median, as in SmokePing; but where the greatest is a rare spike, far above
    what 95 % of the points stay below, the axis ends soon after those, and the spike is cut off at the top.
    """
    known = np.sort(median[np.isfinite(median)])
    if len(known) == 0:
        return 1.0
    greatest = float(known[-1])
    usual = float(known[int(0.95 * (len(known) - 1))]) if len(known) >= _ENOUGH else greatest
    limit = min(greatest, _SPIKE * usual)
    return max(1.2 * limit, _LEAST_LIMIT)


def ticks(limit: float, most: int = 6) -> tuple[float, ...]:
    """Round numbers from 0 to `limit` for the axis, at most so many steps apart, each 1, 2, 2.5 or 5 times a power of ten."""
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"an axis cannot end at {limit}")
    step = _nice(limit / most)
    # A hair of tolerance, so that 0.3 is reached by three steps of 0.1.
    return tuple(step * i for i in range(int(limit / step + 1e-9) + 1))


#: With fewer points than this, one is not called a spike.
_ENOUGH: Final = 8
#: A median this many times the usual ones is a spike.
_SPIKE: Final = 2.5
#: The finest axis, seconds: below a microsecond there is nothing to see.
_LEAST_LIMIT: Final = 1.2e-6


def _nice(least: float) -> float:
    """The smallest round number that is not less."""
    power = 10.0 ** math.floor(math.log10(least))
    for factor in (1.0, 2.0, 2.5, 5.0):
        if factor * power >= least * (1 - 1e-9):
            return factor * power
    return 10.0 * power


def _label(first: int, last: int, pings: int) -> str:
    if last == pings:
        return f"{pings}/{pings}"
    return str(last) if first == last else f"{first}-{last}"


#: The colours for SmokePing's usual rounds of 20 pings.
LOSS_COLORS: Final = loss_colors(20)
