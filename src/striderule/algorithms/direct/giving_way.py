"""What all generated code does where there is none: NumPy computes, and one warning says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from striderule.errors import CompilationFailed

P = ParamSpec("P")
R = TypeVar("R")


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"no machine code can be made, so NumPy computes instead: {reason}", RuntimeWarning, stacklevel=6)


def warn(failure: CompilationFailed) -> None:
    """Warn that NumPy computes, once for every reason."""
    _warn_once(str(failure))


def attempt(make: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Return what `make` returns, or None, with one warning, where there is no machine code to be had."""
    try:
        return make(*args, **kwargs)
    except CompilationFailed as failure:
        _warn_once(str(failure))
        return None


def given(out: npt.NDArray[Any] | None, result: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a result that NumPy computed, copied to `out` if there is one."""
    if out is None:
        return result
    with np.errstate(all="ignore"):
        np.copyto(out, result, casting="same_kind")
    return out
