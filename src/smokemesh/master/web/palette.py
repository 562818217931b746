"""The colours of loss that pages and pictures share: SmokePing's newest, or those of the configuration."""

import math
from typing import Final

from smokemesh.analysis import smoke
from smokemesh.settings.shape import MasterSettings

#: The greatest share that is less than everything.
_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


def loss_steps(settings: MasterSettings, pings: int) -> tuple[smoke.LossStep, ...]:
    """The colours for rounds of so many pings, from no loss to total loss.

    A configuration's are counts of lost pings. Where they end before all pings, what is lost beyond them has the last
    colour below total loss, and total loss keeps ours: it must look like nothing else.
    """
    usual = smoke.loss_colors(pings)
    written = sorted(row for row in settings.presentation.loss_colors if row[0] < pings)
    if not written:
        return usual
    steps = [smoke.LossStep(count / pings, color, legend or f"{count:g}") for count, color, legend in written]
    if steps[-1].most < _BELOW_ONE:
        steps[-1] = smoke.LossStep(_BELOW_ONE, steps[-1].color, steps[-1].label)
    whole = [row for row in settings.presentation.loss_colors if row[0] == pings]
    color, label = (whole[0][1], whole[0][2]) if whole else (usual[-1].color, usual[-1].label)
    return (*steps, smoke.LossStep(1.0, color, label or usual[-1].label))
