"""Windows cut out and added back, in NumPy."""

from striderule.algorithms.windows.convolution import fold, unfold

__all__ = ["fold", "unfold"]
