"""Loss, quantiles, deviation and jitter of rounds: the definitions everything else uses.

RTTs are seconds in the order sent, one row for each round; NaN is a lost ping, and also pads a row that
had fewer pings. What is not known (no ping answered, none sent) is NaN, never 0. Nothing here rounds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import RoundBatch

#: One value for each round.
Column = NDArray[np.float64]
#: One row for each round, one column for each ping.
RTTs = NDArray[np.floating]


def loss(sent: NDArray[np.integer], received: NDArray[np.integer]) -> Column:
    """Share of the pings sent that got no answer (RFC 6673 section 3, the ratio of RFC 2680); NaN if none was sent."""
    lost = sent.astype(np.float64) - received
    return np.divide(lost, sent, out=np.full(len(lost), np.nan), where=sent > 0)


def quantiles(rtts: RTTs, shares: Sequence[float]) -> NDArray[np.float64]:
    """RTTs that the given shares of the answered pings stay below, f8[rounds, shares]; between two pings it is linear.

    This is type 7 of Hyndman and Fan, NumPy's default: the 0 quantile is the least, the 1 quantile the greatest RTT.
    """
    count = answered(rtts)
    if rtts.shape[1] == 0:
        return np.full((len(rtts), len(shares)), np.nan)
    ordered = np.sort(rtts, axis=1).astype(np.float64)  # NaN goes last
    place = np.maximum(count - 1, 0)[:, None] * np.asarray(shares, np.float64)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(count - 1, 0)[:, None])
    below, above = np.take_along_axis(ordered, low, axis=1), np.take_along_axis(ordered, high, axis=1)
    # Rounding of the product must not carry a quantile past the RTT above it.
    return np.clip(below + (place - low) * (above - below), below, above)


def median(rtts: RTTs) -> Column:
    """The RTT in the middle; the mean of the two middle ones for an even number."""
    return quantiles(rtts, (0.5,))[:, 0]


def answered(rtts: RTTs) -> NDArray[np.intp]:
    """Pings that were answered."""
    return np.count_nonzero(~np.isnan(rtts), axis=1)


def mean(rtts: RTTs) -> Column:
    """Mean RTT of the answered pings."""
    return _mean(rtts.astype(np.float64))


def deviation(rtts: RTTs) -> Column:
    """Standard deviation of the RTTs of the answered pings, which are taken as the whole population."""
    rtts = rtts.astype(np.float64)
    return np.sqrt(_mean((rtts - _mean(rtts)[:, None]) ** 2))


def jitter(rtts: RTTs) -> Column:
    """Mean absolute difference of the RTTs of two pings sent one after the other, both answered.

    This is the mean of |IPDV| (RFC 3393; RFC 5481 section 4.1) on round trips. A pair with a lost ping counts for
    nothing: its difference would span a longer time than the others.
    """
    return _mean(np.abs(np.diff(rtts.astype(np.float64), axis=1)))


def smoothed_jitter(rtts: RTTs) -> Column:
    """The interarrival jitter of RFC 3550 section 6.4.1 at the end of each round, on round trips.

    It starts at 0 and moves a sixteenth of the way to each new difference; as in the RFC, a ping is compared with
    the one *received* before it, so lost ones are stepped over.
    """
    smooth, last = np.zeros(len(rtts)), np.full(len(rtts), np.nan)
    for rtt in rtts.astype(np.float64).T:
        step = np.abs(rtt - last)
        smooth += np.where(np.isnan(step), 0.0, (step - smooth) / 16)
        last = np.where(np.isnan(rtt), last, rtt)
    return np.where(answered(rtts) >= 2, smooth, np.nan)


def round_medians(batch: RoundBatch) -> Column:
    """The median of each round of a batch."""
    return median(batch.matrix())


def _mean(values: RTTs) -> Column:
    """Mean of what is known in each row; NaN, without a warning, where nothing is."""
    known = ~np.isnan(values)
    count = np.count_nonzero(known, axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
