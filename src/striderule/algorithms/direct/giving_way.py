"""What all generated code does where there is none: NumPy computes, and one warning says so."""

from __future__ import annotations

import warnings
from functools import cache

from striderule.errors import CompilationFailed


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"no machine code can be made, so NumPy computes instead: {reason}", RuntimeWarning, stacklevel=6)


def warn(failure: CompilationFailed) -> None:
    """Warn that NumPy computes, once for every reason."""
    _warn_once(str(failure))
