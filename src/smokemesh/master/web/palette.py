"""The colours of loss that pages and pictures share: SmokePing's newest, or those of the configuration."""

import math
from typing import Final

from smokemesh.analysis import smoke
from smokemesh.settings.shape import MasterSettings

#: The greatest share that is less than everything.
_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


def loss_steps(settings: MasterSettings, pings: int) -> tuple[smoke.LossStep, ...]:
    """The colours for rounds of so many pings, from no loss to total loss.

    A configuration's are counts of lost pings, each for all that is more than the one before. The first step is no
    loss at all and the last is total loss, whatever it says: these must look like nothing else.
    """
    usual = smoke.loss_colors(pings)
    written = sorted(settings.presentation.loss_colors)
    if not written:
        return usual
    first, whole = written[0], next((row for row in written if row[0] == pings), None)
    partial = [row for row in written if row[0] != pings] or written
    steps = [_step(0.0, first, first[2] if first[0] == 0 else "0")]
    for row in partial:
        if 0 < row[0] and steps[-1].most < _BELOW_ONE:
            steps.append(_step(min(row[0] / pings, _BELOW_ONE), row, row[2] or f"{row[0]:g}"))
    if steps[-1].most < _BELOW_ONE:
        steps.append(_step(_BELOW_ONE, partial[-1], f">{partial[-1][0]:g}"))
    return (*steps, _step(1.0, whole, whole[2] or usual[-1].label) if whole else usual[-1])


def _step(most: float, row: tuple[float, str, str], label: str) -> smoke.LossStep:
    return smoke.LossStep(most, row[1], label)
