"""The arithmetic of passes along the axes: what they cost, and how far their sums err."""

from __future__ import annotations

from math import ceil, log2, prod

from striderule.geometry.problem import Convolution
from striderule.planning.forms import MOST_RANK, KernelForm, Rank

VARIANTS = tuple(f"rank{count}" for count in range(1, MOST_RANK + 1))
# Terms of a chain, and taps from which on equal ones are summed as windows.
CHAIN, LONG = 64, 16
# Of windows of equal taps: rows of their middle that are added in a chain, and rows that share a middle.
RUN, BAND = 32, 64
# Roundings up to which sums of float32 keep the strictest promise, 1e-5 of |x| * |w|.
MOST = 150
# Vector operations for each output beside the products: loads, stores and conversions; and those of a window of equal
# taps, at any length.
BESIDE, WINDOW = 10, 16


def variant_of(rank: Rank) -> str:
    """Return the word for a sum of so many outer products."""
    return f"rank{rank.count}"


def refused(problem: Convolution) -> str | None:
    """Return why passes cannot form these sums, or None."""
    form = problem.form
    if not isinstance(form, KernelForm):
        return "it must know the values of the taps"
    if not form.ranks:
        return f"its kernel is no sum of at most {MOST_RANK} outer products"
    if problem.rank > 2 and form.ranks[0].count > 1:
        return "it adds up several outer products over two axes at most"
    if not problem.dtype.startswith("float"):
        if form.ranks[0].count > 1 or not form.whole:
            return "integers are exact, and its terms are not"
        if problem.dtype != "int32":
            return "its sums of float64 are exact up to 2**53, and these may be larger"
    return None


def operations(problem: Convolution, rank: Rank) -> float:
    """Return vector operations for an output: those of products, or of windows of equal taps."""
    form = problem.form
    equal = isinstance(form, KernelForm) and form.equal
    passes = [WINDOW if equal and taps >= LONG else taps for taps in problem.kernel if taps > 1]
    return rank.count * sum(passes) + BESIDE * ceil(max(1, len(passes)) / 2)


def roundings(problem: Convolution) -> float:
    """Return how many roundings a term passes at most, in all passes.

    >>> from striderule.geometry.problem import Convolution
    >>> form = KernelForm((200, 200), 40000, equal=True, given=True, ranks=(Rank(1),))
    >>> words = {"zero_taps": "skip", "padding": "same", "stored": ("float32", "float32"), "form": form}
    >>> roundings(Convolution.from_shapes((1, 1, 500, 500), (1, 1, 200, 200), **words)) < MOST
    True
    """
    form = problem.form
    if not isinstance(form, KernelForm) or not form.equal:
        return sum(min(taps, CHAIN) + max(0, ceil(taps / CHAIN) - 1) for taps in problem.kernel) + 1
    if problem.stored and not problem.stored[0].startswith("float"):
        return 2  # sums without error, and a quotient
    most = _of_windows(problem.kernel)
    return most if most <= MOST else 2  # else they are summed in float64


def in_double(kernel: tuple[int, ...]) -> bool:
    """Tell whether float32 would err too much in sums of so many equal taps, so that they are formed in float64."""
    return _of_windows(kernel) > MOST


def _of_windows(kernel: tuple[int, ...]) -> float:
    """Return the roundings of sums of equal taps: those down the rows in runs, one of the others by doubling."""
    down = [min(taps, RUN + ceil(taps / RUN) + BAND) for taps in kernel]
    across = [min(taps, 2 * log2(taps) + 2) for taps in kernel]
    return sum(down) - min((d - a for d, a in zip(down, across, strict=True)), default=0) + 2


def words(problem: Convolution, rank: Rank) -> str:
    """Return how it is cut, in words."""
    taps = " + ".join(str(length) for length in problem.kernel if length > 1) or "1"
    times = "" if rank.count == 1 else f"{rank.count} times "
    return f"{times}{taps} taps for {prod(problem.kernel):,}"
