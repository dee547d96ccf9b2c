"""Windows cut out and added back, written as their definition."""

from striderule.algorithms.reference.convolution import fold, unfold

__all__ = ["fold", "unfold"]
