"""What the chapters print beside their numbers: shape formulas with numbers put in, and differences from the loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument
from striderule.geometry import output_size

# Two ways of adding the same terms differ by a few units in the last place of the largest sum; see Higham, Accuracy
# and Stability of Numerical Algorithms, section 4.2. Sixty-four is ample for the short sums of the tour.
UNITS = 64


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a result is from the reference loops, and what rounding alone allows."""

    difference: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within rounding; a NaN is not."""
        return self.difference <= self.allowed


def compare(**pairs: tuple[Any, Any]) -> dict[str, Comparison]:
    """Compare results with the loops' results, print the largest difference of each, and return the comparisons.

    Parameters
    ----------
    **pairs
        ``name=(result, loops)``: two arrays of the same shape.

    Returns
    -------
    dict
        A `Comparison` for each name.

    Raises
    ------
    InvalidArgument
        If the two arrays of a pair have different shapes.

    Examples
    --------
    >>> found = compare(deck=([1.0, 2.0], [1.0, 2.0]))
    deck: largest difference 0 (rounding allows 2.8e-14)
    >>> found["deck"].holds
    True
    """
    comparisons = {name: _comparison(name, *map(np.asarray, pair)) for name, pair in pairs.items()}
    for name, found in comparisons.items():
        verdict = "" if found.holds else ": TOO LARGE"
        difference = "0" if found.difference == 0 else f"{found.difference:.1e}"
        allowed = f"rounding allows {found.allowed:.1e}" if found.allowed else "whole numbers: exact"
        print(f"{name.replace('_', ' ')}: largest difference {difference} ({allowed}){verdict}")
    return comparisons


def _comparison(name: str, result: Any, loops: Any) -> Comparison:
    if result.shape != loops.shape:
        raise InvalidArgument(f"{name} must be two arrays of the same shape, got {result.shape} and {loops.shape}")
    kinds = [array.dtype for array in (result, loops) if array.dtype.kind == "f"]
    unit = max((float(np.finfo(kind).eps) for kind in kinds), default=0.0)
    wide = loops.astype(np.float64)
    difference = float(np.abs(result.astype(np.float64) - wide).max(initial=0.0))
    return Comparison(difference, UNITS * unit * max(1.0, float(np.abs(wide).max(initial=0.0))))


def shape_formula(size: Sequence[int], kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> str:
    """Return the output-shape formula of a window with the numbers put in: one line, or one each for rows and columns.

    Parameters
    ----------
    size
        (rows, columns) of the input.
    kernel, stride, padding, dilation
        The same on both axes; `padding` is on either side. Defaults: stride 1, no padding, dilation 1.

    Returns
    -------
    str
        The formula, then the same with numbers.

    Examples
    --------
    >>> print(shape_formula((5, 5), 3, stride=2))
    size = ⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1
    size = ⌊(5 + 2·0 − 1·(3 − 1) − 1) / 2⌋ + 1 = 2
    """
    names = {size[0]: "size"} if len(set(size)) == 1 else dict(zip(size, ("rows", "columns"), strict=True))
    width = max(map(len, names.values()))
    lines = [f"{'size':{width}} = ⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1"]
    for n, name in names.items():
        numbers = f"⌊({n} + 2·{padding} − {dilation}·({kernel} − 1) − 1) / {stride}⌋ + 1"
        lines.append(f"{name:{width}} = {numbers} = {output_size(n, kernel, stride, padding, dilation)}")
    return "\n".join(lines)
